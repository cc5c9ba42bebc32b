"""Folders of results: what they show after any sequence of runs, and at whatever instant one of them dies."""

import contextlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from power_cut import Countdown, PowerCut

from movie_tags import storage
from movie_tags.records import FAILED, QUARANTINED, TAGGED, Entry, Video
from movie_tags.results import merge
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.manifest import CATALOGUE, NEW, Due, entry_of, id_of
from movie_tags.results.parts import PLAN, Part
from movie_tags.results.reading import FORMATS, TABLES, OutputError, latest_view, read_run, read_table
from movie_tags.results.run_records import DONE, PartRecord, RunRecord
from movie_tags.results.schema import MANIFEST, to_line, to_row
from movie_tags.results.sort import in_order, joined, key_of, lines_of

FRONT = "errors.jsonl key_frames.jsonl latest manifest.jsonl notes.txt run.json runs spans.jsonl tags.jsonl views"

IDS = st.sampled_from(["a", "b", 'quo"ted', "ü", "b/2", "\\"])
ENDS = st.sampled_from(["tagged", "passing", "for good"])


def write_part(output, run_id, name, films, method="m"):
    """A part as a pipeline leaves it, films (id -> how it ended) in no order; finished."""
    part = ResultsFolder(str(output)).run(run_id).part(name)
    os.makedirs(part.address)
    lines = {table: [] for table in (*TABLES, MANIFEST)}
    for film, end in films.items():
        about = {"id": film, "run": run_id}
        if end == "tagged":
            lines["tags"].append(about)
            lines["key_frames"] += [{**about, "time_s": t, "thumbnail": f"thumbnails/{film}-{run_id}"} for t in (2, 1)]
            lines["spans"].append({**about, "tag": "x", "start_s": 0})
        else:
            lines["errors"].append({**about, "stage": "opening", "reason": end, "retryable": end == "passing"})
        entry = Entry(film, film, "v", method, TAGGED if end == "tagged" else FAILED, 0, retryable=end == "passing")
        lines[MANIFEST].append(to_row(replace(entry, run_id=run_id)))
    for table, rows in lines.items():
        part.write(table, ((json.dumps(row) + "\n").encode() for row in reversed(rows)))
    part.write_counts({"videos_tagged": sum(end == "tagged" for end in films.values())})
    part.finish(PartRecord(run_id, method, "2026-01-01T00:00:00+00:00"))
    return part.address


def begin(output, run_id, **more):
    run = RunRecord(run_id, "2026-01-01T00:00:00+00:00", **more)
    ResultsFolder(str(output)).run(run_id).begin(run)
    return run


def end(output, run, state=DONE, max_attempts=99):
    return ResultsFolder(str(output)).finish(run, state, max_attempts)


def shown(output):
    """By table, the (id, run) of each row."""
    return {name: [(row["id"], row["run"]) for row in read_table(str(output), name)] for name in TABLES}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.dictionaries(IDS, ENDS, max_size=3), min_size=1, max_size=4), min_size=1, max_size=4))
def test_the_view_is_what_the_runs_say_one_after_the_other(history):
    results, failures = {}, {}
    with tempfile.TemporaryDirectory() as output, pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "MERGED_AT_ONCE", 2)
        for number, parts in enumerate(history):
            run_id, seen = f"run-{number}", set()
            said = begin(output, run_id)
            for place, films in enumerate(parts):
                films = {film: how for film, how in films.items() if film not in seen}  # a video is in one part
                seen |= films.keys()
                write_part(output, run_id, f"part-{place}", films)
                for film, how in films.items():
                    failures.pop(film, None)
                    if how == "tagged":
                        results[film] = run_id
                    else:
                        failures[film] = run_id
                        if how == "for good":
                            results.pop(film, None)
            end(output, said)
        assert shown(output) == {
            "tags": sorted(results.items()),
            "key_frames": [item for item in sorted(results.items()) for _ in range(2)],
            "spans": sorted(results.items()),
            "errors": sorted(failures.items()),
        }
        known = results.keys() | failures.keys() | {film for run in history for part in run for film in part}
        lines = Path(output, f"{MANIFEST}.jsonl").read_bytes().splitlines()
        assert [id_of(line) for line in lines] == sorted(known)
        assert all((entry_of(line).status == TAGGED) == (id_of(line) not in failures) for line in lines)


