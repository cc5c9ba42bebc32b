import pytest
from films import picture, write_video

from movie_tags.pipeline.commands import main
from movie_tags.records import Failure, Film, KeyFrame, Span, TagProbability, TagStrength
from movie_tags.results import parquet
from movie_tags.results.film_tables import Results
from movie_tags.results.reading import TABLES, OutputError, read_table
from movie_tags.results.schema import to_row

TAGS = (TagProbability("a/b", 0.000005),)
STRENGTHS = (TagStrength("a/b", 1, 0.5, 0.5, 1.0, 0.5, 3.0),)
RECORDS = {
    "tags": Film(
        id="id", uri="uri", title="title", duration_s=5.0, short_list=STRENGTHS, tags=STRENGTHS, warnings=("w",)
    ),
    "key_frames": KeyFrame(1.0, 0.0, 3.0, 9.0, TAGS, TAGS, watch=TAGS, thumbnail="t.jpg", id="id"),
    "spans": Span("a/b", 0.0, 3.0, 0.5, 0.5, 1, id="id"),
    "errors": Failure("opening", "why", True, id="id", uri="uri"),
}
ROWS = {name: to_row(record) for name, record in RECORDS.items()}


@pytest.mark.parametrize("name", TABLES)
def test_a_schema_has_every_column_of_its_rows(name, tmp_path):
    assert parquet.SCHEMAS[name].names == list(ROWS[name])
    parquet.write_rows(name, [ROWS[name]], str(tmp_path / f"{name}.parquet"))
    assert list(read_table(str(tmp_path), name)) == [ROWS[name]]


def test_what_a_row_leaves_out_is_left_out_again(tmp_path):
    row = {name: value for name, value in ROWS["key_frames"].items() if name != "thumbnail"}
    parquet.write_rows("key_frames", [row], str(tmp_path / "key_frames.parquet"))
    assert list(read_table(str(tmp_path), "key_frames")) == [row]


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    (tmp_path / "tags.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(OutputError, match=r"tags\.parquet: cannot be read"):
        list(read_table(str(tmp_path), "tags"))


def test_a_run_writes_the_same_rows_in_both_formats(tmp_path, small_bundle):
    film = write_video(tmp_path / "a.mp4", [picture(k // 25) for k in range(100)])
    (tmp_path / "b.mp4").write_text("no film")
    tables = {}
    for kind in ("jsonl", "parquet"):
        out = str(tmp_path / kind)
        words = ["tag", str(film), str(tmp_path / "b.mp4"), "--output", out, "--model", small_bundle]
        assert main([*words, "--format", kind, "--no-thumbnails"]) == 3
        tables[kind] = {name: list(read_table(out, name)) for name in TABLES}
    assert tables["parquet"] == tables["jsonl"]
    assert tables["parquet"]["tags"] and tables["parquet"]["errors"]
    # The one in place of the other leaves no table twice.
    assert main([*words, "--format", "jsonl", "--force", "--no-thumbnails"]) == 3
    assert not list((tmp_path / "parquet").glob("*.parquet"))


def test_the_report_reads_parquet_film_by_film(tmp_path):
    for name, row in ROWS.items():
        parquet.write_rows(name, [{**row, "id": id} for id in ("x", "y")], str(tmp_path / f"{name}.parquet"))
    with Results(str(tmp_path)) as found:
        assert [film.id for film in found.films()] == ["x", "y"]
        assert [span.tag for span in found.spans("y")] == ["a/b"]
        assert [frame.time_s for frame in found.key_frames("x")] == [1.0]
