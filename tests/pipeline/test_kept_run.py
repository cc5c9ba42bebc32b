"""Tagging a whole folder of results again: as `tag` does, and no film is opened or looked for."""

import argparse
import json
import shlex
import shutil
from dataclasses import asdict, replace

import pytest
from films import picture, write_video
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.pipeline.commands import main, tag
from movie_tags.pipeline.commands.nightly import method_words, tag_command, work_words
from movie_tags.pipeline.inputs import Inputs
from movie_tags.pipeline.kept_run import KeptRun
from movie_tags.pipeline.method import Method, Work
from movie_tags.pipeline.run import TaggingRun
from movie_tags.records import FAILED, QUARANTINED, TAGGED
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.manifest import CHANGED, SAID_ANEW, entry_of
from movie_tags.results.run_records import RunRecord, iso
from movie_tags.results.sort import lines_of
from movie_tags.transforms.shots.detector import DETECTORS
from movie_tags.transforms.video.limits import Limits


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for name, seeds in {"a.mp4": (1, 2, 3), "b.mp4": (4, 5)}.items():
        write_video(folder / name, [picture(seed) for seed in seeds for _ in range(50)])
    (folder / "text.mp4").write_text("no film")
    return folder


def tagged(films, folder, model, method=Method()):
    work = Work(features=True)
    return TaggingRun(Inputs.of([str(films)]), ResultsFolder(str(folder)), model, method, work, thumbnails=True).run()


def tables(folder):
    results = ResultsFolder(str(folder))
    return [list(results.read(name)) for name in ("tags", "key_frames", "spans", "errors")]


def entries(folder):
    lines = lines_of([ResultsFolder(str(folder)).manifest])
    return [replace(entry_of(line), run_id="", at="") for line in lines]


