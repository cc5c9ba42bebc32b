"""Corrections in the tables: what a snapshot's files say, and that readers lay over nothing twice."""

import contextlib
import json
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from power_cut import Countdown, PowerCut

from movie_tags.records import PERSON, TAGGED, Entry, Film, KeyFrame, Span, TagProbability, TagStrength
from movie_tags.results import overlay
from movie_tags.results.corrections import APPLIES, REJECTED, VERDICTS, WITHDRAWN, Correction, Corrections, Held, Place
from movie_tags.results.expressions import parse, resolve
from movie_tags.results.film_tables import Results
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.reading import CORRECTED, FORMATS, MODEL, TABLES, files_of_model, read_table
from movie_tags.results.run_records import DONE, PartRecord, RunRecord
from movie_tags.results.schema import MANIFEST, to_line, to_row
from movie_tags.results.search import Search
from movie_tags.results.snapshots import record_of

AT = "2026-01-01T00:00:00+00:00"
TAGS = ("War", "Food")
CONTENTS = {"a": "x", "b": "y", "c": ""}


def records(id, said):
    """What a model says of a film: by shot of 4 s, the tags on its key frame."""
    times = [2.0 + 4 * place for place in range(len(said))]
    frames = [
        KeyFrame(time, time - 2, time + 2, 9.0, found, found, id=id)
        for time, tags in zip(times, said, strict=True)
        for found in [tuple(TagProbability(tag, 0.6) for tag in sorted(tags))]
    ]
    seen = sorted({tag for tags in said for tag in tags})
    strengths = tuple(
        TagStrength(tag, len(spots), 0.6 * len(spots), 0.5, 1.0, 0.6, 4.0 * len(spots), confidence=0.6)
        for tag in seen
        for spots in [[tags for tags in said if tag in tags]]
    )
    spans = [
        Span(tag.tag, frame.shot_start_s, frame.shot_end_s, 0.6, 0.6, 1, id=id)
        for frame in frames
        for tag in frame.tags
    ]
    film = Film(id=id, uri=id, title=id, content=CONTENTS[id], duration_s=4.0 * len(said), short_list=strengths)
    return {"tags": [film.__class__(**{**film.__dict__, "tags": strengths})], "key_frames": frames, "spans": spans}


class Folder:
    """A folder of results that is told what models and people say, and of which it is known what it must show."""

    def __init__(self, path, table_format="jsonl"):
        self.path, self.format = str(path), table_format
        self.results = ResultsFolder(self.path)
        self.model = {}
        self.runs = 0

    def say(self, correction):
        Corrections(self.path).append([correction])

    def begin(self, films):
        """A run's part, finished; the run is not."""
        self.runs += 1
        run = RunRecord(f"r{self.runs:03}", AT, format=self.format)
        left = self.results.run(run.run_id)
        left.begin(run)
        for id, said in films.items():
            self.model[id] = records(id, said)
            part = left.part(f"part-{id}")
            Path(part.address).mkdir(parents=True)
            for name, rows in self.model[id].items():
                part.write(name, map(to_line, rows))
            part.write(MANIFEST, [to_line(Entry(id, id, "v", "m", TAGGED, run_id="r", at=AT))])
            part.finish(PartRecord(run.run_id, "m", AT))
        return run

    def publish(self, films):
        self.results.finish(self.begin(films), DONE, 3)

    def expected(self):
        """By table, the rows of the model with what people say laid over, by the rules for single films."""
        held = Held(Corrections(self.path))
        rows = {name: [] for name in CORRECTED}
        for id, found in sorted(self.model.items()):
            verdicts = held.of(id, CONTENTS[id])
            rows["tags"] += [overlay.film(film, verdicts) for film in found["tags"]]
            rows["key_frames"] += [overlay.key_frame(frame, verdicts) for frame in found["key_frames"]]
            spans = overlay.spans(found["spans"], verdicts) if verdicts else found["spans"]
            rows["spans"] += [Span(**{**span.__dict__, "id": id}) for span in spans]
        return {name: [*map(to_row, found)] for name, found in rows.items()}

    def of_model(self):
        found = {name: [row for _, said in sorted(self.model.items()) for row in said[name]] for name in CORRECTED}
        return {name: [*map(to_row, rows)] for name, rows in found.items()}

    def written(self):
        """By table, the rows in the files that people and other programs open."""
        return {name: rows_in(Path(self.path, f"{name}.jsonl")) for name in CORRECTED}

    def bytes(self):
        return {name: Path(self.path, "latest", f"{name}.jsonl").read_bytes() for name in (*TABLES, MANIFEST)}

    def read(self):
        """By table, what the house reads of it."""
        with Results(self.path) as results:
            films = list(results.films())
            return {
                "tags": [*map(to_row, films)],
                "key_frames": [to_row(frame) for film in films for frame in results.key_frames(film.id)],
                "spans": [to_row(span) for film in films for span in results.spans(film.id)],
            }


