"""The plan: what is due of inputs, beside what it is defined to be; in any order of inputs, in bounded memory."""

import json
import os
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from movie_tags import storage
from movie_tags.pipeline.commands import main
from movie_tags.pipeline.inputs import Inputs
from movie_tags.pipeline.plan import make_plan
from movie_tags.records import FAILED, TAGGED, Entry, Video
from movie_tags.results import sort
from movie_tags.results.manifest import Rules, entry_of, read_due, why_due
from movie_tags.results.parts import Part
from movie_tags.results.run_records import PartRecord
from movie_tags.results.schema import MANIFEST, to_line


def planned(folder, rows, done=(), **rules):
    """A plan of a catalogue of (id, file, title): (due, failures' ids, counts)."""
    named = Path(folder, "c.jsonl")
    named.write_text("".join(json.dumps({"id": i, "uri": f"{folder}/{u}", "title": t}) + "\n" for i, u, t in rows))
    manifest = Path(folder, "manifest.jsonl")
    manifest.write_bytes(b"".join(map(to_line, sorted(done, key=lambda entry: entry.id))))
    part = Part(str(Path(folder, "part")))
    storage.remove_folder(part.address)
    with tempfile.TemporaryDirectory() as scratch:
        asked = Rules("m", **rules)
        plan = make_plan(Inputs.of([str(named)]), str(manifest), asked, part, PartRecord("r", "m", "t"), scratch)
        due = list(read_due(plan.due))
    assert (plan.films, plan.bytes) == (len(due), sum(item.size for item in due))
    part.finish(PartRecord("r", "m", "t"))
    entries = [entry_of(line) for line in Path(part.address, f"{MANIFEST}.jsonl").read_bytes().splitlines()]
    return due, [entry.id for entry in entries], plan.counts


IDS, FILES, TITLES = st.sampled_from("abcd"), st.sampled_from(["x.mp4", "y.mp4", "z.mp4"]), st.sampled_from("TU")
DONE = st.dictionaries(IDS, st.tuples(FILES, st.sampled_from(["m", "n"]), st.sampled_from([TAGGED, FAILED])))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(IDS, FILES, TITLES), min_size=1, max_size=9), DONE, st.integers(60, 10**6))
def test_what_is_due_is_what_it_is_defined_to_be(rows, done, at_once):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sort.in_order, "__defaults__", (at_once,))  # much is spilled to disk
        for name in ("x.mp4", "y.mp4"):  # z is missing
            Path(folder, name).write_text(name)
        os.utime(Path(folder, "x.mp4"), (0, 0))
        version = {n: storage.about(f"{folder}/{n}").version for n in ("x.mp4", "y.mp4")} | {"z.mp4": ""}
        entries = [
            Entry(i, f"{folder}/{u}", version[u], method, status, retryable=True, attempts=1)
            for i, (u, method, status) in done.items()
        ]
        due, failed, counts = planned(folder, rows, entries)
        files = {i: {u for j, u, _ in rows if j == i} for i, _, _ in rows}
        single = {i: next(iter(of)) for i, of in files.items() if len(of) == 1}
        by_id = {entry.id: entry for entry in entries}
        expected = {
            i: why_due(Video(i, f"{folder}/{u}", "", version[u]), by_id.get(i), Rules("m")) for i, u in single.items()
        }
        assert {item.video.id: item.why for item in due} == {i: why for i, why in expected.items() if why}
        assert Counter(failed) == Counter({i: len(of) for i, of in files.items() if len(of) > 1})
        assert counts["inputs_read"] == len(rows)
        assert counts["inputs_merged"] == len(rows) - sum(len(of) for of in files.values())
        for item in due:
            titles = {t for i, _, t in rows if i == item.video.id}
            shared = sorted(i for i, u in single.items() if u == single[item.video.id])
            said = [len(titles) > 1, shared.index(item.video.id) > 0]
            assert [any("titles" in w for w in item.warnings), any("same file" in w for w in item.warnings)] == said
            assert item.video.title == min(titles)
        # in any order the same, and a limit gives the first of them
        assert planned(folder, rows[::-1], entries)[0] == due
        assert planned(folder, rows, entries, limit=1)[0] == due[:1]


def test_a_catalogue_that_breaks_off_costs_only_its_rest(tmp_path):
    path = tmp_path / "c.csv"
    path.write_bytes(b"id,uri\n1,/a.mp4\n" + b"x,/b.mp4\n" * 9000 + b'2,"/c.mp4\n3,/d.mp4\n')
    part = Part(str(tmp_path / "part"))
    plan = make_plan(Inputs.of([str(path)]), None, Rules("m"), part, PartRecord("r", "m", "t"), str(tmp_path))
    assert sorted(item.video.id for item in read_due(plan.due)) == ["1", "x"]
    (line,) = sort.lines_of(part.raw_files("errors"))
    assert "a quote may not be" in json.loads(line)["reason"] and plan.reasons == {"new": 2}


def test_a_night_with_nothing_due_needs_no_beam(tmp_path, small_bundle):
    """Neither the plan nor the publishing imports what only work needs."""
    import subprocess
    import sys

    code = (
        "import sys; from movie_tags.pipeline.run import TaggingRun; from movie_tags.pipeline.inputs import Inputs;"
        "from movie_tags.results.folder import ResultsFolder;"
        "run = TaggingRun(Inputs.of([sys.argv[1]]), ResultsFolder(sys.argv[2]), sys.argv[3], thumbnails=False).run();"
        "print(run.state, run.counts['videos_failed']);"
        "print(sorted({'apache_beam', 'tensorflow', 'ai_edge_litert', 'duckdb', 'pyarrow'} & set(sys.modules)))"
    )
    named = tmp_path / "c.csv"
    named.write_text("uri,id\n,b\n")
    words = [sys.executable, "-c", code, str(named), str(tmp_path / "out"), small_bundle]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines() == ["done 1", "[]"], done.stderr
    assert main(["status", str(tmp_path / "out")]) == 0
