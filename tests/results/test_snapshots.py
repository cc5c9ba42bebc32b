"""Folders of results: what they show after any sequence of runs, and at whatever instant one of them dies."""

import contextlib
import json
import os
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from movie_tags import storage
from movie_tags.pipeline import run as runs
from movie_tags.records import FAILED, GONE, QUARANTINED, TAGGED, Entry
from movie_tags.results import snapshots as views
from movie_tags.results.manifest import CATALOGUE, entry_of, id_of
from movie_tags.results.reading import FORMATS, TABLES, OutputError, latest_view, read_run, read_table
from movie_tags.results.schema import MANIFEST, to_line, to_row

IDS = st.sampled_from(["a", "b", 'quo"ted', "ü", "b/2", "\\"])
ENDS = st.sampled_from(["tagged", "passing", "for good"])


def write_part(output, run_id, name, films, method="m"):
    """A part as a pipeline leaves it, films (id -> how it ended) in no order; committed."""
    part = os.path.join(views.run_folder(str(output), run_id), name)
    os.makedirs(part)
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
        Path(part, f"{views.RAW}{table}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)))
    Path(part, f"{views.RAW}{views.DUE}.jsonl").write_text("")
    counts = Counter(videos_tagged=sum(end == "tagged" for end in films.values()))
    text = "".join(json.dumps({"name": k, "n": n}) + "\n" for k, n in counts.items())
    Path(part, f"{views.RAW}counts.jsonl").write_text(text)
    views.commit_part(part, None, {"run_id": run_id, "method_key": method, "at": "2026-01-01T00:00:00+00:00"})
    return part


def begin(output, run_id):
    folder = views.run_folder(str(output), run_id)
    os.makedirs(folder, exist_ok=True)
    said = {"run_id": run_id, "begun": "2026-01-01T00:00:00+00:00"}
    Path(folder, views.BEGUN_JSON).write_text(json.dumps(said))
    return said


def end(output, said, state="done", max_attempts=99):
    return runs.finish(str(output), said, 1767225600.0, state, max_attempts)


def shown(output):
    """By table, the (id, run) of each row."""
    return {name: [(row["id"], row["run"]) for row in read_table(str(output), name)] for name in TABLES}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.dictionaries(IDS, ENDS, max_size=3), min_size=1, max_size=4), min_size=1, max_size=4))
def test_the_view_is_what_the_runs_say_one_after_the_other(history):
    results, failures = {}, {}
    with tempfile.TemporaryDirectory() as output, pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "MERGED_AT_ONCE", 2)
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
        lines = list(views.in_order(map(str, files), views.key_of, folder, at_once))
        assert [(json.loads(line)["id"], json.loads(line)["time_s"]) for line in lines] == sorted(rows)
        assert len(os.listdir(folder)) == 2


@given(st.text())
def test_a_lines_id_is_read_without_the_rest(name):
    assert id_of(json.dumps({"id": name, "n": 1}, ensure_ascii=False).encode(errors="surrogatepass")) == name
    assert id_of(json.dumps({"id": name}).encode()) == name


class PowerCut(BaseException):
    pass


