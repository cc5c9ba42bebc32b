"""Tagging anew from kept features: the tables of decoding anew, and no film is opened."""

import json
import logging
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from films import picture, write_video

from movie_tags import storage
from movie_tags.pipeline.commands import main
from movie_tags.pipeline.inputs import Inputs
from movie_tags.pipeline.interruption import Interruption
from movie_tags.pipeline.method import Method, Work, seen_key
from movie_tags.pipeline.run import Interrupted, TaggingRun
from movie_tags.progress import LOGGER
from movie_tags.records import MODEL, PERSON, Film, KeyFrame
from movie_tags.results import features
from movie_tags.results.corrections import APPLIES, WITHDRAWN, Correction, Corrections
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.manifest import METHOD, SAID_ANEW, entry_of
from movie_tags.results.reading import TABLES, files_of_model
from movie_tags.results.run_records import RunRecord, iso
from movie_tags.results.sort import lines_of

WORK = Work(features=True)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for name, seeds in {"a.mp4": (1, 2, 3), "b.mp4": (4, 5)}.items():
        write_video(folder / name, [picture(seed) for seed in seeds for _ in range(50)])
    (folder / "text.mp4").write_text("no film")
    return str(folder)


def tag(films, folder, model, method=Method(), work=WORK):
    run = TaggingRun(Inputs.of([films]), ResultsFolder(str(folder)), model, method, work, thumbnails=True).run()
    return run


def tables(folder):
    results = ResultsFolder(str(folder))
    return list(results.read("tags")), list(results.read("key_frames")), list(results.read("spans"))


def same(one, other):
    """Records that differ by what quantising costs, if at all."""
    rows = zip(one, other, strict=True)
    for a, b in rows:
        if isinstance(a, KeyFrame):
            assert replace(a, tags=(), top_k=(), thumbnail="") == replace(b, tags=(), top_k=(), thumbnail="")
            assert [t.tag for t in a.top_k] == [t.tag for t in b.top_k]
            assert [t.probability for t in a.top_k] == pytest.approx([t.probability for t in b.top_k], abs=5e-3)
        elif isinstance(a, Film):
            assert replace(a, tags=(), short_list=()) == replace(b, tags=(), short_list=())
            assert [t.tag for t in a.tags] == [t.tag for t in b.tags]
        else:
            assert (a.tag, a.start_s, a.end_s, a.key_frames) == (b.tag, b.start_s, b.end_s, b.key_frames)
    return True


def test_another_head_says_something_else_of_what_was_seen(films, small_bundle, other_bundle, tmp_path):
    kept, anew = tmp_path / "kept", tmp_path / "anew"
    tag(films, kept, small_bundle)
    first = tables(kept)
    run = tag(films, kept, other_bundle)
    assert run.due == {SAID_ANEW: 2, METHOD: 1} and run.counts["videos_tagged"] == 2
    assert run.counters["key_frames_tagged_anew"] == 5 and not run.counters.get("key_frames_tagged")
    tag(films, anew, other_bundle)
    again = tables(kept)
    assert all(same(*pair) for pair in zip(again, tables(anew), strict=True))
    assert [[t.tag for t in f.top_k] for f in again[1]] != [[t.tag for t in f.top_k] for f in first[1]]
    assert [f.thumbnail for f in again[1]] == [f.thumbnail for f in first[1]]
    run = tag(films, kept, small_bundle)  # and back, from the same features
    assert run.due[SAID_ANEW] == 2
    assert all(same(*pair) for pair in zip(tables(kept), first, strict=True))
    assert not tag(films, kept, small_bundle).counts["videos_tagged"]


def test_this_machine_says_without_beam_what_a_cluster_says(films, small_bundle, other_bundle, tmp_path, monkeypatch):
    """The same bytes, counts and entries, by the graph that clusters run."""
    here, there = tmp_path / "here", tmp_path / "there"
    tag(films, here, small_bundle)
    shutil.copytree(here, there, symlinks=True)
    runs = [tag(films, here, other_bundle)]
    monkeypatch.setattr(TaggingRun, "_tag_anew", lambda self, plan, scratch: plan)
    runs.append(tag(films, there, other_bundle))
    for name in (*TABLES,):
        assert (here / "latest" / f"{name}.jsonl").read_bytes() == (there / "latest" / f"{name}.jsonl").read_bytes()
    assert runs[0].counts == runs[1].counts and runs[0].totals == runs[1].totals
    wanted = ("key_frames_tagged_anew", "videos_tagged")
    assert [runs[0].counters[name] for name in wanted] == [runs[1].counters[name] for name in wanted] == [5, 2]
    entries = [
        [replace(entry_of(line), run_id="", at="") for line in lines_of([ResultsFolder(str(folder)).manifest])]
        for folder in (here, there)
    ]
    assert entries[0] == entries[1]


