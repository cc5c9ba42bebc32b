"""`movie-tags search --like` over a real run: by a film's time and by a picture's file."""

import json

import cv2
import pytest
from films import picture, write_video

from movie_tags.errors import UserError
from movie_tags.pipeline.commands import main
from movie_tags.pipeline.commands.like import find_alike, place_of
from movie_tags.pipeline.inputs import Inputs
from movie_tags.pipeline.method import Method, Work
from movie_tags.pipeline.run import TaggingRun
from movie_tags.results import features
from movie_tags.results.folder import ResultsFolder

SECONDS = 2


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Two films of shots of two seconds, of which they have one, the second, in common."""
    folder = tmp_path_factory.mktemp("films")
    for name, seeds in {"a.mp4": (1, 2, 3), "b@1:00.mp4": (4, 5, 2)}.items():
        write_video(folder / name, [picture(seed) for seed in seeds for _ in range(25 * SECONDS)])
    return folder


@pytest.fixture(scope="module")
def results(films, small_bundle, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("results"))
    tag(films, folder, small_bundle)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOVIE_TAGS_CACHE", str(tmp_path / "cache"))


def tag(films, folder, model, kept=True):
    TaggingRun(Inputs.of([str(films)]), ResultsFolder(folder), model, Method(), Work(features=kept)).run()


def test_the_same_shot_of_another_film_comes_first(results, capsys):
    assert main(["search", results, "--like", "a.mp4@0:03", "--limit", "2", "--json"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["uri"].endswith("b@1:00.mp4")
    assert (first["start_s"], first["end_s"]) == (4.0, 6.0) and first["start"] == "00:00:04.000"
    assert 1 - first["similarity"] < (1 - second["similarity"]) / 5
    assert main(["search", results, "--like", "b@1:00.mp4@5"]) == 0
    words = capsys.readouterr().out.splitlines()[0].split()
    assert words[:1] == ["similarity"] and words[2:-1] == ["0:02", "shot", "0:02", "to", "0:04"] and words[-1][0] == "a"


def test_a_picture_finds_the_shots_that_show_it(results, tmp_path):
    path = tmp_path / "x@3.png"
    cv2.imwrite(str(path), picture(2)[:, :, ::-1])
    found = find_alike(results, str(path), 9)
    assert sorted((one.start_s, one.end_s) for one in found[:2]) == [(2.0, 4.0), (4.0, 6.0)] and len(found) == 6
    assert 1 - found[1].similarity < (1 - found[2].similarity) / 5


def test_features_are_written_in_small_groups(results):
    import pyarrow.parquet as pq

    for part in ResultsFolder(results).parts_with_features():
        for path in features.files_of(f"{results}/{part}"):
            file = pq.ParquetFile(path).metadata
            assert all(file.row_group(k).num_rows <= features.ROW_GROUP for k in range(file.num_row_groups))


def test_mistakes_are_said_in_a_sentence(results, films, small_bundle, tmp_path, capsys):
    for like, said in {
        "no.jpg": "no.jpg: is no picture that can be read, and no place in a film",
        "none.mp4@3": "no film of",
        "a.mp4@9:00": "ends at 6 s, before 540 s",
    }.items():
        with pytest.raises(UserError, match=said):
            find_alike(results, like, 3)
    assert main(["search", results, "war", "--like", "a.mp4@1"]) == 2
    assert "either an expression of tags" in capsys.readouterr().err
    tag(films, str(tmp_path / "bare"), small_bundle, kept=False)
    with pytest.raises(UserError, match="no features of key frames are kept"):
        find_alike(str(tmp_path / "bare"), "a.mp4@1", 3)


def test_places():
    assert place_of("a film.mp4@12:34") == ("a film.mp4", 754.0)
    assert place_of("b@1:00.mp4@1:02:03.5") == ("b@1:00.mp4", 3723.5)
    assert place_of("gs://x/y.mkv@83") == ("gs://x/y.mkv", 83.0)
    assert place_of("photo.jpg") is None and place_of("a@b") is None and place_of("@3") is None