def rows_in(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def in_order(rows):
    """Rows of spans in an order of their own: of those of a film, readers and tables may differ in ties."""
    return {name: sorted(found, key=json.dumps) if name == "spans" else found for name, found in rows.items()}


PLACES = st.one_of(st.just(Place()), st.integers(0, 4).map(lambda shot: Place(4.0 * shot, 4.0 * shot + 4)))
SAID = st.builds(
    lambda id, tag, verdict, place, known: Correction(id, tag, verdict, place, CONTENTS[id] if known else ""),
    st.sampled_from("abc"),
    st.sampled_from([*TAGS, "Temple </script>"]),
    st.sampled_from(VERDICTS),
    PLACES,
    st.booleans(),
)
SEEN = st.lists(st.frozensets(st.sampled_from(TAGS)), min_size=1, max_size=3)
STEPS = st.lists(st.one_of(SAID, st.dictionaries(st.sampled_from("abc"), SEEN, max_size=2)), max_size=10)


@settings(max_examples=20, deadline=None)
@given(STEPS)
def test_tables_are_the_models_rows_with_what_people_say_and_readers_lay_over_what_holds_now(tmp_path_factory, steps):
    """Any sequence of confirm, reject, add and take back, of tagging anew and of nights with nothing due."""
    folder = Folder(tmp_path_factory.mktemp("results"))
    folder.publish({"a": [{"War"}, {"Food", "War"}]})
    for step in [*steps, {}]:
        if isinstance(step, Correction):
            folder.say(step)
        else:
            folder.publish(step)
            assert in_order(folder.written()) == in_order(folder.expected())
        assert in_order(folder.read()) == in_order(folder.expected())
        assert {name: list(read_table(folder.path, name)) for name in CORRECTED} == folder.of_model()
    at_once = Folder(tmp_path_factory.mktemp("at once"))
    for one in Corrections(folder.path):
        at_once.say(one)
    at_once.publish(
        {id: [{tag.tag for tag in frame.tags} for frame in said["key_frames"]] for id, said in folder.model.items()}
    )
    assert at_once.bytes() == folder.bytes()  # whatever nights and runs it took


@settings(max_examples=10, deadline=None)
@given(st.lists(SAID, min_size=1, max_size=6))
def test_what_is_taken_back_is_out_of_the_tables_with_the_next_run(tmp_path_factory, said):
    folder = Folder(tmp_path_factory.mktemp("results"))
    folder.publish({"a": [{"War"}, {"Food"}], "b": [{"Food"}]})
    before = folder.bytes()
    for one in said:
        folder.say(one)
    folder.publish({})
    for one in said:
        folder.say(Correction(one.film, one.tag, WITHDRAWN, one.place, one.content))
    folder.publish({})
    if not Held(Corrections(folder.path)):
        assert folder.bytes() == before and not files_of_model(folder.results.latest, "tags")


@pytest.mark.parametrize("table_format", FORMATS)
def test_tags_say_who_says_so_and_search_finds_what_holds_now(tmp_path, table_format):
    folder = Folder(tmp_path, table_format)
    folder.publish({"a": [{"War"}, {"Food"}], "b": [{"War"}]})

    def found(text, scenes=False):
        with Search(folder.path) as search:
            expression = resolve(parse(text), [*search.vocabulary(), "Temple"])
            return [one.id for one in (search.scenes if scenes else search.films)(expression)]

    folder.say(Correction("a", "War", REJECTED, content="x"))
    folder.say(Correction("a", "Temple", APPLIES, Place(4, 8), "x"))
    said = folder.read()
    for _ in range(2):  # before it is in the tables and after
        assert found("war") == found("war", True) == ["b"] and found("temple") == found("temple", True) == ["a"]
        assert found("food") == found("food", True) == ["a"] and folder.read() == said
        folder.publish({})
    table = str(tmp_path / f"key_frames.{table_format}")
    seen = duckdb.sql(f"SELECT t.tag, t.by FROM (SELECT unnest(tags) AS t FROM '{table}' WHERE id = 'a')").fetchall()
    assert seen == [("Temple", PERSON), ("Food", None)]
    for name, nested in (("tags", "short_list"), ("spans", None)):
        kind = (
            f"(SELECT unnest({nested}, recursive := true), id AS film FROM" if nested else "(SELECT *, id AS film FROM"
        )
        table = str(tmp_path / f"{name}.{table_format}")
        seen = duckdb.sql(f"SELECT DISTINCT tag, \"by\" FROM {kind} '{table}') WHERE film = 'a'").fetchall()
        assert sorted(seen) == [("Food", "model"), ("Temple", PERSON)]
    folder.say(Correction("a", "War", WITHDRAWN, content="x"))  # undone after it came into the tables
    folder.say(Correction("b", "War", REJECTED, content="y"))
    for _ in range(2):
        assert found("war") == found("war", True) == ["a"]
        folder.publish({})


def test_a_night_with_nothing_new_copies_and_one_with_a_correction_does_not(tmp_path):
    folder = Folder(tmp_path)
    folder.publish({"a": [{"War"}]})

    def inodes():
        latest = Path(folder.results.latest)
        return {path.relative_to(latest): path.stat().st_ino for path in latest.rglob("*.jsonl")}

    folder.say(Correction("a", "War", REJECTED, content="x"))
    plain = inodes()
    folder.publish({})
    corrected = inodes()
    assert corrected.keys() - plain.keys() == {Path(MODEL, f"{name}.jsonl") for name in CORRECTED}
    assert record_of(folder.results.latest).corrected == 1
    folder.publish({})
    assert inodes() == corrected and record_of(folder.results.latest).corrected == 1
    folder.say(Correction("a", "Food", APPLIES, content="x"))
    folder.say(Correction("a", "Food", WITHDRAWN, content="x"))  # which comes to nothing
    folder.publish({})
    assert inodes() == corrected


def test_whenever_publication_dies_readers_see_what_people_say(tmp_path):
    """Broken off after each operation on files: corrections hold, and the next run ends at the same bytes."""
    operations, ends = 0, []
    while True:
        folder = Folder(tmp_path / str(operations))
        folder.publish({"a": [{"War"}, {"Food"}], "b": [{"War"}]})
        folder.say(Correction("a", "War", REJECTED, content="x"))
        folder.publish({})
        folder.say(Correction("b", "Food", APPLIES, Place(0, 4), "y"))
        run = folder.begin({"a": [{"War"}, {"War"}]})
        said = folder.expected()["tags"]
        with pytest.MonkeyPatch.context() as broken:
            countdown = Countdown(broken, operations)
            with contextlib.suppress(PowerCut):
                folder.results.finish(run, DONE, 3)
        assert [row["id"] for row in folder.read()["tags"]] == ["a", "b"]
        assert all("War" not in [tag["tag"] for tag in row["short_list"]] for row in folder.read()["tags"][:1])
        folder.results.adopt(3)
        assert folder.read()["tags"] == said and folder.written() == folder.expected()
        ends.append(folder.bytes())
        if countdown.left >= 0:
            break
        operations += 2
    assert operations > 20 and all(end == ends[0] for end in ends)
