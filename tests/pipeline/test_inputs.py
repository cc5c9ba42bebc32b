import json
import os

import apache_beam as beam
import pytest
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to

from movie_tags.pipeline.distinct_videos import DistinctVideos
from movie_tags.pipeline.inputs import InputError, Inputs, expand
from movie_tags.records import Video


def uris(uri):
    return [item.video.uri for item in expand(str(uri))]


def test_folder_is_searched_for_videos(tmp_path):
    (tmp_path / "b" / ".hidden").mkdir(parents=True)
    for name in ("z.MP4", "notes.txt", "b/a.mkv", "b/.hidden/c.mp4", ".d.mp4"):
        (tmp_path / name).touch()
    assert uris(tmp_path) == [str(tmp_path / "z.MP4"), str(tmp_path / "b/a.mkv")]


def test_glob_and_file(tmp_path):
    for name in ("a1.mp4", "a2.mp4", "b.mp4"):
        (tmp_path / name).touch()
    assert uris(tmp_path / "a*.mp4") == [str(tmp_path / "a1.mp4"), str(tmp_path / "a2.mp4")]
    assert uris(tmp_path / "b.mp4") == [str(tmp_path / "b.mp4")]


def test_a_file_whose_name_is_a_pattern(tmp_path):
    (tmp_path / "film [1080p].mp4").touch()
    assert uris(tmp_path / "film [1080p].mp4") == [str(tmp_path / "film [1080p].mp4")]


def test_nothing_there_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.mp4"):
        uris(tmp_path / "nowhere.mp4")


