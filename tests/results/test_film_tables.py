"""The tables as records: lazily, of any version, and in plain words when something is wrong with them."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from result_folders import failure, film, frame, small_results, span, tag, with_thumbnails, write_tables

from movie_tags.records import Film, KeyFrame, TagProbability
from movie_tags.results.film_tables import ReportError, Results, slug
from movie_tags.results.reading import OutputError
from movie_tags.results.schema import from_row


def test_a_folder_is_read_as_records(tmp_path):
    with Results(str(small_results(tmp_path))) as results:
        a, b, c = results.films()
        assert [t.tag for t in a.short_list] == ["Animal", "Food"] and [t.tag for t in a.tags] == [
            "Animal",
            "Food",
            "War",
        ]
        assert (a.tags[0].sureness, a.tags[0].seconds, a.tags[0].share) == (0.5, 4.0, 0.5)
        assert b.tags == b.short_list == () and b.warnings == ("3 damaged packets were passed over",)
        assert [f.time_s for f in results.key_frames(a.id)] == [1.0, 3.0, 5.0, 7.0]
        assert results.key_frames(a.id)[0].tags == (TagProbability("Animal", 0.9), TagProbability("Food", 0.2))
        assert [(s.tag, s.start_s, s.end_s) for s in results.spans(a.id)] == [
            ("Animal", 0, 2), ("Food", 0, 4), ("Animal", 6, 8),
        ]  # fmt: skip
        assert results.key_frames("/films/none.mp4") == () and results.spans(b.id) == ()
        assert [(f.of_key_frame, f.id) for f in results.failures] == [(False, "/films/d.mp4"), (True, c.id)]
        assert results.run["model"]["name"] == "a model"
        assert results.thumbnail(results.key_frames(a.id)[0]).startswith(b"\xff\xd8\xff")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(st.sampled_from('ab"\\é\n'), st.integers(0, 50)), max_size=40, unique=True),
    cut=st.integers(0, 40),
)
def test_rows_are_found_by_film_in_any_order_and_any_shards(tmp_path, rows, cut):
    for old in tmp_path.glob("*.jsonl"):
        old.unlink()
    write_tables(tmp_path, tags=[], key_frames=None)
    made = [frame(id, float(time), {}) for id, time in rows]
    for number, part in enumerate((made[:cut], made[cut:])):
        text = "".join(json.dumps(row) + "\n" for row in part)
        (tmp_path / f"key_frames-{number:05}-of-00002.jsonl").write_text(text)
    with Results(str(tmp_path)) as results:
        for id in {id for id, _ in rows}:
            assert [f.time_s for f in results.key_frames(id)] == sorted(time for other, time in rows if other == id)


def test_rows_that_begin_otherwise_are_found_too(tmp_path):
    row = frame("a", 1.0, {})
    write_tables(tmp_path, tags=[], key_frames=[{"time_s": 2.0, **row}])
    with Results(str(tmp_path)) as results:
        assert [f.time_s for f in results.key_frames("a")] == [1.0]


def test_a_view_that_is_published_meanwhile_is_not_mixed_in(tmp_path):
    for view, seconds in (("one", 1.0), ("two", 5.0)):
        write_tables(
            tmp_path / "views" / view,
            {"run_id": view},
            tags=[film("a")],
            key_frames=[frame("a", seconds, {})],
            spans=[span("a", "War", seconds, 9)],
            errors=[failure("b", view)],
        )
    (tmp_path / "latest").symlink_to("views/one")
    with_thumbnails(tmp_path, [{}], [1])
    with Results(str(tmp_path)) as results:
        assert [f.id for f in results.films()] == ["a"]
        (tmp_path / "latest").unlink()
        (tmp_path / "latest").symlink_to("views/two")
        assert [f.time_s for f in results.key_frames("a")] == [s.start_s for s in results.spans("a")] == [1.0]
        assert results.run == {"run_id": "one"} and results.failures[0].reason == "one"
        assert results.thumbnail(from_row(KeyFrame, frame("a", 1.0, {}, thumbnail="thumbnails/run/1.jpg")))


def test_the_confidence_is_what_the_model_was_sure_of_where_a_run_says_it():
    assert from_row(Film, film("a", [tag("Animal", 1.0, confidence=0.2)])).short_list[0].sureness == 0.2


def test_no_results_and_no_such_film_are_said_plainly(tmp_path):
    with pytest.raises(OutputError, match=r"holds no results.*movie-tags tag"):
        Results(str(tmp_path / "nothing"))
    with Results(str(small_results(tmp_path))) as results:
        assert results.film("/films/a.mp4") == results.film("a.mp4") == results.film("films/a.mp4")
        with pytest.raises(ReportError, match=r"did you mean .*a\.mp4\?"):
            results.film("/films/aa.mp4")


def test_a_title_that_two_films_have_names_neither(tmp_path):
    write_tables(tmp_path, tags=[film("/x/a.mp4"), film("/y/a.mp4")])
    with Results(str(tmp_path)) as results, pytest.raises(ReportError, match=r"2 films .* /x/a.mp4, /y/a.mp4"):
        results.film("a.mp4")


@pytest.mark.parametrize("line", ["{", "[1]", '{"uri": "a"}', '{"id": "a", "tags": [{"strength": 1}]}'])
def test_a_damaged_table_is_named(tmp_path, line):
    write_tables(tmp_path)
    (tmp_path / "tags.jsonl").write_text(line + "\n")
    with Results(str(tmp_path)) as results, pytest.raises(OutputError, match="tags"):
        list(results.films())


@pytest.mark.parametrize(
    "name", ["../secret.jpg", "/etc/passwd", "thumbnails/../../secret.jpg", "a\\..\\..\\secret.jpg"]
)
def test_a_thumbnail_outside_the_folder_is_none(tmp_path, name):
    folder = write_tables(tmp_path / "results")
    (tmp_path / "secret.jpg").write_bytes(b"\xff\xd8\xff")
    with Results(str(folder)) as results:
        assert results.thumbnail(from_row(KeyFrame, frame("a", 1.0, {}, thumbnail=name))) is None


def test_a_thumbnail_that_is_gone_or_no_jpeg_is_none(tmp_path):
    folder = write_tables(tmp_path)
    (row,) = with_thumbnails(folder, [frame("a", 1.0, {})], [1])
    with Results(str(folder)) as results:
        assert results.thumbnail(from_row(KeyFrame, row))
        (folder / row["thumbnail"]).write_bytes(b"<svg onload=alert(1)>")
        assert results.thumbnail(from_row(KeyFrame, row)) is None
        (folder / row["thumbnail"]).unlink()
        assert results.thumbnail(from_row(KeyFrame, row)) is None


def test_names_of_pages_are_plain_and_unlike():
    films = [
        from_row(Film, {"id": id, "title": title})
        for id, title in (("1", "Amélie & <b>"), ("2", "Amélie & <b>"), ("3", "電影"))
    ]
    names = [slug(f) for f in films]
    assert names[0].startswith("amelie-b-") and names[2].startswith("film-") and len(set(names)) == 3


@pytest.mark.parametrize("titled", ["composed", "decomposed"])
def test_a_film_is_found_by_any_spelling_of_its_name_and_address(tmp_path, monkeypatch, titled):
    composed, decomposed = "Café für Ängste.mp4", "Cafe\u0301 fu\u0308r A\u0308ngste.mp4"
    title = {"composed": composed, "decomposed": decomposed}[titled]
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / decomposed).touch()
    (tmp_path / "link").symlink_to(tmp_path / "films")
    monkeypatch.chdir(tmp_path)
    uri = f"{tmp_path}/films/{decomposed}"
    write_tables(tmp_path, tags=[{**film("7"), "uri": uri, "title": title}, film("/other/b.mp4")])
    with Results(str(tmp_path)) as results:
        for typed in (
            composed,
            decomposed,
            f"films/{composed}",
            f"link/{decomposed}",
            f"file://{tmp_path}/films/{composed}",
            "7",
        ):
            assert results.film(typed).uri == uri