@given(st.lists(st.tuples(IDS, st.integers(0, 9))), st.integers(1, 200))
def test_lines_in_order_whatever_fits_into_memory(rows, at_once):
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{i}.jsonl") for i in range(2)]
        for i, file in enumerate(files):
            file.write_text("".join(json.dumps({"id": a, "time_s": t}) + "\n" for a, t in rows[i::2]))
        lines = list(in_order(lines_of(map(str, files)), key_of, folder, at_once))
        assert [(json.loads(line)["id"], json.loads(line)["time_s"]) for line in lines] == sorted(rows)
        assert len(os.listdir(folder)) == 2


@given(st.text())
def test_a_lines_id_is_read_without_the_rest(name):
    assert id_of(json.dumps({"id": name, "n": 1}, ensure_ascii=False).encode(errors="surrogatepass")) == name
    assert id_of(json.dumps({"id": name}).encode()) == name


def night(output, run_id, films):
    """A run of a part for each film."""
    said = begin(output, run_id)
    for film, how in films.items():
        write_part(output, run_id, f"part-{film}", {film: how})
    end(output, said)


@pytest.mark.parametrize("linked", [True, False])
def test_whenever_a_run_dies_readers_see_one_view_and_the_next_run_goes_on(tmp_path, linked):
    if not linked:  # a file system without links

        def refuse(*_):
            raise OSError("no links here")

    operations = 0
    while True:
        output = tmp_path / f"out-{operations}"
        with pytest.MonkeyPatch.context() as patch:
            if not linked:
                patch.setattr(os, "symlink", refuse)
            night(output, "old", {"a": "tagged", "b": "tagged"})
            old = {name: [(film, "old") for film, _ in rows] for name, rows in shown(output).items()}
            new = {name: [(film, "new") for film, _ in rows] for name, rows in shown(output).items()}
            said = begin(output, "new")
            for film in "ab":
                write_part(output, "new", f"part-{film}", {film: "tagged"})
            with pytest.MonkeyPatch.context() as broken:
                countdown = Countdown(broken, operations)
                with contextlib.suppress(PowerCut):
                    end(output, said)
            assert shown(output) in (old, new)
            if (output / "run.json").exists():  # what people open by hand is of one run, too
                by_hand = json.loads((output / "run.json").read_text())["run_id"]
                ids = [json.loads(line)["run"] for line in (output / "tags.jsonl").read_text().splitlines()]
                assert ids == [by_hand] * 2 or (not linked and ids == [read_run(str(output))["run_id"]] * 2)
            ResultsFolder(str(output)).adopt(99)
            assert shown(output) == new
            assert ResultsFolder(str(output)).unfinished_runs() == []
            assert len(os.listdir(output / "views")) == 2
            assert not [path for path in output.rglob("*") if "unfinished" in path.name]
        if countdown.left >= 0:
            break
        operations += 1
    assert operations > 20


def test_a_part_is_none_until_it_is_whole(tmp_path):
    """Finishing a part, broken off after each of its operations."""
    operations = 0
    while True:
        output = tmp_path / str(operations)
        begin(output, "r")
        with pytest.MonkeyPatch.context() as broken:
            countdown = Countdown(broken, 10**9)
            countdown.left = operations
            with contextlib.suppress(PowerCut):
                write_part(output, "r", "part-0", {"b": "tagged", "a": "passing"})
        for part in ResultsFolder(str(output)).run("r").finished_parts():
            assert [row["id"] for row in read_table(part.address, "tags")] == ["b"]
            assert [row["id"] for row in read_table(part.address, "errors")] == ["a"]
        if countdown.left >= 0:
            break
        operations += 1
    assert operations > 5


