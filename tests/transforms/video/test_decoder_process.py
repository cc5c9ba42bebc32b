"""Films that do harm to their decoder, and what comes of it."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from decoder_work import count, modules
from films import VIDEOS, needs_footage, picture, write_video
from hypothesis import given, settings
from hypothesis import strategies as st

from movie_tags.pipeline.commands import main
from movie_tags.transforms.video import decoder_process
from movie_tags.transforms.video.decoder_process import DecoderEnded, stream
from movie_tags.transforms.video.decoding import Decoding
from movie_tags.transforms.video.errors import VideoError
from movie_tags.transforms.video.limits import Limits
from movie_tags.transforms.video.screen import Tally

HOOKS = str(Path(__file__).parents[2] / "hooks")
TIGHT = Limits(memory_gb=1, cpu_s=1, wall_s=600)
"""What computes is slow where others compute too, and must not be found to stand still."""
SHORT = Limits(memory_gb=1, cpu_s=1, wall_s=2)
REASONS = {
    "segfault": "crashed (segmentation fault)",
    "abort": "aborted: double free or corruption",
    "spin": "used 1 s of CPU without a further frame",
    "sleep": "stood still for 2 s",
    "sleep_inside": "stood still for 2 s",
    "swallow": "asked for more than the 1 GB of memory",
    "swallow_at_once": "asked for more than the 1 GB of memory",
    "overrun": "crashed (segmentation fault)",
    "leave": "ended with status 7",
}


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return str(write_video(path, [picture(k // 20) for k in range(200)], options={"g": "30"}))


def read(decoding, uri, segment_length=None, fps=1):
    tally = Tally()
    segments = decoding.plan(uri, fps, segment_length)
    frames = [frame for segment in segments for frame in decoding.samples(uri, segment, tally)]
    return segments, frames, tally


def assert_same(found, expected):
    assert found[0] == expected[0] and found[2] == expected[2]
    assert [frame.index for frame in found[1]] == [frame.index for frame in expected[1]]
    for a, b in zip(found[1], expected[1], strict=True):
        assert a.pixels.dtype == np.uint8 and np.array_equal(a.pixels, b.pixels)
        assert a.pixels.flags.c_contiguous == b.pixels.flags.c_contiguous


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.sampled_from([None, 1, 2]), st.sampled_from([1, 2.5]))
@settings(max_examples=15, deadline=None)
def test_decoder_processes_give_what_this_process_gives(tmp_path_factory, scenes, segment_length, fps):
    path = tmp_path_factory.mktemp("films") / "film.mkv"
    times = [k / 5 for k in range(len(scenes))]
    uri = str(write_video(path, [picture(scene) for scene in scenes], times, options={"g": "8", "bf": "2"}))
    expected = read(Decoding(None), uri, segment_length, fps)
    assert_same(read(Decoding(), uri, segment_length, fps), expected)
    wanted = [frame.index for frame in expected[1]][::2]
    clock, tallies = expected[0][0].clock, (Tally(), Tally())
    here = list(Decoding(None).samples_again(uri, clock, wanted, tallies[0]))
    there = list(Decoding().samples_again(uri, clock, wanted, tallies[1]))
    assert_same((0, there, tallies[1]), (0, here, tallies[0]))


@needs_footage
@pytest.mark.parametrize("name", ["odd/portrait_rotate_issue505.mp4", "clips/bear_catching_fish_240p_vp8.webm"])
def test_decoder_processes_give_the_same_real_pictures(name):
    uri = str(VIDEOS / name)
    assert_same(read(Decoding(), uri, 2), read(Decoding(None), uri, 2))


def test_a_still_picture_stays_one_object(tmp_path):
    uri = str(write_video(tmp_path / "still.mp4", [picture(1), picture(2)], [0, 4]))
    _, frames, _ = read(Decoding(), uri)
    assert len(frames) == 5
    assert all(frame.pixels is frames[0].pixels for frame in frames[:4])
    assert frames[4].pixels is not frames[0].pixels


def test_decoder_processes_are_used_again_and_say_what_is_wrong(film, tmp_path):
    (tmp_path / "text.mp4").write_text("no film")
    read(Decoding(), film)
    decoder = decoder_process._IDLE.decoders[-1].process
    for uri, again, reason in [
        (tmp_path / "text.mp4", False, "not a video"),
        (tmp_path / "none.mp4", True, "cannot be opened: No such file"),
    ]:
        with pytest.raises(VideoError, match=reason) as raised:
            read(Decoding(), str(uri))
        assert raised.value.retryable is again and not isinstance(raised.value, DecoderEnded)
    read(Decoding(), film)
    assert decoder_process._IDLE.decoders[-1].process is decoder and decoder.poll() is None


@pytest.mark.parametrize("harm", REASONS)
@pytest.mark.parametrize("where", ["opening", "sampling"])
def test_the_reason_names_what_happened(harmful, film, tmp_path, harm, where):
    bad = tmp_path / f"{harm}-{where}.mp4"
    bad.symlink_to(film)
    decoding = Decoding(SHORT if harm.startswith("sleep") else TIGHT)
    segments = Decoding(None).plan(film, 1, None)
    with pytest.raises(VideoError) as raised:
        if where == "opening":
            decoding.plan(str(bad), 1, None)
        else:
            list(decoding.samples(str(bad), segments[0], Tally()))
    assert REASONS[harm] in raised.value.reason and raised.value.retryable
    assert len(read(Decoding(TIGHT), film)[1]) == 8


def test_a_film_that_ended_its_decoder_is_not_tried_in_its_other_segments(harmful, film, tmp_path):
    bad = tmp_path / "leave-sampling.mp4"
    bad.symlink_to(film)
    decoding = Decoding(TIGHT)
    segments = decoding.plan(str(bad), 1, 3)
    reasons = set()
    bad.unlink()  # whoever opened it again would say something else
    with pytest.raises(VideoError, match="No such file"):
        list(decoding.samples(str(bad), segments[0], Tally()))
    bad.symlink_to(film)
    with pytest.raises(DecoderEnded) as first:
        list(decoding.samples(str(bad), segments[0], Tally()))
    bad.unlink()
    for segment in segments[1:]:
        with pytest.raises(VideoError) as raised:
            list(decoding.samples(str(bad), segment, Tally()))
        reasons.add((raised.value.reason, raised.value.retryable))
    assert reasons == {(first.value.reason, True)}


def test_a_worker_may_take_its_time(film):
    decoding = Decoding(Limits(cpu_s=1, wall_s=0.3))
    (segment,) = decoding.plan(film, 1, None)
    indices = []
    for frame in decoding.samples(film, segment, Tally()):
        indices.append(frame.index)
        time.sleep(0.4 if frame.index in (1, 7) else 0)
    assert indices == list(range(8))


def test_what_nobody_wants_any_more_ends(film):
    decoding = Decoding()
    (segment,) = decoding.plan(film, 1, None)
    decoder = decoder_process._IDLE.decoders[-1].process
    frames = decoding.samples(film, segment, Tally())
    next(frames)
    del frames
    gc.collect()
    assert decoder.returncode is not None
    assert len(read(decoding, film)[1]) == 8


def test_an_idle_decoder_that_has_gone_is_replaced(film):
    read(Decoding(), film)
    gone = decoder_process._IDLE.decoders[-1].process
    os.kill(gone.pid, signal.SIGKILL)
    assert len(read(Decoding(), film)[1]) == 8


def test_threads_do_not_meet(film):
    decoding = Decoding()
    expected = read(decoding, film, 2)
    found = []
    threads = [threading.Thread(target=lambda: found.append(read(decoding, film, 2))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for one in found:
        assert_same(one, expected)


def test_a_decoder_survives_the_thread_that_began_it(film):
    decoder_process._IDLE.decoders, before = [], decoder_process._IDLE.decoders
    for decoder in before:
        decoder.end()
    thread = threading.Thread(target=read, args=(Decoding(), film))
    thread.start()
    thread.join()
    (decoder,) = decoder_process._IDLE.decoders
    assert len(read(Decoding(), film)[1]) == 8
    assert decoder_process._IDLE.decoders == [decoder]


@pytest.mark.parametrize("busy", ["film.mp4", "spin-sampling.mp4", "sleep_inside-sampling.mp4"])
def test_decoders_do_not_outlive_a_killed_worker(film, tmp_path, busy):
    uri = tmp_path / busy
    uri.symlink_to(film)
    code = (
        "import sys\n"
        "from movie_tags.transforms.video import decoder_process\n"
        "from movie_tags.transforms.video.decoding import Decoding\n"
        "from movie_tags.transforms.video.screen import Tally\n"
        "(segment,) = Decoding().plan(sys.argv[1], 1, None)\n"
        "print(decoder_process._IDLE.decoders[0].process.pid, flush=True)\n"
        "frames = Decoding().samples(sys.argv[1], segment, Tally())\n"
        "next(frames)\n"
        "print('begun', flush=True)\n"
        "list(frames)\n"
        "sys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([HOOKS, *filter(None, sys.path)])}
    words = [sys.executable, "-c", code, str(uri)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True) as worker:
        pid = int(worker.stdout.readline())
        assert worker.stdout.readline() == "begun\n"
        worker.kill()
    for _ in range(100):
        if is_gone(pid):
            return
        time.sleep(0.1)
    pytest.fail("the decoder process lives on")


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("workers", ["1", "2"])
def test_harm_costs_its_own_film_in_a_run(film, tmp_path, small_bundle, monkeypatch, capfd, workers):
    folder, out = tmp_path / "films", tmp_path / "out"
    folder.mkdir()
    harms = [harm for harm in REASONS if harm != "sleep_inside"]  # as long a wait as sleep
    for name in ["good1", "good2", "good3", *(f"{harm}-sampling" for harm in harms), "abort-opening"]:
        shutil.copy(film, folder / f"{name}.mp4")  # a link would be the film that it leads to
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([HOOKS, *filter(None, sys.path)]))
    monkeypatch.syspath_prepend(HOOKS)
    limits = ["--decoder-memory", "1", "--decoder-cpu", "1", "--decoder-wait", "20"]
    words = ["tag", str(folder), "--output", str(out), "--model", small_bundle, "--segment-length", "3", *limits]
    assert main([*words, "--direct_num_workers", workers]) == 3
    capfd.readouterr()
    tags = [json.loads(line) for line in (out / "tags.jsonl").read_text().splitlines()]
    assert [row["title"] for row in tags] == ["good1.mp4", "good2.mp4", "good3.mp4"]
    assert len({json.dumps([row["tags"], row["shots"], row["duration_s"]]) for row in tags}) == 1
    errors = {row["uri"]: row for row in map(json.loads, (out / "errors.jsonl").read_text().splitlines())}
    assert len(errors) == len(harms) + 1
    for uri, row in errors.items():
        harm, where = os.path.basename(uri)[: -len(".mp4")].split("-")
        assert (
            REASONS[harm].replace("for 2 s", "for 20 s") in row["reason"] and row["stage"] == where and row["retryable"]
        )


def test_a_decoder_that_cannot_start_says_why(monkeypatch):
    monkeypatch.setattr(decoder_process, "_COMMAND", "import no_such_module")
    with pytest.raises(DecoderEnded, match=r"ended with status 1: ModuleNotFoundError: .*no_such_module"):
        list(stream(Limits(memory_gb=3), count, 3))


def test_decoders_stay_small(film):
    Decoding().headers(film)
    read(Decoding(), film)
    found = list(stream(Limits(), modules))
    assert "av" in found and not {"apache_beam", "tensorflow", "ai_edge_litert"} & set(found)


def test_a_decoder_streams_what_any_function_yields():
    assert list(stream(Limits(), count, 3)) == [0, 1, 2]
