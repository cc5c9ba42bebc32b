"""Records are declared once: what a column of theirs becomes in each form, and what is refused."""

import dataclasses

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.records import UNIT, Entry, Failure, Film, KeyFrame, Span, TagProbability, TagStrength, Video, named
from movie_tags.results.schema import (
    ALL_RECORDS,
    RECORDS,
    SchemaError,
    csv_columns,
    describe,
    duckdb_types,
    from_row,
    parquet_schema,
    to_line,
    to_row,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBER = st.floats(0, 1e6, allow_nan=False)
PROBABILITY = st.builds(TagProbability.of_millionths, TEXT, st.integers(0, UNIT))
SURE = st.none() | st.just(0.5)
STRENGTH = st.builds(TagStrength, TEXT, st.integers(0, 9), relative_strength=st.just(0.25), confidence=SURE)
FEW = {"max_size": 3}
MADE = st.one_of(
    st.builds(Film, id=TEXT, title=TEXT, tags=st.lists(STRENGTH, **FEW).map(tuple), warnings=st.just(("w",))),
    st.builds(KeyFrame, NUMBER, NUMBER, NUMBER, top_k=st.lists(PROBABILITY, **FEW).map(tuple), id=TEXT, thumbnail=TEXT),
    st.builds(Span, TEXT, NUMBER, NUMBER, st.just(0.5), st.just(0.5), st.integers(0, 9), id=TEXT),
    st.builds(Failure, TEXT, TEXT, st.booleans(), id=TEXT, uri=TEXT),
    st.builds(Entry, TEXT, uri=TEXT, attempts=st.integers(0, 9)),
)


@given(MADE)
def test_a_record_is_the_same_again_after_json(record):
    assert from_row(type(record), to_row(record)) == record
    assert to_line(record).count(b"\n") == 1 and to_line(record).startswith(b'{"id": "')


@pytest.mark.parametrize("name", RECORDS)
def test_parquet_and_duckdb_take_the_rows_by_the_types_declared(name, tmp_path):
    strengths = (TagStrength("a/b", 1, 0.5, 0.5, 1.0, 0.5, 3.0),)
    probable = (TagProbability("a", 0.5, "person"),)
    record = {
        "tags": Film(id="i", uri="u", title="t", short_list=strengths, tags=strengths, warnings=("w",)),
        "key_frames": KeyFrame(1.0, 0.0, 3.0, tags=probable, watch=probable, id="i", thumbnail="t.jpg"),
        "spans": Span("a", 0.0, 3.0, 0.5, 0.5, 1, id="i"),
        "errors": Failure("opening", "why", True, id="i", uri="u"),
    }[name]
    path = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_pylist([to_row(record)], parquet_schema(type(record))), path)
    assert pq.read_table(path).to_pylist() == [to_row(record)]
    lines = tmp_path / "t.jsonl"
    lines.write_bytes(to_line(record))
    kinds = ", ".join(
        f"'{column}': '{kind.replace(chr(39), chr(39) * 2)}'" for column, kind in duckdb_types(RECORDS[name]).items()
    )
    query = f"read_json('{lines}', format = 'newline_delimited', columns = {{{kinds}}})"
    by_duckdb = duckdb.sql(f"SELECT * FROM {query}").to_arrow_table()
    assert by_duckdb.to_pylist() == [to_row(record)]
    assert by_duckdb.schema.names == parquet_schema(RECORDS[name]).names


def test_a_new_column_is_in_every_form_by_its_declaration_alone():
    """The record, the step that fills it, the page: nothing between them spells the columns."""
    from movie_tags.records import column

    loudness = ("loudness", float, column("of the sound", "dB", default=0.0))
    new = dataclasses.make_dataclass("New", [loudness], bases=(KeyFrame,), frozen=True)
    made = new(1.0, 0.0, 2.0, loudness=-3.0, id="x")
    assert to_row(made)["loudness"] == -3.0 and from_row(new, to_row(made)) == made
    assert from_row(new, to_row(KeyFrame(1.0, 0.0, 2.0, id="x"))).loudness == 0.0  # a table from before it
    assert parquet_schema(new).field("loudness").type == pa.float64() and duckdb_types(new)["loudness"] == "DOUBLE"
    assert "loudness" in csv_columns(new) and ("loudness", "number", "dB", "of the sound") in describe(new)


@pytest.mark.parametrize("name", ALL_RECORDS)
def test_every_column_says_what_it_means_and_every_time_its_unit(name):
    for column, _, unit, text in describe(ALL_RECORDS[name]):
        assert text and (unit == "s" or not column.endswith("_s"))


@pytest.mark.parametrize(
    "record,row,said",
    [
        (KeyFrame, {"id": "a", "time_s": 1, "shot_start_s": 0, "shot_end_s": 2, "seen": []}, "'seen' that another"),
        (Failure, {"id": "a", "uri": "a", "stage": "s", "reason": "r", "again": True}, "'again'.*another version"),
        (Film, {"id": "a", "tags": [{"strength": 1.0}]}, "missing .*'tag'"),
        (Film, {"id": "a", "tags": [{"tag": "a", "weight": 1.0}]}, "'weight'.*another version"),
        (Film, {"uri": "a"}, "has no id"),
        (Film, {"id": 3}, "3 where str is due"),
        (Span, {"id": "a", "tag": "x", "start_s": "soon"}, "soon"),
    ],
)  # fmt: skip
def test_what_is_no_row_is_refused_in_words(record, row, said):
    with pytest.raises(SchemaError, match=said):
        from_row(record, row)


def test_records_are_named_by_their_video():
    video = Video("i", "u", "t", "v")
    assert named(Failure("opening", "why"), video) == Failure("opening", "why", id="i", uri="u")
    assert named(Film(shots=2), video) == Film(id="i", uri="u", title="t", shots=2)
    assert to_row(Entry("i", status="gone")) == {"id": "i", "status": "gone"}  # what says nothing is left out
