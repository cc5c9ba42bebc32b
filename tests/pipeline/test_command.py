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

from movie_tags import storage
from movie_tags.machine import cores
from movie_tags.models.bundle import fingerprint, read_bundle
from movie_tags.models.loading import load_model, predict
from movie_tags.pipeline import tag_movies
from movie_tags.pipeline.beam.options import local_options, separate_beam_options
from movie_tags.pipeline.commands import command_parser, main
from movie_tags.report.phrases import percent
from movie_tags.storage import StorageError
from movie_tags.transforms import tagging
from movie_tags.transforms.frame_rule import in_millionths, top_tags

HERE = ["--direct_num_workers", "1"]
TABLES = ["errors.jsonl", "key_frames.jsonl", "spans.jsonl", "tags.jsonl"]
FOLDER = sorted([*TABLES, "latest", "manifest.jsonl", "run.json", "runs", "views"])


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
    assert sorted(os.listdir(out)) == sorted([*FOLDER, "thumbnails"])
    film, black = rows(out, "tags")
    samples = reference.sample(films / "a.mp4")
    shots = reference.shots(samples)
    bundle = read_bundle(small_bundle)
    model = load_model(bundle, 1)
    tops = [
        list(top_tags(in_millionths(found.probabilities), bundle.vocabulary, 3))
        for found in predict(model, [samples[(a + b) // 2] for a, b in shots], bundle.fitted)
    ]
    assert (film["frames_sampled"], film["shots"], film["key_frames"]) == (len(samples), len(shots), len(shots))
    assert film["duration_s"] == pytest.approx(12.0)
    expected = reference.strengths(tops)
    assert {tag["tag"] for tag in film["tags"]} == set(expected)
    for tag in film["tags"]:
        n, weight, relative = expected[tag["tag"]]
        assert tag["occurrences"] == n
        assert tag["strength"] == pytest.approx(weight, abs=1e-5)
        assert tag["relative_strength"] == pytest.approx(relative, abs=1e-4)
    assert film["short_list"] == [tag for tag in film["tags"] if tag["relative_strength"] >= 0.1]
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
        tables.append([(out / name).read_bytes() for name in TABLES])
    assert tables[0] == tables[1] == tables[2]


def test_a_bad_video_costs_only_itself(films, tmp_path, small_bundle, capsys):
    (films / "bad.mp4").write_bytes(b"no film")
    out = tmp_path / "out"
    assert main(["tag", str(films), str(films / "a.mp4"), "--output", str(out), "--model", small_bundle, *HERE]) == 3
    assert [row["title"] for row in rows(out, "tags")] == ["a.mp4", "black.mp4"]
    (error,) = rows(out, "errors")
    assert error["uri"].endswith("bad.mp4") and error["stage"] == "opening" and "not a video" in error["reason"]
    assert "1 failed" in capsys.readouterr().err


def broken_copy(bundle, folder):
    shutil.copytree(bundle, folder)
    (folder / "model.tflite").write_bytes(b"no model")
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**card, "fingerprint": fingerprint(str(folder), card)}))
    return str(folder)


def test_a_model_that_cannot_be_loaded_is_refused_before_the_run(films, tmp_path, small_bundle, capsys):
    broken, out = broken_copy(small_bundle, tmp_path / "broken"), tmp_path / "out"
    assert main(["tag", str(films), "--output", str(out), "--model", broken, *HERE]) == 2
    message = capsys.readouterr().err
    assert broken in message and "no model that LiteRT can run" in message and "Traceback" not in message
    assert not list(out.iterdir())


def test_a_run_that_fails_leaves_nothing_behind(films, tmp_path, small_bundle, capsys, monkeypatch):
    def fail(self, element):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(tag_movies._Results, "process", fail)
    out = tmp_path / "out"
    assert main(["tag", str(films), "--output", str(out), "--model", small_bundle, *HERE]) == 1
    message = capsys.readouterr().err
    assert "the run failed" in message and "out of luck" in message and "Traceback" not in message
    assert os.listdir(out) == []


def test_what_cannot_be_tidied_up_does_not_hide_why_the_run_failed(films, tmp_path, small_bundle, capsys, monkeypatch):
    def fail(self, element):
        raise RuntimeError("out of luck")

    def refuse(uri):
        raise StorageError("not allowed to tidy up")

    monkeypatch.setattr(tag_movies._Results, "process", fail)
    monkeypatch.setattr(storage, "remove_folder", refuse)
    assert main(["tag", str(films), "--output", str(tmp_path / "out"), "--model", small_bundle, *HERE]) == 1
    assert "out of luck" in capsys.readouterr().err