def test_no_beam_is_needed(films, small_bundle, other_bundle, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(f"{films}/{name}", tmp_path)
    tag(str(tmp_path), tmp_path / "out", small_bundle)
    words = ["tag", str(tmp_path), "--output", str(tmp_path / "out"), "--model", other_bundle]
    code = f"import sys\nfrom movie_tags.pipeline.commands import main\nassert main({words!r}) == 0\n"
    heavy = ("apache_beam", "tensorflow", "ai_edge_litert", "av", "scipy", "pandas")
    code += f"assert not sys.modules.keys() & set({heavy!r}), [m for m in {heavy!r} if m in sys.modules]"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0 and "2 tagged, from what was seen" in run.stderr, run.stderr


def test_a_run_that_is_told_to_end_keeps_the_film_in_hand(films, small_bundle, other_bundle, tmp_path):
    tag(films, tmp_path, small_bundle)
    told = Interruption()

    class Watch(logging.Handler):
        def emit(self, record):
            told.told = told.told or "films_anew" in record.getMessage()

    logger, watch = logging.getLogger(LOGGER), Watch()
    logger.setLevel(logging.INFO)
    logger.addHandler(watch)
    try:
        with pytest.raises(Interrupted) as ended:
            TaggingRun(Inputs.of([films]), ResultsFolder(str(tmp_path)), other_bundle, work=WORK).run(interruption=told)
    finally:
        logger.removeHandler(watch)
    assert ended.value.said.counts["videos_tagged"] == 1 and ended.value.said.left == 2
    run = tag(films, tmp_path, other_bundle)
    assert run.due[SAID_ANEW] == 1 and run.counts["videos_tagged"] == 1


def test_what_is_broken_costs_itself_alone(films, small_bundle, other_bundle, tmp_path):
    tag(f"{films}/a.mp4", tmp_path, small_bundle)
    tag(f"{films}/b.mp4", tmp_path, small_bundle)
    entries = [entry_of(line) for line in lines_of([ResultsFolder(str(tmp_path)).manifest])]
    (file,) = features.files_of(str(tmp_path / entries[0].features))
    Path(file).write_bytes(b"PAR1 nonsense")
    run = TaggingRun(
        Inputs.of([f"{films}/a.mp4", f"{films}/b.mp4"]), ResultsFolder(str(tmp_path)), other_bundle, work=WORK
    )
    said = run.run()
    assert said.counts["videos_tagged"] == said.counts["videos_failed"] == 1
    (failure,) = ResultsFolder(str(tmp_path)).read("errors")
    assert failure.uri.endswith("a.mp4") and "cannot be read" in failure.reason and "--force" in failure.reason


def test_a_night_brings_corrections_into_the_tables_and_tagging_anew_keeps_them(
    films, small_bundle, other_bundle, tmp_path, capsys
):
    out = str(tmp_path)

    def night(model, *words):
        status = main(["tag", films, "--output", out, "--model", model, *words])
        assert main(["status", out]) == 0
        tags = [json.loads(line) for line in (tmp_path / "tags.jsonl").read_text("utf-8").splitlines()]
        return status, capsys.readouterr(), [[(t["tag"], t["by"]) for t in row["short_list"]] for row in tags]

    night(small_bundle)
    first = tables(tmp_path)
    film = first[0][0]
    Corrections(out).append([Correction(film.id, "Temple", APPLIES, content=film.content)])
    status, said, short = night(small_bundle)
    assert status == 0 and "nothing is due" in said.err and "what people say is in the tables, of 1 film\n" in said.out
    assert short[0][0] == ("Temple", PERSON) and all(by == MODEL for _, by in (*short[0][1:], *short[1]))
    assert tables(tmp_path) == first  # which are the model's
    status, said, short = night(other_bundle, "--retry", "all")
    assert status == 3 and "a.mp4: Temple" in said.out and short[0][0] == ("Temple", PERSON)
    Corrections(out).append([Correction(film.id, "Temple", WITHDRAWN, content=film.content)])
    assert main(["status", out]) == 0 and "others come into the tables" in capsys.readouterr().out
    _, _, short = night(other_bundle)
    assert short == [[(t.tag, MODEL) for t in film.short_list] for film in tables(tmp_path)[0]]
    assert not files_of_model(ResultsFolder(out).latest, "tags")


def test_what_was_seen_otherwise_is_decoded(films, small_bundle, other_bundle, tmp_path):
    tag(films, tmp_path, small_bundle)
    assert SAID_ANEW not in tag(films, tmp_path, small_bundle, Method(fps=2)).due
    assert tag(films, tmp_path, small_bundle, Method(fps=2, top_k=2)).due[SAID_ANEW] == 2
    for path in storage.list_files(str(tmp_path / "runs")):
        if path.endswith(".parquet"):
            storage.remove([path])
    features_gone = tag(films, tmp_path, other_bundle, Method(fps=2))
    assert SAID_ANEW not in features_gone.due and features_gone.counts["videos_tagged"] == 2


def test_features_that_nobody_needs_are_removed(films, small_bundle, tmp_path):
    tag(films, tmp_path, small_bundle)
    tag(films, tmp_path, small_bundle, Method(fps=2))
    results = ResultsFolder(str(tmp_path))
    (needed,) = results.parts_with_features()
    assert results.prune(RunRecord("prune", begun=iso(0)), [film.id for film in results.read("tags")][:1]) == 1
    kept = [path for path in storage.list_files(str(tmp_path / "runs")) if path.endswith(".parquet")]
    assert kept == features.files_of(str(tmp_path / needed))


def test_without_features_nothing_is_kept(films, small_bundle, tmp_path):
    tag(films, tmp_path, small_bundle, work=Work())
    assert not [path for path in storage.list_files(str(tmp_path)) if path.endswith(".parquet")]
    assert SAID_ANEW not in tag(films, tmp_path, small_bundle, Method(top_k=2)).due


def test_the_key_of_what_is_seen():
    base = seen_key(Method(), "f")
    for said in (Method(top_k=5), Method(min_confidence=0.5), Method(min_probability=0.1), Method(span_gap=1)):
        assert seen_key(said, "f") == base
    for seen in (Method(fps=2), Method(min_entropy=1), Method(shot_threshold=0.4), Method(exact_cuts=True)):
        assert seen_key(seen, "f") != base
    assert seen_key(Method(), "g") != base and seen_key(Method(), None) == ""
