"""Signals at random moments: what is reported as done is in the tables, the rest is due, nothing is twice."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest
from films import picture, write_video

from movie_tags.pipeline.interruption import Interruption
from movie_tags.stopping import StopFile, Stopped, until_stopped

MOMENTS = int(os.environ.get("MOVIE_TAGS_INTERRUPTIONS", "2"))
FILMS = 34


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Short films, and one that is none."""
    folder = tmp_path_factory.mktemp("films")
    for i in range(FILMS - 1):
        write_video(folder / f"f{i:02}.mp4", [picture(100 * i + k // 30) for k in range(60)])
    (folder / "bad.mp4").write_text("no film")
    return folder


def command(films, out, bundle, *more, workers=2):
    words = ["tag", str(films), "--output", str(out), "--model", bundle, "--no-thumbnails", "--segment-length", "1"]
    return [sys.executable, "-m", "movie_tags", *words, "--direct_num_workers", str(workers), *more]


def ids(out, table):
    return [json.loads(line)["id"] for line in (out / f"{table}.jsonl").read_text().splitlines()]


def due(films, out, bundle):
    """The ids of what is due, as a dry run says it."""
    words = command(films, out, bundle, "--dry-run")
    said = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stderr
    return [line.split("\t")[1] for line in said.stdout.splitlines()]


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_interrupted_at_random_what_is_done_is_in_the_tables_and_the_rest_is_due(films, small_bundle, tmp_path, moment):
    chance = random.Random(moment)
    number, workers = (signal.SIGINT, signal.SIGTERM)[moment // 2 % 2], 1 + moment % 2
    out, known = tmp_path / "out", 0
    names = {str(path) for path in films.iterdir()}
    for _ in range(2):  # interrupted, then interrupted in going on
        process = subprocess.Popen(
            command(films, out, small_bundle, workers=workers), stdout=-1, stderr=-1, text=True, start_new_session=True
        )
        deadline = time.monotonic() + chance.uniform(1.5, 25)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        if process.poll() is None:
            os.killpg(process.pid, number)  # as a terminal does: to all of its processes
        _, said = process.communicate(timeout=300)
        assert "Traceback" not in said
        done = ids(out, "tags") + ids(out, "errors") if (out / "tags.jsonl").exists() else []
        assert len(done) == len(set(done)) and set(done) <= names
        if process.returncode != 1:
            break
        reported = re.search(r"(\d+) videos? (?:is|are) done", said)
        assert len(done) - known == (int(reported[1]) if reported else 0), said
        assert set(due(films, out, small_bundle)) == names - set(done)
        known = len(done)
    final = subprocess.run(command(films, out, small_bundle), capture_output=True, text=True, timeout=600)
    assert final.returncode in (0, 3), final.stderr
    assert sorted(ids(out, "tags") + ids(out, "errors")) == sorted(names)


def test_the_first_signal_asks_and_the_second_ends(tmp_path, capfd):
    ended = []
    interruption = Interruption(lambda: ended.append(True))
    stop = StopFile(str(tmp_path / "stop"))
    with interruption.handling():
        with interruption.graceful(stop):
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.asked and interruption.told and not ended
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
        assert ended == [True]
    assert "once more ends it at once" in capfd.readouterr().err


def test_outside_of_a_pipeline_the_first_signal_ends():
    interruption = Interruption()
    with interruption.handling(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    assert interruption.told


def test_items_come_until_somebody_asks_to_stop(tmp_path):
    stop = StopFile(str(tmp_path / "stop"))
    assert list(until_stopped(iter("abc"), None)) == list(until_stopped(iter("abc"), stop)) == ["a", "b", "c"]
    taken = []
    with pytest.raises(Stopped):
        for item in until_stopped(iter("abc"), stop):
            taken.append(item)
            stop.ask()
    assert taken == ["a"]
    with pytest.raises(Stopped):
        next(until_stopped(iter("abc"), stop))