def test_csv(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text('id,uri,title\n1,/a.mp4,"One, two"\n,/b.mp4,\n3,,Three\n', "utf-8-sig")
    one, two, three = expand(str(path))
    assert one.video == Video("1", "/a.mp4", "One, two")
    assert two.video == Video("/b.mp4", "/b.mp4", "b.mp4")
    assert three.failure.stage == "catalogue" and three.video.id.endswith("c.csv, line 4")


def test_jsonl(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps({"uri": "/a.mp4", "id": 7}) + "\n\nnot json\n")
    one, bad = expand(str(path))
    assert one.video == Video("7", "/a.mp4", "a.mp4")
    assert "not a JSON object" in bad.failure.reason and "line 3" in bad.video.id


def test_csv_without_uris_is_an_error(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("place,name\n/a.mp4,x\n")
    with pytest.raises(InputError, match="'place', 'name', delimited by commas"):
        uris(path)


def test_large_catalogue_and_ids_used_twice(tmp_path):
    path = tmp_path / "c.csv"
    rows = [f"{i},/films/{i}.mp4" for i in range(5000)] + ["7,/films/other.mp4", "8,/films/8.mp4"]
    path.write_text("id,uri\n" + "\n".join(rows) + "\n")
    named = [item.video for item in Inputs.of([str(path)]).listed()]
    with test_pipeline.TestPipeline() as p:
        found = p | beam.Create(named) | DistinctVideos()
        assert_that(found["videos"] | beam.combiners.Count.Globally(), equal_to([4999]), "videos")
        assert_that(found["merged"] | beam.MapTuple(lambda video, n: (video.id, n)), equal_to([("8", 1)]), "merged")
        failed = found["failed"] | beam.MapTuple(lambda video, failure: (video.uri, "'7'" in failure.reason))
        assert_that(failed, equal_to([("/films/7.mp4", True), ("/films/other.mp4", True)]), "failed")


def test_links_are_followed_and_loops_ended(tmp_path):
    (tmp_path / "films" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.mp4").touch()
    (tmp_path / "films" / "deep" / "a.mp4").touch()
    (tmp_path / "films" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "films" / "deep" / "back").symlink_to(tmp_path / "films")
    (tmp_path / "films" / "gone").symlink_to(tmp_path / "nowhere")
    assert uris(tmp_path / "films") == [
        str(tmp_path / "films" / "deep" / "a.mp4"),
        str(tmp_path / "films" / "linked" / "b.mp4"),
    ]


def test_a_folder_that_cannot_be_read_is_reported(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.mp4").touch()
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    film, closed = expand(str(tmp_path))
    assert film.video.uri.endswith("a.mp4") and film.failure is None
    assert closed.video.uri == str(tmp_path / "closed") and "Permission denied" in closed.failure.reason


def test_a_link_that_leads_to_itself_costs_itself(tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "b.mp4").touch()
    a, loop, b = expand(str(tmp_path))
    assert (a.video.title, b.video.title) == ("a.mp4", "b.mp4") and a.failure is b.failure is None
    assert loop.video.uri == str(tmp_path / "loop") and "symbolic links" in loop.failure.reason


def test_a_name_that_is_no_text_costs_itself(tmp_path):
    (tmp_path / "a.mp4").touch()
    with open(os.fsencode(tmp_path) + b"/\xff.mp4", "wb"):
        pass
    named = tmp_path / "c.jsonl"
    named.write_text('{"uri": "/\\ud800.mp4"}\n{"uri": "/b.mp4", "id": "\\ud800"}\n{"uri": "/c.mp4"}\n')
    items = list(Inputs.of([str(tmp_path), str(named)]).listed())
    assert [item.video.uri for item in items if item.failure is None] == [str(tmp_path / "a.mp4"), "/c.mp4"]
    failed = [(item.video.id, item.video.uri, item.failure.reason) for item in items if item.failure]
    assert all(text.encode().decode() == text for row in failed for text in row)
    reason = "its name is not UTF-8; rename it"
    strange = str(tmp_path / "\\udcff.mp4")
    expected = [(strange, strange), ("/\\ud800.mp4",) * 2, ("\\ud800", "/b.mp4")]
    assert sorted(failed) == sorted((*names, reason) for names in expected)


def test_an_input_whose_name_is_no_text_is_refused():
    with pytest.raises(InputError, match=r"udcff\.mp4: its name is not UTF-8"):
        Inputs.of(["films/\udcff.mp4"]).check()


@pytest.mark.parametrize(
    "row,id", [({"id": 0}, "0"), ({"id": "0"}, "0"), ({"id": None}, "/a.mp4"), ({"id": " "}, "/a.mp4"), ({}, "/a.mp4")]
)
def test_any_id_but_none_is_an_id(tmp_path, row, id):
    path = tmp_path / "c.jsonl"
    path.write_text(json.dumps({"uri": "/a.mp4", **row}) + "\n")
    (item,) = expand(str(path))
    assert item.video.id == id


def test_a_video_given_twice_to_the_composite_is_one(tmp_path):
    videos = [Video("a", "/a.mp4", "Z"), Video("a", "/a.mp4", "B"), Video("b", "/b.mp4"), Video("c", "/x/../b.mp4")]
    for order in (videos, videos[::-1], videos[1:] + videos[:1]):
        with test_pipeline.TestPipeline() as p:
            found = p | beam.Create(order) | DistinctVideos()
            expected = [Video("a", "/a.mp4", "B"), videos[2], Video("c", "/b.mp4")]
            assert_that(found["videos"], equal_to(expected), "videos")
            warned = found["warned"] | beam.MapTuple(lambda video, text: (video, text[:20]))
            assert_that(
                warned,
                equal_to([(expected[0], "it was named with 2 "), (expected[2], "it is the same file ")]),
                "warned",
            )


def test_rows_of_a_catalogue_are_films_of_this_machine_by_whatever_spelling(tmp_path, monkeypatch):
    (tmp_path / "a b.mp4").touch()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "a b.mp4")
    monkeypatch.chdir(tmp_path)
    spelled = ["a b.mp4", "./a b.mp4", f"file://{tmp_path}/a%20b.mp4", str(tmp_path / "a b.mp4"), "link.mp4"]
    (tmp_path / "c.csv").write_text("uri\n" + "\n".join(spelled) + "\n")
    found = [item.video for item in expand("c.csv")]
    assert {video.id for video in found} == {str(tmp_path / "a b.mp4")}
    assert {video.uri for video in found} == {str(tmp_path / "a b.mp4"), str(tmp_path / "link.mp4")}
    monkeypatch.chdir("/")
    assert [item.video for item in expand(str(tmp_path / "c.csv"), Inputs(("c",), folder=str(tmp_path)))] == found


@pytest.mark.parametrize("uri", ["https://x.org/a.mp4", "rtsp://cam/1", "file://nas/films/a.mp4", r"C:\films\a.mp4"])
def test_a_row_that_can_never_be_opened_is_not_retryable_and_says_why(tmp_path, uri):
    (tmp_path / "c.csv").write_text(f"uri,id\n{uri},1\n")
    (item,) = expand(str(tmp_path / "c.csv"))
    assert item.video.id == "1" and item.failure.stage == "catalogue" and not item.failure.retryable
    assert "apache-beam" not in item.failure.reason and len(item.failure.reason) > 20
    with pytest.raises(InputError, match=r"not supported|another machine|path of Windows"):
        Inputs.of([uri]).check()


@pytest.mark.parametrize("name", ["films.xlsx", "films.txt", "films.m3u8", "films.json"])
def test_a_list_of_another_kind_is_no_video(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"neither a video nor a catalogue; save a list as \.csv"):
        Inputs.of([str(tmp_path / name)]).check()


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "film.mp4")
    with pytest.raises(InputError, match="is no regular file"):
        Inputs.of([str(tmp_path / "film.mp4")]).check()


def test_addresses_given_to_the_composite_are_made_canonical_or_fail_by_themselves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").touch()
    given = ["a.mp4", f"file://{tmp_path}/a.mp4", "https://x.org/b.mp4", Video("one", "./a.mp4")]
    with test_pipeline.TestPipeline() as p:
        found = p | beam.Create(given) | DistinctVideos()
        path = str(tmp_path / "a.mp4")
        assert_that(found["videos"], equal_to([Video(path, path, "a.mp4"), Video("one", path)]), "videos")
        failed = found["failed"] | beam.MapTuple(lambda video, failure: (video.id, failure.reason[:24]))
        assert_that(failed, equal_to([("https://x.org/b.mp4", "https:// is not supporte")]), "failed")


def test_relative_rows_are_of_the_current_folder_or_else_beside_the_catalogue(tmp_path, monkeypatch):
    for name in ("lists/films/1.mp4", "here/films/1.mp4", "lists/films/2.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "lists" / "c.csv").write_text("uri\nfilms/1.mp4\nfilms/2.mp4\nfilms/3.mp4\n")
    found = {}
    for folder in ("/", str(tmp_path / "lists"), str(tmp_path / "here")):
        monkeypatch.chdir(folder)
        found[folder] = [item.video.uri for item in expand(str(tmp_path / "lists" / "c.csv"))]
    lists, here = tmp_path / "lists" / "films", tmp_path / "here" / "films"
    assert found[str(tmp_path / "lists")] == [f"{lists}/1.mp4", f"{lists}/2.mp4", f"{lists}/3.mp4"]
    assert found["/"] == [f"{lists}/1.mp4", f"{lists}/2.mp4", "/films/3.mp4"]
    assert found[str(tmp_path / "here")] == [f"{here}/1.mp4", f"{lists}/2.mp4", f"{here}/3.mp4"]


@pytest.mark.parametrize("uri", ["file:///tmp/b%00.mp4", "azfs://account/films/b.mp4", "ftp://host/b.mp4"])
def test_a_row_that_names_what_nothing_can_open_costs_itself_alone(tmp_path, uri):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "c.csv").write_text(f"uri\n{uri}\n{tmp_path}/a.mp4\n")
    wrong, right = expand(str(tmp_path / "c.csv"))
    assert wrong.failure is not None and not wrong.failure.retryable and right.failure is None
