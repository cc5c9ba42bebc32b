"""More like this: the order of brute force, copies first, and what cannot be compared."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from feature_folders import write_lines, write_part, write_snapshot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from movie_tags.models.quantised import quantise, restore
from movie_tags.report import alike, sketches
from movie_tags.report.alike import Features, Looks
from movie_tags.report.nearest import SKETCH, WHOLE, compare, largest, products, sketch
from movie_tags.report.review.app import Review
from movie_tags.results.expressions import SearchError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOVIE_TAGS_CACHE", str(tmp_path / "cache"))


def write_results(folder, vectors, films=None, **files):
    """Each film in a part of its own: {film: vectors}; in the snapshot all of them, or those that are named."""
    parts = {id: f"runs/r1/{id}" for id in vectors}
    for id, part in parts.items():
        write_part(folder, part, {id: vectors[id]}, **files)
    write_snapshot(folder, parts if films is None else {id: parts[id] for id in films})
    return str(folder)


def brute_force(vectors, query):
    """(-cosine, film, seconds) of all in order, in double precision, of features as they are kept."""
    found = []
    for id, rows in vectors.items():
        for k, row in enumerate(rows):
            kept = restore(quantise(row)).astype(float)
            cosine = kept @ query / (np.linalg.norm(kept) * np.linalg.norm(query) or 1)
            found.append((-cosine, id, 4.0 * k + 1))
    return sorted(found)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.booleans())
def test_the_order_is_that_of_brute_force(tmp_path_factory, seed, lengths, by_sketch):
    random = np.random.default_rng(seed)
    vectors = {f"f{n}": random.standard_normal((length, 40)).astype(np.float32) for n, length in enumerate(lengths)}
    query = random.standard_normal(40).astype(np.float32)
    folder = write_results(tmp_path_factory.mktemp("results"), vectors)
    with pytest.MonkeyPatch.context() as patch:
        if by_sketch:  # of which as many are candidates as there are
            patch.setattr(alike, "EXACT", 0)
        found = Features(folder).nearest(Looks(query, "k"), 100)
    expected = brute_force(vectors, query.astype(float))
    assert [one.similarity for one in found] == pytest.approx([-row[0] for row in expected], abs=1e-5)
    assert {(one.id, one.time_s) for one in found} == {row[1:] for row in expected}
    assert all((one.start_s, one.end_s) == (one.time_s - 1, one.time_s + 1) for one in found)


def near_each_other(random, films, frames, width):
    """Films whose key frames differ from one by a little, each by another little."""
    base = np.abs(random.standard_normal(width)) + 0.1
    return {
        f"f{n}": (base + 0.1 * random.standard_normal((frames, width))).astype(np.float32).clip(0) for n in range(films)
    }


def test_up_to_the_bound_all_are_compared_by_their_features(tmp_path):
    random = np.random.default_rng(5)
    vectors = near_each_other(random, 3, 700, 64)  # more than CANDIDATES, and alike to within the error of sketches
    folder, query = write_results(tmp_path, vectors, group=64, per_file=500), vectors["f1"][3].astype(float)
    found = Features(folder).nearest(Looks(vectors["f1"][3], "k"), 40)
    expected = brute_force(vectors, query)[:40]
    assert [(one.id, one.time_s) for one in found] == [row[1:] for row in expected]
    assert not list(sketches.place(folder).glob("*/sketches*.npy"))


def test_beyond_the_bound_sketches_miss_few_of_the_nearest(tmp_path, monkeypatch):
    monkeypatch.setattr(alike, "EXACT", 2000)
    monkeypatch.setattr(alike, "CANDIDATES", 100)
    random = np.random.default_rng(6)
    pictures = np.abs(random.standard_normal((300, 64)))
    share = 0.5 * random.random((3, 700, 1))  # each a mixture of two
    mixed = pictures[random.integers(300, size=(3, 700))] * (1 - share)
    mixed += pictures[random.integers(300, size=(3, 700))] * share
    vectors = {f"f{n}": rows.astype(np.float32) for n, rows in enumerate(mixed)}
    found, met = Features(write_results(tmp_path, vectors, group=64, per_file=500)), 0
    for k in range(8):
        query = vectors["f2"][31 * k]
        nearest = {row[1:] for row in brute_force(vectors, query.astype(float))[:10]}
        met += len(nearest & {(one.id, one.time_s) for one in found.nearest(Looks(query, "k"), 10)})
    assert met >= 0.95 * 8 * 10


def test_what_finds_key_frames_otherwise_is_not_kept(tmp_path, monkeypatch):
    vectors = {id: np.random.default_rng(0).random((15, 5), np.float32) for id in "ab"}
    folder, query = write_results(tmp_path, vectors), Looks(vectors["a"][0], "k")
    kept = lambda: sorted(path.name for path in sketches.place(folder).glob("*/*") if path.suffix != ".json")  # noqa: E731
    monkeypatch.setattr(alike, "MORE", 0)
    monkeypatch.setattr(alike, "CANDIDATES", 20)
    for exact, name in ((30, sketches.FEATURES), (29, "sketches.npy"), (30, sketches.FEATURES)):
        monkeypatch.setattr(alike, "EXACT", exact)
        assert len(Features(folder).nearest(query, 2)) == 2
        assert kept() == sorted(["rows.npy", name] * 2)


def test_copies_in_other_films_come_first_among_candidates_of_sketches(tmp_path, monkeypatch):
    random = np.random.default_rng(3)
    vectors = {f"f{n}": np.abs(random.standard_normal((60, 300))).astype(np.float32) for n in range(5)}
    for n in (1, 3, 4):
        vectors[f"f{n}"][10 * n] = vectors["f0"][7]
    monkeypatch.setattr(alike, "EXACT", 10)
    monkeypatch.setattr(alike, "CANDIDATES", 20)
    found = Features(write_results(tmp_path, vectors))
    looks = found.looks_at("f0", 4.0 * 7 + 1.5)
    assert looks.itself == ("f0", 29.0)
    first = found.nearest(looks, 4)
    assert [(one.id, one.time_s) for one in first[:3]] == [("f1", 41.0), ("f3", 121.0), ("f4", 161.0)]
    assert [one.similarity for one in first[:3]] == pytest.approx([1, 1, 1]) and first[3].similarity < 0.95
    assert first[0].title == "F1" and (first[0].start_s, first[0].end_s) == (40.0, 42.0)


def test_only_films_of_the_latest_snapshot_count_and_what_was_kept_of_others_goes(tmp_path):
    vectors = {id: np.eye(5, dtype=np.float32)[:2] + 0.1 for id in "abc"}
    folder = write_results(tmp_path, vectors)
    query = Looks(vectors["a"][0], "k", ("a", 1.0))
    assert [one.id for one in Features(folder).nearest(query, 2)] == ["b", "c"]
    write_part(tmp_path, "runs/r2/new", {"b": vectors["b"][::-1], "a": vectors["a"]})  # seen anew
    write_snapshot(tmp_path, {"a": "runs/r1/a", "b": "runs/r2/new"})
    found = Features(folder).nearest(query, 9)
    assert [(one.id, one.time_s) for one in found] == [("b", 5.0), ("a", 5.0), ("b", 1.0)]
    assert len(list(sketches.place(folder).iterdir())) == 2  # of c nothing, and of b what is new


def test_a_time_means_the_shot_that_it_is_in_or_else_the_nearest(tmp_path):
    vectors = {"a": np.eye(4, dtype=np.float32)}
    found = Features(write_results(tmp_path, vectors))
    assert [found.looks_at("A", t).itself[1] for t in (0, 1.9, 2.5, 3.5, 4, 13.9, 14.5)] == [1, 1, 1, 5, 5, 13, 13]
    with pytest.raises(SearchError, match="a: ends at 14 s, before 99 s"):
        found.looks_at("a", 99)


def test_what_cannot_be_compared_is_said(tmp_path):
    write_snapshot(tmp_path, {"a": None})
    with pytest.raises(SearchError, match=r"no features of key frames are kept there.*--features --force"):
        Features(str(tmp_path))
    vectors = {id: np.eye(3, dtype=np.float32) for id in "ab"}
    folder = write_results(tmp_path, vectors)
    write_lines(
        tmp_path / "views/1/manifest.jsonl",
        [{"id": "a", "features": "runs/r1/a", "seen_key": "other"}, {"id": "b", "features": "runs/r1/b"}],
    )
    found = Features(folder)
    assert found.seen_otherwise("other") == 1
    assert {one.id for one in found.nearest(found.looks_at("a", 1), 9)} == {"a"}


def test_the_review_page_gives_the_shots_that_are_alike(tmp_path):
    vectors = {id: np.eye(4, dtype=np.float32)[k:] + 0.1 for k, id in enumerate("ab")}
    review = Review(write_results(tmp_path, vectors), "Ada")
    names = {film.id: name for name, film in review.live.now().rows.items()}
    asked = SimpleNamespace(path_params={"name": names["a"], "time": 5.0})
    first, *others = json.loads(review.alike(asked).body)["scenes"]
    assert (first["name"], first["start_s"], first["end_s"]) == (names["b"], 0.0, 2.0)
    assert first["similarity"] == pytest.approx(1) and len(others) == 5


def test_projections_are_as_far_from_cosines_as_they_may_be():
    random, width = np.random.default_rng(0), WHOLE + 1
    query = random.standard_normal(width).astype(np.float32)
    share = np.linspace(0, 1, 2000, dtype=np.float32)[:, None]
    vectors = share * query + (1 - share) * random.standard_normal((2000, width)).astype(np.float32)
    cosine = (vectors @ query) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    error = compare(sketch(vectors), query[:, None] / np.linalg.norm(query))[:, 0] - cosine
    spread = (1 - cosine**2) / np.sqrt(SKETCH) + 1 / 300  # the bytes' own steps
    assert np.abs(error / spread).max() < 5 and (error / spread).std() < 1.2


@pytest.mark.parametrize("width", [128, 511, 768])
def test_half_bytes_are_as_far_from_products_as_they_may_be(width):
    random = np.random.default_rng(width)
    few = np.where(np.arange(width) < 2, 9, 1)  # numbers that outweigh the others, as embeddings have
    vectors = (few * random.standard_normal((3000, width)) + 0.5).astype(np.float32)
    directions = (random.standard_normal((width, 3)) * [1, 5, 0.1]).astype(np.float32)
    kept = sketch(vectors)
    assert kept.dtype == np.uint8 and kept.shape == (3000, (width + 1) // 2)
    expected = vectors.astype(float) @ directions / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    assert products(vectors, directions) == pytest.approx(expected, abs=1e-12)
    error = (compare(kept, directions) - expected) / np.linalg.norm(directions, axis=0)
    assert (error.std(0) < 0.12 / np.sqrt(width)).all() and np.abs(error).max() < 6 * 0.12 / np.sqrt(width)


def test_the_largest_are_found_in_place_order():
    scores = np.array([3, -np.inf, 5, 1, 4], np.float32)
    assert largest(scores, 2).tolist() == [2, 4] and largest(scores, 9).tolist() == [0, 2, 3, 4]
