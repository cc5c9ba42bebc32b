import json

import apache_beam as beam
import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to

from movie_tags.pipeline.catalogue import DistinctVideos, InputError, ReadInputs, expand
from movie_tags.transforms.video import Video


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
    path.write_text("file,name\n/a.mp4,x\n")
    with pytest.raises(InputError, match="uri"):
        uris(path)


def test_large_catalogue_and_ids_used_twice(tmp_path):
    path = tmp_path / "c.csv"
    rows = [f"{i},/films/{i}.mp4" for i in range(5000)] + ["7,/films/other.mp4", "8,/films/8.mp4"]
    path.write_text("id,uri\n" + "\n".join(rows) + "\n")
    with TestPipeline() as p:
        found = (p | ReadInputs([str(path)])).videos | DistinctVideos()
        assert_that(found["videos"] | beam.combiners.Count.Globally(), equal_to([4999]), "videos")
        assert_that(found["merged"] | beam.MapTuple(lambda video, n: (video.id, n)), equal_to([("8", 1)]), "merged")
        failed = found["failed"] | beam.MapTuple(lambda video, failure: (video.uri, "'7'" in failure.reason))
        assert_that(failed, equal_to([("/films/7.mp4", True), ("/films/other.mp4", True)]), "failed")


def test_a_catalogue_that_breaks_off_costs_only_its_rest(tmp_path):
    path = tmp_path / "c.csv"
    path.write_bytes(b"id,uri\n1,/a.mp4\n" + b"x,/b.mp4\n" * 9000 + b"2,\xff\xfe.mp4\n")
    with TestPipeline() as p:
        read = p | ReadInputs([str(path)])
        named = (read.videos | DistinctVideos())["videos"]
        assert_that(named | beam.Map(lambda video: video.id), equal_to(["1", "x"]), "videos")
        failed = read[ReadInputs.FAILED] | beam.MapTuple(lambda _, failure: "cannot be read" in failure.reason)
        assert_that(failed, equal_to([True]), "failed")