def test_attempts_are_counted_over_runs_and_too_many_quarantine(tmp_path):
    entries = []
    for number in range(3):
        said = begin(tmp_path, f"r{number}")
        write_part(tmp_path, f"r{number}", "part-0", {"a": "passing", "b": "for good"})
        end(tmp_path, said, max_attempts=3)
        entries.append([entry_of(line) for line in (tmp_path / f"{MANIFEST}.jsonl").read_text().splitlines()])
    assert [(a.attempts, a.status) for a, _ in entries] == [(1, FAILED), (2, FAILED), (3, QUARANTINED)]
    assert [(b.attempts, b.status) for _, b in entries] == [(1, FAILED), (2, FAILED), (3, FAILED)]


@pytest.mark.parametrize("table_format", FORMATS)
def test_a_night_with_nothing_due_leaves_the_tables_as_they_are(tmp_path, table_format):
    def ended(run_id, films, name="plan"):
        said = begin(tmp_path, run_id, format=table_format)
        write_part(tmp_path, run_id, name, films)
        end(tmp_path, said)
        files = [path for path in (tmp_path / "views" / run_id).iterdir() if path.stem in (*TABLES, MANIFEST)]
        return {path.name: (path.stat().st_ino, path.read_bytes()) for path in files}

    first = ended("r0", {"a": "passing", "b": "for good"})
    assert ended("r1", {}) == ended("r2", {}) == first
    totals = json.loads((tmp_path / "run.json").read_text())["totals"]
    assert totals == {"failed": 2, "film_s": 0.0}
    other = ended("r3", {"c": "for good"})
    assert all(other[name] != first[name] for name in first)
    assert {path.name for path in (tmp_path / "views").iterdir()} == {"r2", "r3"}


def test_a_night_with_nothing_due_finds_the_catalogue_mended(tmp_path):
    for run_id, lines in (("r0", [to_line(Entry("row 7", attempts=1, stage=CATALOGUE, status=FAILED))]), ("r1", [])):
        said = begin(tmp_path, run_id)
        part = ResultsFolder(str(tmp_path)).run(run_id).part(PLAN)
        storage.make_folder(part.address)
        part.write(MANIFEST, lines)
        part.finish(PartRecord(run_id, "m", said.begun))
        end(tmp_path, said)
        assert (tmp_path / f"{MANIFEST}.jsonl").read_bytes() == b"".join(lines)


def test_pictures_are_kept_for_readers_of_one_more_view_and_then_removed(tmp_path):
    pictures = tmp_path / "thumbnails"
    pictures.mkdir()
    left = []
    for number in range(3):
        said = begin(tmp_path, f"r{number}")
        for film in "ab" if number == 0 else "a":
            (pictures / f"{film}-r{number}").touch()
            write_part(tmp_path, f"r{number}", f"part-{film}", {film: "tagged"})
        end(tmp_path, said)
        left.append(sorted(os.listdir(pictures)))
    assert left == [["a-r0", "b-r0"], ["a-r0", "a-r1", "b-r0"], ["a-r1", "a-r2", "b-r0"]]


def test_what_is_gone_is_gone_and_runs_stay_as_they_were(tmp_path):
    said = begin(tmp_path, "r0")
    part = write_part(tmp_path, "r0", "part-0", {"a": "tagged", "b": "tagged", "c": "passing"})
    end(tmp_path, said)
    before = {path: path.read_bytes() for path in Path(part).iterdir()}
    run = RunRecord("p", said.begun)
    assert ResultsFolder(str(tmp_path)).prune(run, iter("ca")) == 2
    assert ResultsFolder(str(tmp_path)).run("p").ended.counts == {"removed": 2}
    assert ResultsFolder(str(tmp_path)).last_run.run_id == "r0"
    assert shown(tmp_path) == {
        name: [("b", "r0")] * (2 if name == "key_frames" else name != "errors") for name in TABLES
    }
    assert {path: path.read_bytes() for path in Path(part).iterdir()} == before


