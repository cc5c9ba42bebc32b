"""The package's face, and the examples as their users run them."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from films import picture, write_video
from result_folders import small_results

import movie_tags
from movie_tags.quiet import QUIET, quiet
from movie_tags.results.schema import to_line

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return str(write_video(tmp_path_factory.mktemp("films") / "f.mp4", [picture(i) for i in (1, 2) for _ in range(50)]))


def run(name, *words):
    done = subprocess.run(
        [sys.executable, EXAMPLES / f"{name}.py", *words], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_face_is_shown():
    assert {"tag", "Results", "TagMovies", "Film"} <= set(dir(movie_tags))
    assert all(getattr(movie_tags, name) for name in dir(movie_tags))
    with pytest.raises(AttributeError):
        movie_tags.nothing  # noqa: B018


def test_a_film_that_is_none_is_an_error_of_the_users(tmp_path, small_bundle):
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(movie_tags.TagError):
        movie_tags.tag(str(tmp_path / "text.mp4"), small_bundle)


def test_results_as_records_and_data_frames(tmp_path):
    with movie_tags.Results(str(small_results(tmp_path))) as results:
        assert [film.title for film in results.records()] == ["a.mp4", "b.mp4", "c.mp4"]
        frame = results.to_pandas("key_frames")
        assert list(frame["time_s"]) == [1.0, 3.0, 5.0, 7.0, 1.0, 1.0]
        assert [tag["tag"] for tag in frame["tags"][0]] == ["Animal", "Food"]
        assert list(results.to_pandas("errors")["stage"]) == ["opening", "tagging"]
        with pytest.raises(movie_tags.face.UserError, match="there are tags, key_frames"):
            results.to_pandas("films")


def test_one_film(film, small_bundle):
    said = run("tag_one_film", film, small_bundle)
    assert "f.mp4: 4 s" in said and not re.search("WARNING|INFO|fallback|Resource module", said)


def test_quiet_is_over_afterwards_and_silences_libraries_alone(caplog):
    caplog.set_level(logging.WARNING)  # a command that ran before may have set another
    before = dict(os.environ)
    with pytest.raises(KeyError), quiet():
        for name in ("apache_beam.coders", "", "movie_tags", "of.ones.own"):
            logging.getLogger(name).warning("from %s", name)
        assert os.environ.items() >= {**QUIET, **before}.items()
        raise KeyError
    assert [record.name for record in caplog.records] == ["movie_tags", "of.ones.own"]
    assert dict(os.environ) == before
    logging.warning("again")
    logging.getLogger("apache_beam.coders").warning("again")
    assert caplog.messages[2:] == ["again", "again"]


def test_in_a_pipeline(film, small_bundle):
    assert f": {film}, " in run("tag_in_your_pipeline", small_bundle, film)


def test_pandas_and_duckdb(tmp_path):
    folder = small_results(tmp_path)
    with movie_tags.Results(str(folder)) as results:  # every column, as a run writes them
        rows = b"".join(map(to_line, results.records()))
    (folder / "tags.jsonl").write_bytes(rows)
    said = run("results_in_pandas_and_duckdb", str(folder))
    assert "Animal    4.0" in said and "Food" in said


def test_a_model(tmp_path, film):
    for seed in range(24):
        tag = ("War", "Food", "_none")[seed % 3]
        (tmp_path / tag).mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / tag / f"{seed}__{seed}.jpg"), picture(seed % 3 + 10 * (seed // 3)))
    run("your_own_model", str(tmp_path), film, "--head", "softmax", "--steps", "20")