def test_all_is_said_anew_by_the_method_of_the_last_run(films, small_bundle, other_bundle, tmp_path, capsys):
    """The tables, and what is known to be done, are those of `tag` over the same films; but the films are gone."""
    here, there = tmp_path / "here", tmp_path / "there"
    tagged(films, here, small_bundle, Method(fps=2, top_k=2))
    shutil.copytree(here, there, symlinks=True)
    tagged(films, here, other_bundle, Method(fps=2, top_k=2))
    moved = shutil.move(films, tmp_path / "moved")
    try:
        assert main(["retag", str(there), "--model", other_bundle]) == 0
        out = capsys.readouterr().out
        assert "2 films: 2 tagged, from what was seen; no film was opened" in out
        assert f"tag {films} --output {there} --fps 2 --top-k 2 --model {other_bundle}" in out
        assert main(["retag", str(there), "--model", other_bundle]) == 0
        out = capsys.readouterr().out
        assert "nothing is due: all is said" in out
        assert main(["retag", str(there), "--model", other_bundle, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["tagged"], found["failed"], found["left"]) == (0, 0, 0)
        assert found["outcome"] == "nothing is due: all is said by this model already"
        assert f"every night: {found['nightly']}\n" in out
    finally:
        shutil.move(moved, films)
    assert tables(there) == tables(here)
    text, (a, b) = entries(here)[-1], entries(here)[:-1]
    assert entries(there)[:-1] == [a, b]
    assert replace(entries(there)[-1], method_key=text.method_key) == text  # what failed stays failed, untried
    run = tagged(films, there, other_bundle, Method(fps=2, top_k=2))
    assert not run.counts["videos_tagged"]


def test_what_was_seen_otherwise_stays_and_is_counted(films, small_bundle, other_bundle, tmp_path, capsys):
    tagged(films / "a.mp4", tmp_path / "results", small_bundle)
    tagged(films / "b.mp4", tmp_path / "results", small_bundle, Method(fps=2))
    before = tables(tmp_path / "results")[0]
    run = KeptRun(ResultsFolder(str(tmp_path / "results")), other_bundle)
    assert run.run().due == {SAID_ANEW: 1} and run.left == 1
    after = tables(tmp_path / "results")[0]
    assert after[0] == before[0] and after[1] != before[1]
    assert main(["retag", str(tmp_path / "results"), "--model", "compact"]) == 0
    assert "2 films stay as before" in capsys.readouterr().out and tables(tmp_path / "results")[0] == after
    assert main(["retag", str(tmp_path / "results"), "--model", "compact", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["left"], found["outcome"]) == (2, "nothing is due")


def test_what_is_kept_of_a_film_outlasts_nights_on_which_its_file_is_away(
    films, small_bundle, other_bundle, tmp_path, capsys
):
    """It is still looked like, learned from, retagged and not pruned; and it is due when the file is back."""
    out, away = tmp_path / "out", tmp_path / "a.mp4"
    shutil.copy2(films / "a.mp4", away)
    (tmp_path / "c.csv").write_text(f"uri\n{away}\n{films / 'b.mp4'}\n")
    tagged(tmp_path / "c.csv", out, small_bundle)
    before, kept = tables(out), [(one.features, one.seen_key) for one in entries(out)]
    away.rename(tmp_path / "gone.mp4")
    for night in range(1, 4):
        tagged(tmp_path / "c.csv", out, small_bundle)
        assert tables(out)[:3] == before[:3]
        assert [(one.features, one.seen_key) for one in entries(out)] == kept
        assert [one.status for one in entries(out)] == [TAGGED, QUARANTINED if night == 3 else FAILED]
    assert ResultsFolder(str(out)).parts_with_features() == {part for part, _ in kept}
    tagged(films / "text.mp4", out, small_bundle)
    assert ResultsFolder(str(out)).prune(RunRecord("prune", begun=iso(0)), [str(films / "text.mp4")]) == 1
    assert main(["search", str(out), "--like", f"{away}@0:01"]) == 0
    assert main(["retag", str(out), "--model", other_bundle]) == 0
    assert "2 films: 2 tagged, from what was seen" in capsys.readouterr().out
    assert tables(out)[0][1] != before[0][1] and not tables(out)[3]
    (tmp_path / "gone.mp4").rename(away)
    assert tagged(tmp_path / "c.csv", out, other_bundle).due == {CHANGED: 1}  # for its version was not known
    assert [one.status for one in entries(out)] == [TAGGED] * 2 and entries(out)[1].source


def test_films_that_are_lost_are_counted_as_failed(films, small_bundle, other_bundle, tmp_path, capsys, monkeypatch):
    tagged(films / "a.mp4", tmp_path / "results", small_bundle)
    run = KeptRun.run

    def losing(self, *watched):
        done = run(self, *watched)
        return replace(done, counts={**done.counts, "videos_lost": 2})

    monkeypatch.setattr(KeptRun, "run", losing)
    assert main(["retag", str(tmp_path / "results"), "--model", other_bundle, "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert (found["tagged"], found["failed"], found["left"]) == (1, 2, 0)


def test_there_must_be_results(small_bundle, tmp_path, capsys):
    assert main(["retag", str(tmp_path / "none"), "--model", small_bundle]) == 2
    assert "holds no results" in capsys.readouterr().err


methods = st.builds(
    Method,
    fps=st.sampled_from((1.0, 2.0, 0.5)),
    sampling=st.sampled_from(("exact", "codec-key-frames")),
    detector=st.sampled_from(sorted(DETECTORS)),
    shot_threshold=st.none() | st.floats(0, 1),
    exact_cuts=st.booleans(),
    top_k=st.integers(1, 9),
    min_probability=st.none() | st.floats(0, 1),
    min_relative_strength=st.none() | st.floats(0, 1),
    min_confidence=st.floats(0, 1),
    span_gap=st.floats(0, 60),
)
paper = methods.flatmap(lambda one: st.floats(0, 1).map(lambda p: replace(one, min_confidence=None, min_probability=p)))


seconds = st.sampled_from((20.0, 60.0, 300.0)) | st.floats(1e-3, 1e9)
works = st.builds(
    Work,
    segment_length=seconds,
    batch_size=st.integers(1, 99),
    accelerator=st.sampled_from((None, "type:nvidia-tesla-t4;count:1")),
    limits=st.none() | st.builds(Limits, st.sampled_from((4.0, 0.7, 8.0)), seconds, seconds),
    features=st.booleans(),
)


@given(methods | paper, works)
def test_the_command_asks_for_the_method_and_the_work_of_the_run(method, work):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    tag.add_options(parser)
    beam = ["--runner", "FlinkRunner", "--flink_master=localhost:8081"]
    said = {**asdict(work), "workers": 1, "thumbnails": None, "all_videos": True, "beam": beam}
    done = RunRecord(
        "run", inputs=["a film.mp4"], method=vars(method), work=json.loads(json.dumps(said)), format="parquet"
    )
    words = shlex.split(tag_command(done, "results", ["mine"]))
    args, rest = parser.parse_known_args(words[2:])
    assert (tag.method_of(args), tag.work_of(args), rest) == (method, work, beam)
    assert (args.inputs, args.output, args.model) == (["a film.mp4"], "results", ["mine"])
    assert (args.format, args.thumbnails, args.all_videos) == ("parquet", False, True)
    assert method_words(vars(Method())) == work_words(asdict(Work(features=True))) == work_words({}) == []


def test_after_tagging_anew_the_command_is_still_that_of_the_run_before(
    films, small_bundle, other_bundle, tmp_path, capsys
):
    """As often as it is tagged anew; options of tagging anew itself are not passed on."""
    out = tmp_path / "out"
    options = ["--segment-length", "30", "--decoder-memory", "3", "--direct_num_workers", "1"]
    assert main(["tag", str(films / "b.mp4"), "--output", str(out), "--model", small_bundle, *options]) == 0
    for model in (other_bundle, small_bundle):
        capsys.readouterr()
        assert main(["retag", str(out), "--model", model, "--direct_num_workers=2"]) == 0
        wanted = shlex.join(
            ["movie-tags", "tag", str(films / "b.mp4"), "--output", str(out), "--model", model, *options]
        )
        assert capsys.readouterr().out.splitlines()[-1] == f"from now on, every night: {wanted}"