def test_a_video_of_which_nothing_comes_back_is_a_failure(tmp_path):
    part = Part(str(tmp_path / "part"))
    storage.make_folder(part.address)
    due = tmp_path / "due.jsonl"
    due.write_bytes(b"".join(Due(Video(k, k, "", "v"), 0, NEW).line() for k in "cab"))
    part.write(MANIFEST, [to_line(Entry("b", "b", "v", "m"))])
    said = part.finish(PartRecord("r", "m", ""), str(due))
    assert said.counts["videos_lost"] == 2
    assert [(row["id"], row["stage"], row["retryable"]) for row in read_table(part.address, "errors")] == [
        ("a", "accounting", True),
        ("c", "accounting", True),
    ]
    lines = Path(part.address, f"{MANIFEST}.jsonl").read_bytes().splitlines()
    assert [(entry_of(line).id, entry_of(line).status) for line in lines] == [
        ("a", FAILED),
        ("b", TAGGED),
        ("c", FAILED),
    ]


def test_a_reader_that_has_found_a_view_keeps_it_through_the_next_run(tmp_path):
    begin(tmp_path, "r0")
    end(tmp_path, _with_part(tmp_path, "r0"))
    view = latest_view(str(tmp_path))
    begin(tmp_path, "r1")
    end(tmp_path, _with_part(tmp_path, "r1"))
    assert [row["run"] for row in read_table(view, "tags")] == ["r0"]
    assert [row["run"] for row in read_table(str(tmp_path), "tags")] == ["r1"]


def _with_part(output, run_id):
    write_part(output, run_id, "part-0", {"a": "tagged"})
    return RunRecord(run_id, "2026-01-01T00:00:00+00:00")


def test_tables_of_one_file_and_of_shards_are_read_alike(tmp_path):
    (tmp_path / "tags-00000-of-00002.jsonl").write_text('{"id": "a"}\n')
    (tmp_path / "tags-00001-of-00002.jsonl").write_text('{"id": "b"}\n')
    (tmp_path / "tagsoup.jsonl").write_text("other people's\n")
    assert [row["id"] for row in read_table(str(tmp_path), "tags")] == ["a", "b"]
    (tmp_path / "errors.jsonl").write_text('{"id": "a"}\nnot a row\n')
    with pytest.raises(OutputError, match=r"errors\.jsonl, line 2"):
        list(read_table(str(tmp_path), "errors"))


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/out: cannot be"):
        ResultsFolder(str(tmp_path / "file" / "out")).check()


@pytest.mark.parametrize("name", ["tags.jsonl", "errors.parquet", "run.json", "manifest.jsonl", "latest"])
def test_files_that_we_did_not_write_are_refused_and_never_lost(tmp_path, name):
    results = ResultsFolder(str(tmp_path))
    (tmp_path / "notes.txt").write_text("mine")
    results.check()
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match=rf"{name}: was not written by this version"):
        results.check()
    (tmp_path / name).unlink()
    night(tmp_path, "r", {"a": "tagged"})
    results.check()
    assert sorted(os.listdir(tmp_path)) == FRONT.split()
    (tmp_path / "tags.jsonl").unlink()
    (tmp_path / "tags.jsonl").write_text("mine")  # somebody's own, in place of our link
    with pytest.raises(OutputError, match=r"tags\.jsonl: was not written"):
        results.check()


def test_a_folder_of_another_layout_is_refused_in_a_sentence(tmp_path):
    night(tmp_path, "r", {"a": "tagged"})
    said = tmp_path / "views" / "r" / "view.json"
    said.write_text(json.dumps(json.loads(said.read_text()) | {"layout": 1}))
    for ask in (lambda: ResultsFolder(str(tmp_path)).check(), lambda: ResultsFolder(str(tmp_path)).latest):
        with pytest.raises(OutputError, match="another version of movie-tags"):
            ask()


@given(st.lists(st.tuples(IDS, st.integers())), st.lists(st.tuples(IDS, st.integers())))
def test_a_merge_join_is_that_of_dictionaries(left, right):
    left, right = (sorted(side, key=lambda item: item[0]) for side in (left, right))
    found = list(joined(left, right))
    assert [key for key, _, _ in found] == sorted({key for key, _ in left + right})
    for key, ours, theirs in found:
        assert (ours, theirs) == tuple([value for k, value in side if k == key] for side in (left, right))
