"""Nights: what is due, what is done of it, and what becomes of runs that are killed, interrupted or not alone."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from films import picture, write_video

from movie_tags.pipeline import graph
from movie_tags.pipeline import run as runs
from movie_tags.pipeline.batches import cut, halve
from movie_tags.pipeline.beam import local_workers
from movie_tags.pipeline.commands import main
from movie_tags.records import FAILED, QUARANTINED, Entry, Video
from movie_tags.results import folder, lock
from movie_tags.results.manifest import (
    AGAIN,
    CHANGED,
    FORCED,
    METHOD,
    NEW,
    RETRIED,
    Due,
    Rules,
    read_due,
    why_due,
)
from movie_tags.results.parts import PLAN
from movie_tags.results.reading import TABLES

ROUNDS = int(os.environ.get("MOVIE_TAGS_KILLS", "3"))
FILMS = 60 if ROUNDS > 3 else 12
HERE = ["--direct_num_workers", "1"]


# What is due

V = Video("a", "a.mp4", "", "v1")


def entry(**changes):
    return Entry(**{"id": "a", "uri": "a.mp4", "source": "v1", "method_key": "m", **changes})


@pytest.mark.parametrize(
    "done,changes,rules,why",
    [
        (None, {}, {}, NEW),
        (entry(), {}, {}, None),
        (entry(), {}, {"force": True}, FORCED),
        (entry(), {"version": "v2"}, {}, CHANGED),
        (entry(), {"uri": "b.mp4"}, {}, CHANGED),
        (entry(), {"version": ""}, {}, CHANGED),  # out of reach: found out by trying
        (entry(), {}, {"method_key": "n"}, METHOD),
        (entry(status=FAILED, retryable=True, attempts=1), {}, {}, AGAIN),
        (entry(status=FAILED, retryable=True, attempts=1, source=""), {"version": ""}, {}, AGAIN),
        (entry(status=FAILED, retryable=True, attempts=1), {}, {"max_attempts": 1}, None),
        (entry(status=FAILED), {}, {}, None),
        (entry(status=FAILED), {}, {"retry": "failed"}, RETRIED),
        (entry(status=FAILED), {"version": "v2"}, {}, CHANGED),
        (entry(status=QUARANTINED, retryable=True, attempts=3), {}, {}, None),
        (entry(status=QUARANTINED, retryable=True, attempts=3, source=""), {"version": ""}, {}, None),
        (entry(status=QUARANTINED, retryable=True, attempts=3), {}, {"max_attempts": 5}, AGAIN),
        (entry(status=QUARANTINED), {}, {"retry": "failed"}, None),
        (entry(status=QUARANTINED), {}, {"retry": "all"}, RETRIED),
        (entry(status=FAILED, stage="catalogue"), {}, {}, NEW),
    ],
)
def test_what_is_due(done, changes, rules, why):
    video = Video(**{**vars(V), **changes})
    assert why_due(video, done, Rules(**{"method_key": "m", **rules})) == why


# Nights


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Short films, made once."""
    folder = tmp_path_factory.mktemp("made")
    for i in range(FILMS):
        write_video(folder / f"f{i:02}.mp4", [picture(100 * i + k // 30) for k in range(60)])
    return folder


@pytest.fixture
def films(made, tmp_path):
    """Copies of some of them, to be changed."""
    folder = tmp_path / "films"
    folder.mkdir()
    for path in sorted(made.iterdir())[:4]:
        shutil.copy2(path, folder)
    return folder


def tables(out):
    return {name: (out / f"{name}.jsonl").read_bytes() for name in TABLES}


def rows(out, name):
    return [json.loads(line) for line in (out / f"{name}.jsonl").read_text().splitlines()]


def counts(out):
    return json.loads((out / "run.json").read_text())["counts"]


def test_a_second_night_does_what_is_new_changed_or_may_pass(films, tmp_path, small_bundle, capsys, made):
    out = tmp_path / "out"
    named = tmp_path / "c.csv"
    (films / "bad.mp4").write_bytes(b"no film")
    names = ["f00.mp4", "f01.mp4", "f02.mp4", "bad.mp4", "absent.mp4"]
    named.write_text("uri,id\n" + "".join(f"{films / name},{name}\n" for name in names) + ",no address\n")
    command = ["tag", str(named), "--output", str(out), "--model", small_bundle, *HERE]
    assert main(command) == 3
    first = tables(out)
    assert {row["id"] for row in rows(out, "tags")} == set(names[:3])
    assert {row["id"] for row in rows(out, "errors")} == {"bad.mp4", "absent.mp4", f"{named}, line 7"}
    capsys.readouterr()

    assert main([*command, "--dry-run"]) == 0
    assert capsys.readouterr().out == "again\tabsent.mp4\n"
    assert tables(out) == first and not (out / ".lock").exists() and len(os.listdir(out / "runs")) == 1

    shutil.copy2(made / "f03.mp4", films / "f01.mp4")  # another film under the same name
    named.write_text(named.read_text().replace(",no address\n", f"{films / 'f03.mp4'},new\n"))
    assert main(command) == 3  # the absent one still is
    assert counts(out)["videos_tagged"] == 2
    due = json.loads((out / "run.json").read_text())["due"]
    assert due == {"again": 1, "changed": 1, "new": 1}
    kept = [row for row in rows(out, "tags") if row["id"] in ("f00.mp4", "f02.mp4")]
    assert kept == [row for row in map(json.loads, first["tags"].splitlines()) if row["id"] in ("f00.mp4", "f02.mp4")]
    assert {row["id"] for row in rows(out, "errors")} == {"bad.mp4", "absent.mp4"}  # the row has been mended

    assert main(command) == 3  # the third attempt of the absent one
    assert main(command) == 0
    assert "nothing is due: 4 videos are tagged already" in capsys.readouterr().err
    assert main(["status", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["videos"] == {"tagged": 4, "failed": 1, "quarantined": 1, "due_again": 0}
    assert [run["tagged"] for run in said["runs"]] == [0, 0, 2, 3]
    assert main(["status", str(out)]) == 0
    assert "4 videos tagged" in capsys.readouterr().out

    assert main([*command, "--fps", "2", "--dry-run"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6
    assert main([*command, "--retry", "all", "--dry-run"]) == 0
    assert set(capsys.readouterr().out.splitlines()) == {"retried\tbad.mp4", "retried\tabsent.mp4"}
    assert main([*command, "--force", "--limit", "2"]) == 3
    assert sum(json.loads((out / "run.json").read_text())["due"].values()) == 2

    pictures = sum(len(files) for _, _, files in os.walk(out / "thumbnails"))
    named.write_text(f"uri,id\n{films / 'f00.mp4'},f00.mp4\n")
    capsys.readouterr()
    assert main(["prune", str(out), "--catalogue", str(named), "--dry-run"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5 + 1
    assert main(["prune", str(out), "--catalogue", str(named)]) == 0
    assert [row["id"] for row in rows(out, "tags")] == ["f00.mp4"] and rows(out, "errors") == []
    assert main(["prune", str(out), "--catalogue", str(tmp_path / "nowhere.csv")]) == 2
    assert main(command) == 0
    assert main([*command, "--force"]) == 0
    assert sum(len(files) for _, _, files in os.walk(out / "thumbnails")) < pictures


def test_a_film_out_of_reach_keeps_its_results(films, tmp_path, small_bundle):
    out = tmp_path / "out"
    named = tmp_path / "c.csv"
    named.write_text(f"uri\n{films / 'f00.mp4'}\n")
    command = ["tag", str(named), "--output", str(out), "--model", small_bundle, *HERE]
    assert main(command) == 0
    before = rows(out, "tags")
    (films / "f00.mp4").rename(films / "away")
    assert main(command) == 3
    assert rows(out, "tags") == before and len(rows(out, "errors")) == 1
    (films / "away").rename(films / "f00.mp4")
    assert main(command) == 0
    assert rows(out, "tags") == before and rows(out, "errors") == []


def metrics(file):
    from prometheus_client.parser import text_string_to_metric_families

    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(file.read_text())
        for sample in family.samples
    }


def test_metrics_of_a_run_that_fails_say_so(films, tmp_path, small_bundle, monkeypatch):
    file = tmp_path / "tags.prom"
    words = ["--output", str(tmp_path / "out"), "--model", small_bundle, "--metrics-file", str(file), *HERE]
    assert main(["tag", str(films / "f00.mp4"), *words]) == 0 and metrics(file)["movie_tags_run_succeeded",] == 1

    def fail(*_):
        raise graph.RunError("out of luck")

    monkeypatch.setattr(graph.Graph, "build", fail)
    for inputs, status in ((str(films), 1), ("nowhere.mp4", 2)):
        file.unlink()
        assert main(["tag", inputs, *words]) == status
        found = metrics(file)
        assert found["movie_tags_run_succeeded",] == found["movie_tags_run_films_done",] == 0
        assert found["movie_tags_films", "tagged"] == 1
    file.unlink()
    assert main(["tag", "nowhere.mp4", *words, "--dry-run"]) == 2 and not file.exists()


def test_metrics_are_what_the_run_did(films, tmp_path, small_bundle):
    (films / "bad.mp4").write_bytes(b"no film")
    file = tmp_path / "m" / "tags.prom"
    words = ["--output", str(tmp_path / "out"), "--model", small_bundle, "--metrics-file", str(file)]
    assert main(["tag", str(films), *words, *HERE]) == 3
    found = metrics(file)
    assert found["movie_tags_run_films_done",] == 4 and found["movie_tags_run_films_failed",] == 1
    assert found["movie_tags_film_seconds",] == pytest.approx(
        sum(r["duration_s"] for r in rows(tmp_path / "out", "tags"))
    )
    assert found["movie_tags_films", "failed"] == 1 and found["movie_tags_run_succeeded",] == 1


# Killed, interrupted


def command(made, out, bundle, *more):
    return [
        sys.executable, "-m", "movie_tags", "tag", str(made), "--output", str(out), "--model", bundle,
        "--part-size", str(FILMS // 4), "--direct_num_workers", "2", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(made, small_bundle, tmp_path_factory):
    """The tables of a run in peace, and how many seconds it took."""
    out = tmp_path_factory.mktemp("peace") / "out"
    begun = time.monotonic()
    subprocess.run(command(made, out, small_bundle), check=True, capture_output=True, timeout=600)
    return tables(out), time.monotonic() - begun


def workers_of(process):
    """Processes that do the work of a run."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if "forkserver" in " ".join(child.cmdline()) and child.parent().pid != process.pid:
                found.append(child)
        except (psutil.NoSuchProcess, AttributeError):
            continue
    return found


@pytest.mark.parametrize("round", range(ROUNDS))
@pytest.mark.parametrize("victim", ["driver", "worker"])
def test_killed_at_random_it_ends_in_the_same_tables(made, small_bundle, undisturbed, tmp_path, victim, round):
    expected, seconds = undisturbed
    chance = random.Random(f"{victim} {round}")
    out = tmp_path / "out"
    kills = 0
    for _ in range(8):
        process = subprocess.Popen(
            command(made, out, small_bundle), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            process.wait(chance.uniform(0.3, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            if kills < 2:
                targets = [psutil.Process(process.pid)] if victim == "driver" else workers_of(process)
                if targets:
                    kills += 1
                    chance.choice(targets).kill()
        _, said = process.communicate(timeout=600)
        if process.returncode == 0:
            break
        assert victim == "driver", said  # a worker's death does not end the run
    assert process.returncode == 0
    assert tables(out) == expected
    ids = [row["id"] for row in rows(out, "tags")]
    assert len(ids) == len(set(ids)) == FILMS
    status = subprocess.run(command(made, out, small_bundle), capture_output=True, text=True, timeout=600)
    assert status.returncode == 0 and "nothing is due" in status.stderr


def test_a_film_that_kills_its_worker_costs_itself(films, tmp_path, small_bundle, monkeypatch):
    """The batch is begun three times, then halved until the film is alone."""
    begun = []

    def deadly(pipeline):
        if "f02" in Path(begun[-1]).read_text():
            local_workers.deaths.append("a worker process was killed by SIGSEGV")
            raise RuntimeError(local_workers.deaths[-1])
        return execute(pipeline)

    def built(self, due, part, publish=None):
        begun.append(due)
        return build(self, due, part, publish)

    execute, build = graph.execute, graph.Graph.build
    monkeypatch.setattr(graph.Graph, "build", built)
    monkeypatch.setattr(graph, "execute", deadly)
    out = tmp_path / "out"
    words = ["tag", str(films), "--output", str(out), "--model", small_bundle, *HERE]
    assert main(words) == 3
    assert len(begun[:3]) == 3 and len(set(begun[:3])) == 1
    assert {Path(row["id"]).name for row in rows(out, "tags")} == {"f00.mp4", "f01.mp4", "f03.mp4"}
    (error,) = rows(out, "errors")
    assert error["stage"] == "worker" and "SIGSEGV" in error["reason"]
    begun.clear()
    assert main(words) == 0 and begun == []  # quarantined
    assert not list((out / "runs").rglob("due"))


def test_little_work_whose_driver_dies_before_it_is_published_is_not_done_again(
    films, tmp_path, small_bundle, monkeypatch, capsys
):
    class Killed(BaseException):
        pass

    def die(*_, **__):
        raise Killed

    out = tmp_path / "out"
    words = ["tag", str(films / "f00.mp4"), "--output", str(out), "--model", small_bundle]
    with monkeypatch.context() as dying, pytest.raises(Killed):
        dying.setattr(folder, "publish", die)
        main(words)
    assert {path.parent.name for path in out.glob("runs/*/*/part.json")} == {PLAN, "part-00000"}
    assert main(words) == 0
    assert "nothing is due: 1 video is tagged" in capsys.readouterr().err and len(rows(out, "tags")) == 1


def test_when_everything_kills_its_worker_the_run_says_so(made, tmp_path, small_bundle, monkeypatch, capsys):
    def deadly(_):
        local_workers.deaths.append("a worker process was killed by SIGKILL")
        raise RuntimeError(local_workers.deaths[-1])

    monkeypatch.setattr(graph, "execute", deadly)
    words = ["tag", str(made), "--output", str(tmp_path / "out"), "--model", small_bundle, *HERE]
    assert main(words) == 1
    assert "memory enough" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_publishes_what_is_done_and_goes_on(made, small_bundle, undisturbed, tmp_path, number):
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(made, out, small_bundle), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while not list((out / "runs").glob("*/part-*/part.json")):
        time.sleep(0.1)
        assert process.poll() is None
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("it was done before it could be interrupted")
    assert process.returncode == 1 and "the same command goes on" in said and "Traceback" not in said
    done = rows(out, "tags")
    assert 0 < len(done) < FILMS
    again = subprocess.run(command(made, out, small_bundle), capture_output=True, text=True, timeout=600)
    assert again.returncode == 0
    assert counts(out)["videos_tagged"] == FILMS - len(done)
    assert tables(out) == undisturbed[0]


# One at a time


def test_a_folder_is_for_one_run_at_a_time(films, tmp_path, small_bundle, capsys):
    out = tmp_path / "out"
    words = ["tag", str(films / "f00.mp4"), "--output", str(out), "--model", small_bundle, *HERE]
    out.mkdir()
    code = "import sys; from movie_tags.results.lock import locked\nwith locked(sys.argv[1], 'r'): print(1); input()"
    other = subprocess.Popen([sys.executable, "-uc", code, str(out)], stdin=-1, stdout=-1, text=True)
    other.stdout.readline()
    assert main(words) == 2
    assert f"(process {other.pid}) is writing to it" in capsys.readouterr().err
    assert main([*words, "--break-lock"]) == 2  # not while it lives
    assert lock.held(str(out)).owner.run_id == "r"
    other.kill()
    other.wait()
    assert lock.held(str(out)) is None  # it ends with its process
    assert main(words) == 0
    assert not (out / ".lock").exists()


def test_of_many_who_want_a_lock_one_gets_it(tmp_path):
    code = (
        "import sys; from movie_tags.results.lock import locked, LockError\n"
        "try:\n"
        "    with locked(sys.argv[1], sys.argv[2]): print('mine', flush=True); sys.stdin.read()\n"
        "except LockError: print('no')"
    )
    (tmp_path / lock.NAME).write_text("of a run that died")
    all = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(i)], stdin=-1, stdout=-1, text=True)
        for i in range(4)
    ]
    answers = [process.stdout.readline().strip() for process in all]
    for process in all:
        process.communicate()
    assert sorted(answers) == ["mine", "no", "no", "no"]
    assert not (tmp_path / lock.NAME).exists()


def test_batches_are_cut_by_number_or_by_size(tmp_path):
    items = [Due(Video(f"{i}", "u", "", "v"), 600 << 20, NEW) for i in range(20)]
    due = tmp_path / "due.jsonl"
    due.write_bytes(b"".join(item.line() for item in items))
    for size, expected in ((None, [4] * 5), (7, [7, 7, 6]), (1, [1] * 20)):
        lists = tmp_path / f"lists-{size}"
        lists.mkdir()
        batches = cut(str(due), str(lists), size, 1)
        assert [batch.videos for batch in batches] == expected
        found = [item for batch in batches for item in read_due(batch.due)]
        assert sorted(item.video.id for item in found) == sorted(item.video.id for item in items)
        assert [b.begun for b in halve(batches[0])] == [2, 2]


def test_workers_follow_from_the_bytes_due(monkeypatch):
    monkeypatch.setattr(runs, "cores", lambda: 4)
    assert [runs.workers_for(n << 20) for n in (0, 40, 60, 100, 10**6)] == [1, 1, 2, 3, 4]