class Countdown:
    """Lets so many operations on files through, then none."""

    def __init__(self, patch, operations):
        self.left = operations
        for module, names in (
            (storage, ("write_bytes", "write_text", "remove", "remove_folder", "copy", "settle", "make_folder")),
            (os, ("replace", "symlink", "unlink", "rmdir")),
        ):
            for name in names:
                patch.setattr(module, name, self.wrap(getattr(module, name)))

    def wrap(self, operation):
        def wrapped(*args, **kwargs):
            self.left -= 1
            if self.left < 0:
                raise PowerCut
            return operation(*args, **kwargs)

        return wrapped


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
            runs.adopt(str(output), 99)
            assert shown(output) == new
            assert views.unfinished_runs(str(output)) == []
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
        for part in views.finished_parts(str(output), "r"):
            assert [row["id"] for row in read_table(part, "tags")] == ["b"]
            assert [row["id"] for row in read_table(part, "errors")] == ["a"]
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
        said = begin(tmp_path, run_id) | {"format": table_format}
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
        part = tmp_path / "runs" / run_id / "plan"
        part.mkdir()
        (part / f"{views.RAW}{MANIFEST}.jsonl").write_bytes(b"".join(lines))
        views.commit_part(str(part), None, {"run_id": run_id, "method_key": "m", "at": ""})
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
    gone = tmp_path / "runs" / "p" / "pruned"
    gone.mkdir(parents=True)
    (gone / f"{views.RAW}{MANIFEST}.jsonl").write_bytes(b"".join(to_line(Entry(i, status=GONE)) for i in "ca"))
    (gone / f"{views.RAW}{views.DUE}.jsonl").touch()
    views.commit_part(str(gone), None, {"run_id": "p", "method_key": "", "at": ""})
    views.publish(str(tmp_path), "p", [str(gone)], said, 3, reread=False)
    assert shown(tmp_path) == {
        name: [("b", "r0")] * (2 if name == "key_frames" else name != "errors") for name in TABLES
    }
    assert {path: path.read_bytes() for path in Path(part).iterdir()} == before


def test_a_video_of_which_nothing_comes_back_is_a_failure(tmp_path):
    part = tmp_path / "part"
    part.mkdir()
    due = "".join(
        json.dumps({"key": k, "id": k, "uri": k, "title": "", "version": "v", "size": 0, "why": "new", "warnings": []})
        + "\n"
        for k in "cab"
    )
    (part / f"{views.RAW}{views.DUE}.jsonl").write_text(due)
    (part / f"{views.RAW}{MANIFEST}.jsonl").write_bytes(to_line(Entry("b", "b", "v", "m")))
    said = views.commit_part(str(part), None, {"run_id": "r", "method_key": "m", "at": ""})
    assert said["counts"]["videos_lost"] == 2
    assert [(row["id"], row["stage"], row["retryable"]) for row in read_table(str(part), "errors")] == [
        ("a", "accounting", True),
        ("c", "accounting", True),
    ]
    lines = (part / f"{MANIFEST}.jsonl").read_bytes().splitlines()
    assert [(entry_of(line).id, entry_of(line).status) for line in lines] == [
        ("a", FAILED),
        ("b", TAGGED),
        ("c", FAILED),
    ]


def test_a_reader_that_has_found_a_view_keeps_it_through_the_next_run(tmp_path):
    end(tmp_path, begin(tmp_path, "r0") and _with_part(tmp_path, "r0"))
    view = latest_view(str(tmp_path))
    end(tmp_path, begin(tmp_path, "r1") and _with_part(tmp_path, "r1"))
    assert [row["run"] for row in read_table(view, "tags")] == ["r0"]
    assert [row["run"] for row in read_table(str(tmp_path), "tags")] == ["r1"]


def _with_part(output, run_id):
    write_part(output, run_id, "part-0", {"a": "tagged"})
    return {"run_id": run_id, "begun": "2026-01-01T00:00:00+00:00"}


def test_tables_of_one_file_and_of_shards_are_read_alike(tmp_path):
    (tmp_path / "tags-00000-of-00002.jsonl").write_text('{"id": "a"}\n')
    (tmp_path / "tags-00001-of-00002.jsonl").write_text('{"id": "b"}\n')
    (tmp_path / "tagsoup.jsonl").write_text("other people's\n")
    assert [row["id"] for row in read_table(str(tmp_path), "tags")] == ["a", "b"]
    (tmp_path / "errors.jsonl").write_text('{"id": "a"}\nnot a row\n')
    with pytest.raises(OutputError, match=r"errors\.jsonl, line 2"):
        list(read_table(str(tmp_path), "errors"))


def test_a_folder_that_cannot_be_made_or_is_of_an_earlier_version_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/out: cannot be"):
        views.check_output(str(tmp_path / "file" / "out"), False)
    (tmp_path / "run.json").touch()
    with pytest.raises(OutputError, match="earlier version"):
        views.check_output(str(tmp_path), False)
    views.check_output(str(tmp_path), True)
