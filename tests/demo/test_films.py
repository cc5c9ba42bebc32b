"""The films of `make demo`: made once, so that a second run has nothing due."""

import importlib.util
from pathlib import Path

import av
import pytest


@pytest.fixture
def films():
    spec = importlib.util.spec_from_file_location("demo_films", Path(__file__).parents[2] / "demo" / "films.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def versions(folder):
    return {path.name: (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.iterdir()}


def test_films_that_are_there_stay_as_they_are(films, tmp_path):
    films.main(tmp_path)
    first = versions(tmp_path)
    assert set(first) == set(films.FILMS)
    films.main(tmp_path)
    assert versions(tmp_path) == first
    lengths = {}
    for name in films.FILMS:
        with av.open(str(tmp_path / name)) as container:
            lengths[name] = round(container.duration / av.time_base)
    assert lengths == {"cat_and_coffee.mp4": 13, "space.mp4": 16, "temple.mp4": 12}


def test_a_film_that_is_missing_is_made_again(films, tmp_path):
    films.main(tmp_path)
    (tmp_path / "space.mp4").unlink()
    films.main(tmp_path)
    assert set(versions(tmp_path)) == set(films.FILMS)
