import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import reference
from films import VIDEOS, needs_footage, picture, write_video

from movie_tags.models.bundle import fingerprint, read_bundle
from movie_tags.pipeline.commands import main
from movie_tags.pipeline.options import build_parser, cores, local_options, separate_beam_options
from movie_tags.transforms.tagging import load_saved_model, predict, top_tags

HERE = ["--direct_num_workers", "1"]


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    scenes = [k // 40 for k in range(300)]
    write_video(folder / "a.mp4", [picture(scene) for scene in scenes])
    write_video(folder / "black.mp4", [np.zeros((96, 128, 3), np.uint8)] * 60)
    return folder


def rows(folder, name):
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def test_films_are_tagged_as_the_paper_says(films, tmp_path, small_bundle, capsys):
    out = tmp_path / "out"
    assert main(["tag", str(films), "--output", str(out), "--model", small_bundle, *HERE]) == 0
    assert sorted(os.listdir(out)) == ["errors.jsonl", "key_frames.jsonl", "run.json", "tags.jsonl"]
    film, black = rows(out, "tags")
    samples = reference.sample(films / "a.mp4")
    shots = reference.shots(samples)
    bundle = read_bundle(small_bundle)
    model = load_saved_model(bundle.saved_model_uri, bundle.fingerprint, 1)
    tops = [
        [
            (tag, p / 1e6)
            for tag, p in top_tags(predict(model, [samples[(a + b) // 2]], (32, 32))[0], bundle.vocabulary, 3)
        ]
        for a, b in shots
    ]
    assert (film["frames_sampled"], film["shots"], film["key_frames"]) == (len(samples), len(shots), len(shots))
    assert film["duration_s"] == pytest.approx(12.0)
    expected = reference.strengths(tops)
    assert {tag["tag"] for tag in film["all_tags"]} == set(expected)
    for tag in film["all_tags"]:
        n, weight, relative = expected[tag["tag"]]
        assert tag["occurrences"] == n
        assert tag["strength"] == pytest.approx(weight, abs=1e-5)
        assert tag["relative_strength"] == pytest.approx(relative, abs=1e-4)
    assert film["tags"] == [tag for tag in film["all_tags"] if tag["relative_strength"] >= 0.1]
    key_frames = rows(out, "key_frames")
    assert [row["time_s"] for row in key_frames] == [(a + b) // 2 for a, b in shots]
    assert [row["entropy"] for row in key_frames] == pytest.approx(
        [reference.entropy(samples[(a + b) // 2]) for a, b in shots], abs=1e-5
    )
    assert (black["key_frames"], black["key_frames_rejected"], black["tags"]) == (0, 1, [])
    run = json.loads((out / "run.json").read_text())
    assert run["model"]["fingerprint"] == bundle.fingerprint
    assert run["counts"]["videos_tagged"] == 2
    assert "a.mp4: " in capsys.readouterr().out


def test_results_do_not_depend_on_cuts_or_workers(films, tmp_path, small_bundle):
    tables = []
    for i, extra in enumerate(
        (HERE, [*HERE, "--segment-length", "1"], ["--direct_num_workers", "2", "--segment-length=3"])
    ):
        out = tmp_path / f"out{i}"
        assert main(["tag", str(films), "--output", str(out), "--model", small_bundle, *extra]) == 0
        tables.append([(out / name).read_bytes() for name in ("tags.jsonl", "key_frames.jsonl", "errors.jsonl")])
    assert tables[0] == tables[1] == tables[2]


def test_a_bad_video_costs_only_itself(films, tmp_path, small_bundle, capsys):
    (films / "bad.mp4").write_bytes(b"no film")
    out = tmp_path / "out"
    assert main(["tag", str(films), str(films / "a.mp4"), "--output", str(out), "--model", small_bundle, *HERE]) == 3
    assert [row["title"] for row in rows(out, "tags")] == ["a.mp4", "black.mp4"]
    (error,) = rows(out, "errors")
    assert error["uri"].endswith("bad.mp4") and error["stage"] == "opening" and "not a video" in error["reason"]
    assert "1 failed" in capsys.readouterr().err


def test_results_are_not_overwritten_unasked(films, tmp_path, small_bundle, capsys):
    out = tmp_path / "out"
    command = ["tag", str(films / "black.mp4"), "--output", str(out), "--model", small_bundle, *HERE]
    assert main(command) == 0
    assert main(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    (out / "tags-00000-of-00002.jsonl").touch()
    (out / "mine.txt").touch()
    assert main([*command, "--overwrite"]) == 0
    assert sorted(os.listdir(out)) == ["errors.jsonl", "key_frames.jsonl", "mine.txt", "run.json", "tags.jsonl"]


def test_a_run_that_fails_leaves_nothing_behind(films, tmp_path, small_bundle, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(small_bundle, broken)
    (broken / "saved_model" / "saved_model.pb").write_bytes(b"no model")
    card = json.loads((broken / "model.json").read_text())
    (broken / "model.json").write_text(json.dumps({**card, "fingerprint": fingerprint(str(broken))}))
    out = tmp_path / "out"
    assert main(["tag", str(films), "--output", str(out), "--model", str(broken), *HERE]) == 1
    message = capsys.readouterr().err
    assert "the run failed" in message and "Traceback" not in message
    assert os.listdir(out) == []


@pytest.mark.parametrize(
    "words,message",
    [
        (["--fpss", "2"], "did you mean --fps"),
        (["--direct_num_worker", "2"], "did you mean --direct_num_workers"),
        (["--fps", "0"], "not above 0"),
        (["--top-k", "0"], "not 1 or more"),
        (["--shot-threshold", "7"], "not between 0 and 1"),
    ],
)
def test_wrong_usage(tmp_path, capsys, words, message):
    with pytest.raises(SystemExit) as end:
        main(["tag", "x.mp4", "--output", str(tmp_path), *words])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_lossy_mode_missing_input_and_missing_model_are_refused(films, tmp_path, small_bundle, capsys):
    good = ["tag", str(films), "--output", str(tmp_path / "out"), "--model", small_bundle]
    assert main([*good, "--direct_running_mode", "multi_threading"]) == 2
    assert "loses elements" in capsys.readouterr().err
    assert main(["tag", "nowhere.mp4", *good[2:]]) == 2
    assert main([*good[:-1], str(tmp_path)]) == 2
    assert not (tmp_path / "out").exists()


def test_beam_options_are_passed_on():
    ours = build_parser()._subparsers._group_actions[0].choices["tag"]
    words = [
        "--runner",
        "FlinkRunner",
        "a.mp4",
        "--flink_master=host:1",
        "--output",
        "o",
        "--save_main_session",
        "b.mp4",
    ]
    rest, beam = separate_beam_options(words, ours)
    assert rest == ["a.mp4", "--output", "o", "b.mp4"]
    assert beam == ["--runner", "FlinkRunner", "--flink_master=host:1", "--save_main_session"]
    options, workers = local_options(beam)
    assert workers == 0 and options.get_all_options()["flink_master"] == "host:1"


@pytest.mark.parametrize(
    "words,workers,mode",
    [
        ([], cores(), "multi_processing" if cores() > 1 else "in_memory"),
        (["--runner", "DirectRunner", "--direct_num_workers=1"], 1, "in_memory"),
        (["--direct_num_workers", "3"], 3, "multi_processing"),
        (["--direct_num_workers", "3", "--direct_running_mode", "in_memory"], 1, "in_memory"),
    ],
)
def test_local_runs_use_the_workers_asked_for(words, workers, mode):
    options, found = local_options(words)
    everything = options.get_all_options()
    assert (found, everything["direct_num_workers"], everything["direct_running_mode"]) == (workers, workers, mode)
    assert everything["runner"] == "FnApiRunner"


def test_frame(tmp_path, small_bundle, capsys):
    path = tmp_path / "p.png"
    cv2.imwrite(str(path), picture(2))
    assert main(["frame", str(path), "--model", small_bundle, "--top-k", "2"]) == 0
    assert capsys.readouterr().out.count(",") == 1
    assert main(["frame", str(tmp_path / "none.png"), "--model", small_bundle]) == 3


def test_the_installed_command_and_its_exit_status(films, tmp_path, small_bundle):
    command = os.path.join(os.path.dirname(sys.executable), "movie-tags")
    words = [command, "tag", str(films / "black.mp4"), "--output", str(tmp_path / "o"), "--model", small_bundle, *HERE]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0
    assert done.stdout == "black.mp4: no tags\n"
    # Nothing but lines of progress: nobody's warnings.
    assert all(line.endswith("x real time") for line in done.stderr.splitlines()), done.stderr


@needs_footage
def test_real_films_and_odd_files_with_the_bundled_model(tmp_path):
    out = tmp_path / "out"
    status = main(["tag", str(VIDEOS / "films"), str(VIDEOS / "odd"), "--output", str(out), "--segment-length", "20"])
    assert status == 3
    tagged, failed = rows(out, "tags"), rows(out, "errors")
    assert len(tagged) + len(failed) == 5 + 21  # cover_art…m4a is not taken for a video
    assert {os.path.basename(row["uri"]) for row in failed} == {
        "audio_only_named_mp4.mp4",
        "encrypted_tenc_only.mp4",
        "pmt_change_midstream.ts",
        "random_bytes.avi",
        "text_named_mp4.mp4",
        "truncated_no_moov.mp4",
        "zero_length.mp4",
    }
    assert sum(row["key_frames"] for row in tagged) == len(rows(out, "key_frames"))