def test_an_output_folder_may_have_any_name(films, tmp_path, small_bundle, capsys):
    out = tmp_path / "films [1] * ?"
    command = ["tag", str(films / "black.mp4"), "--output", str(out), "--model", small_bundle, *HERE]
    assert main(command) == 0
    assert sorted(os.listdir(out)) == FOLDER
    assert main(command) == 0
    assert "nothing is due: 1 video is tagged already (--force" in capsys.readouterr().err
    assert main(["prune", str(out), "--catalogue", str(films / "black.mp4")]) == 0
    assert len(rows(out, "tags")) == 1
    assert main(["prune", str(out), "--catalogue", str(films / "a.mp4"), "--yes"]) == 0
    assert rows(out, "tags") == []


def test_what_a_run_of_prune_says_is_of_itself(films, tmp_path, small_bundle, capsys):
    out = tmp_path / "out"
    assert main(["prune", str(out), "--catalogue", str(films)]) == 2
    assert f"{out}: there is no such folder" in capsys.readouterr().err and not out.exists()
    assert main(["tag", str(films / "black.mp4"), "--output", str(out), "--model", small_bundle, *HERE]) == 0
    tagged = json.loads((out / "run.json").read_text())
    prune = ["prune", str(out), "--catalogue", str(films / "a.mp4")]
    capsys.readouterr()
    for more, status, said in (
        (["--dry-run"], 2, "1 video is no longer named, and a run would refuse to remove it: they are all that there"),
        ([], 2, "1 video is no longer named and would be removed: they are all that there"),
        (["--dry-run", "--yes"], 0, "1 video is no longer named and would be removed"),
    ):
        assert main([*prune, *more]) == status
        assert said in "".join(capsys.readouterr()) and len(rows(out, "tags")) == 1
    for missing, what in ((films / "none", "there is no such file or folder"), (out, "there is no video below it")):
        assert main(["prune", str(out), "--catalogue", str(missing), "--yes"]) == 2
        assert f"{missing}: {what}" in (said := capsys.readouterr().err) and "Nothing is removed" in said
    assert main([*prune, "--yes"]) == 0
    (pruned,) = (json.loads(p.read_text()) for p in out.glob("runs/*/run.json") if p.parent.name != tagged["run_id"])
    assert pruned["begun"] > tagged["ended"] and pruned["counts"] == {"removed": 1}
    assert not any(pruned[name] for name in ("inputs", "model", "method", "due", "counters", "totals"))
    capsys.readouterr()
    assert main(["status", str(out), "--json"]) == 0
    assert [(run["state"], run["due"]) for run in json.loads(capsys.readouterr().out)["runs"]] == [
        ("pruned", {}),
        ("done", {"new": 1}),
    ]


def test_without_an_output_folder_the_tags_are_printed_and_nothing_is_left(
    films, tmp_path, small_bundle, capsys, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(os.listdir(tmp_path))
    (films / "bad.mp4").write_bytes(b"no film")
    assert main(["tag", str(films), "--model", small_bundle, *HERE]) == 3
    said = capsys.readouterr()
    assert "a.mp4: " in said.out and "black.mp4: nothing that the model is sure of" in said.out
    assert "bad.mp4: is not a video" in said.err
    assert sorted(os.listdir(tmp_path)) == before


def test_the_same_film_named_in_several_ways(films, tmp_path, small_bundle):
    catalogue = tmp_path / "c.jsonl"
    a, black = str(films / "a.mp4"), str(films / "black.mp4")
    lines = [
        {"id": 0, "uri": a, "title": "B"},
        {"id": "0", "uri": a, "title": "A"},
        {"id": "x", "uri": black},
        {"id": "y", "uri": str(films / ".." / "films" / "black.mp4")},
    ]
    tables = []
    for i, order in enumerate((lines, lines[::-1])):
        catalogue.write_text("".join(json.dumps(line) + "\n" for line in order))
        out = tmp_path / f"out{i}"
        assert main(["tag", str(catalogue), "--output", str(out), "--model", small_bundle, *HERE]) == 0
        tables.append([(out / name).read_bytes() for name in TABLES])
    assert tables[0] == tables[1]
    first, x, y = rows(out, "tags")
    assert (first["id"], first["title"]) == ("0", "A") and "2 titles: 'A', 'B'" in first["warnings"][0]
    assert "warnings" not in x
    assert y["warnings"] == ["it is the same file as 'x' and was tagged a second time"]
    counts = json.loads((out / "run.json").read_text())["counts"]
    assert (counts["inputs_read"], counts["inputs_merged"], counts["videos_tagged"]) == (4, 1, 3)


def test_an_input_that_a_runner_loses_is_an_error(films, tmp_path, small_bundle, monkeypatch, capsys):
    process = tag_movies._Results.process

    def forgetful(self, element):
        if not element[0].id.endswith("black.mp4"):
            yield from process(self, element)

    monkeypatch.setattr(tag_movies._Results, "process", forgetful)
    out = tmp_path / "out"
    assert main(["tag", str(films), "--output", str(out), "--model", small_bundle, *HERE]) == 3
    (error,) = rows(out, "errors")
    assert error["stage"] == "accounting" and error["retryable"] and error["id"].endswith("black.mp4")
    assert json.loads((out / "run.json").read_text())["counts"]["videos_lost"] == 1


def test_a_key_frame_that_a_runner_loses_is_an_error(films, tmp_path, small_bundle, monkeypatch):
    process = tagging._TopTags.process

    def forgetful(self, element):
        if element[0][1].time_s:
            yield from process(self, element)

    monkeypatch.setattr(tagging._TopTags, "process", forgetful)
    out = tmp_path / "out"
    assert main(["tag", str(films), "--output", str(out), "--model", small_bundle, *HERE]) == 3
    (error,) = rows(out, "errors")
    assert error["stage"] == "accounting" and "of its 7 shots 6 were tagged" in error["reason"]
    assert [row["title"] for row in rows(out, "tags")] == ["black.mp4"]


def test_the_table_of_key_frames_holds_what_strengths_are_made_of(films, tmp_path, small_bundle):
    out = tmp_path / "out"
    words = ["--model", small_bundle, "--top-k", "2", "--min-probability", "0.18", "--span-gap", "0", *HERE]
    assert main(["tag", str(films), "--output", str(out), *words]) == 0
    film, _ = rows(out, "tags")
    key_frames = rows(out, "key_frames")
    assert {len(row["top_k"]) for row in key_frames} == {2} and {len(row["tags"]) for row in key_frames} == {1, 2}
    assert all(row["tags"] == [tag for tag in row["top_k"] if tag["probability"] >= 0.18] for row in key_frames)
    expected = reference.strengths([[(tag["tag"], tag["probability"]) for tag in row["tags"]] for row in key_frames])
    assert {tag["tag"]: tag["occurrences"] for tag in film["tags"]} == {t: n for t, (n, _, _) in expected.items()}
    for tag in film["tags"]:
        assert tag["strength"] == pytest.approx(expected[tag["tag"]][1], abs=1e-8)
        assert tag["relative_strength"] == pytest.approx(expected[tag["tag"]][2], abs=1e-8)
        shots = [r for r in key_frames if tag["tag"] in (found["tag"] for found in r["tags"])]
        assert tag["seconds"] == sum(row["shot_end_s"] - row["shot_start_s"] for row in shots)
        spans = [span for span in rows(out, "spans") if span["tag"] == tag["tag"]]
        assert sum(span["end_s"] - span["start_s"] for span in spans) == tag["seconds"]
    for row in key_frames:
        picture = cv2.imread(str(out / row["thumbnail"]))
        assert max(picture.shape) == 128


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
    ours = command_parser("tag")
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
    (said,) = capsys.readouterr().out.splitlines()
    missing = str(tmp_path / "none.png")
    assert main(["frame", str(path), missing, "--model", small_bundle, "--top-k", "2", "--json"]) == 3
    found, failed = map(json.loads, capsys.readouterr().out.splitlines())
    assert said == f"{path}: " + ", ".join(f"{t['tag']} {percent(t['probability'])}" for t in found["tags"])
    assert len(found["tags"]) == 2 and failed == {"image": missing, "reason": "no picture that can be read"}
    assert main(["frame", missing, "--model", small_bundle]) == 3


def test_the_installed_command_and_its_exit_status(films, tmp_path, small_bundle):
    command = os.path.join(os.path.dirname(sys.executable), "movie-tags")
    words = [command, "tag", str(films / "black.mp4"), "--output", str(tmp_path / "o"), "--model", small_bundle, *HERE]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0
    assert done.stdout == "black.mp4: nothing that the model is sure of\n"
    # Nothing but lines of progress: nobody's warnings.
    assert all(line.endswith("x real time") for line in done.stderr.splitlines()), done.stderr


def test_when_the_reader_has_gone_the_command_ends_quietly(tmp_path):
    for printed in ("'x'", "'x' * 100_000", "'\\n' * 100_000"):  # held back until the end, at once, little by little
        code = "from movie_tags.pipeline.commands import status; from movie_tags.__main__ import run\n"
        code += f"status.run = lambda *_: [print(end=text) for text in ({printed}).splitlines(True)] and 0\nrun()"
        process = subprocess.Popen([sys.executable, "-c", code, "status", str(tmp_path)], stdout=-1, stderr=-1)
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait(60) == 141


def test_an_interrupt_while_pages_are_made_leaves_the_results(films, tmp_path, small_bundle, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("movie_tags.report.write.write_report", interrupt)
    out = tmp_path / "out [old]"
    words = ["--output", str(out), "--model", small_bundle, "--report", *HERE]
    assert main(["tag", str(films / "black.mp4"), *words]) == 1
    said = capsys.readouterr().err
    assert f"the results are whole and in {out}" in said and f"movie-tags report {out}" in said
    assert len(rows(out, "tags")) == 1 and "no results" not in said
    assert main(["status", str(out)]) == 0
    assert f"{out}: 1 video tagged (" in capsys.readouterr().out


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
