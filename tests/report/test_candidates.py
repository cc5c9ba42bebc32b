"""Pictures to mark: those like the marked ones and those in doubt, never what is said already, few of one film."""

import json
from pathlib import Path

import numpy as np
import pytest
from feature_folders import write_lines, write_part, write_snapshot
from hypothesis import given
from hypothesis import strategies as st
from result_folders import RUN, film, frame, tag

from movie_tags.models.heads import LinearHead
from movie_tags.report.alike import Features
from movie_tags.report.review.candidates import Candidate, candidates, in_turn, marked
from movie_tags.report.review.live import Live
from movie_tags.results.corrections import Correction, Corrections, Place
from movie_tags.training.guessing import first_guess

FILMS = [f"f{i}" for i in range(6)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Six films of four key frames, 1, 5, 9 and 13 s; every second one has two that look like a temple."""
    monkeypatch.setenv("MOVIE_TAGS_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(3)
    vectors = {id: random.normal(0, 0.1, (4, 20)).astype(np.float32) for id in FILMS}
    for id in FILMS[::2]:
        vectors[id][1:3, 0] += 1
    for id in FILMS[1::2]:
        vectors[id][:, 1] += 1
    write_part(tmp_path, "runs/r1/part", vectors)
    write_snapshot(tmp_path, dict.fromkeys(FILMS, "runs/r1/part"))
    view = tmp_path / "views" / "1"
    write_lines(view / "tags.jsonl", [film(id, [tag("Food", 0.1 * i)]) for i, id in enumerate(FILMS)])
    times = [(id, time) for id in FILMS for time in (1.0, 5.0, 9.0, 13.0)]
    seen = [frame(id, time, {"Food": 0.5} if time == 13.0 else {}) for id, time in times]
    write_lines(view / "key_frames.jsonl", seen)
    (view / "run.json").write_text(json.dumps(RUN))
    return str(tmp_path)


def mark(folder, *said):
    Corrections(folder).append(Correction(id, "Temple", verdict, place) for id, verdict, place in said)


def at(time_s):
    return Place(time_s, time_s)


def guess(*features):
    width = features[0].shape[1]
    return first_guess(LinearHead(np.zeros((width, 0), np.float32), np.zeros(0, np.float32), (width,)), *features)


def asked(folder, name="Temple", by=guess):
    return candidates(name, Live(folder).now(), Features(folder), by)


def test_what_shows_it_comes_first_and_what_is_said_does_not_come(folder):
    mark(folder, ("f0", "applies", at(5.0)), ("f0", "applies", at(9.0)), ("f1", "rejected", at(1.0)))
    found = asked(folder)
    keys = [(one.id, one.time_s) for one in found]
    assert len(keys) == len(set(keys)) == 20
    assert not set(keys) & {("f0", 5.0), ("f0", 9.0), ("f1", 1.0)}
    like = {("f2", 5.0), ("f2", 9.0), ("f4", 5.0), ("f4", 9.0)}
    assert like <= set(keys[:9]) and keys[0] in like and found[0].why.startswith("the first guess")
    assert any(one.why.startswith("in doubt") for one in found)


def test_without_a_guess_looks_and_related_tags_find_some(folder):
    mark(folder, ("f0", "applies", at(5.0)), ("f0", "applies", at(13.0)))
    found = asked(folder, by=None)
    why = {(one.id, one.time_s): one.why for one in found}
    assert "similarity" in why["f2", 5.0] and "carries Food" in why["f5", 13.0]
    assert asked(folder, "Meal", None)[0].why == "carries Food, which is related"  # by its word alone
    assert asked(folder, "Unheard of", None) == [] == asked(folder, "Unheard of")


def test_a_narrower_place_prevails_and_a_whole_film_says_not_where(folder):
    mark(
        folder,
        ("f0", "applies", Place()),
        ("f1", "rejected", Place()),
        ("f1", "applies", Place(4.0, 10.0)),
        ("f1", "rejected", at(9.0)),
        ("f2", "withdrawn", at(9.0)),
    )
    said = marked("Temple", Live(folder).now())
    assert said.yes == (("f1", 5.0),) and said.no == (("f1", 1.0), ("f1", 9.0), ("f1", 13.0))
    assert said.films == {"f0", "f1"}


def test_what_is_marked_is_what_the_pages_show(folder):
    mark(folder, ("f0", "applies", Place(4.0, 8.0)), ("f0", "rejected", Place(5.0, 9.0)), ("f0", "applies", at(9.0)))
    mark(folder, ("f1", "rejected", Place(5.0, 9.0)), ("f1", "applies", Place(4.0, 8.0)))
    now = Live(folder).now()
    said = marked("Temple", now)
    shown = [
        (film.id, frame.time_s)
        for film in now.rows.values()
        for frame in now.key_frames(film)
        if "Temple" in {one.tag for one in frame.tags}
    ]
    assert sorted(said.yes) == sorted(shown) == [("f0", 9.0), ("f1", 5.0)]


def see_otherwise(folder, ids, width, last=""):
    """Films that another backbone has seen; `last`: how the last run has seen."""
    random = np.random.default_rng(5)
    write_part(Path(folder), "runs/r2/part", {id: random.normal(0, 1, (4, width)).astype(np.float32) for id in ids})
    manifest = Path(folder, "views/1/manifest.jsonl")
    entries = [json.loads(line) for line in manifest.read_text().splitlines()]
    other = {"features": "runs/r2/part", "seen_key": "other"}
    write_lines(manifest, [{**entry, **other} if entry["id"] in ids else entry for entry in entries])
    Path(folder, "views/1/run.json").write_text(json.dumps({**RUN, "seen_key": last}))


@pytest.mark.parametrize("width", [12, 20])
@pytest.mark.parametrize("last", ["k", "other", ""])
def test_only_what_one_backbone_has_seen_is_compared(folder, width, last):
    """Of which the last run is, or else most marks are; of both kinds there are marks, no's and related pictures."""
    see_otherwise(folder, {"f0", "f1", "f5"}, width, last)
    mark(folder, ("f0", "applies", at(13.0)), ("f2", "applies", at(5.0)), ("f2", "applies", at(13.0)))
    mark(folder, ("f1", "rejected", at(1.0)), ("f3", "rejected", at(1.0)))
    alike = {"f0", "f1", "f5"} if last == "other" else {"f2", "f3", "f4"}
    given = []

    def noted(*groups):
        given.append(groups)
        return guess(*groups)

    found = asked(folder, by=noted)
    (groups,) = given
    assert [len(one) for one in groups[:2]] == [1 if last == "other" else 2, 1]
    kept = Features(folder)
    known = kept.vectors_of({(id, time) for id in alike for time in (1.0, 5.0, 9.0, 13.0)})
    rows = {vector.tobytes() for vector in known.values()}
    assert all(vector.tobytes() in rows for group in groups for vector in group)
    compared = {one.id for one in found if not one.why.startswith("carries")}
    assert compared and compared <= alike
    assert {one.id for one in found} - alike  # related ones are of all films


def test_marks_of_films_without_features_are_passed_over(folder):
    manifest = Path(folder, "views/1/manifest.jsonl")
    entries = [json.loads(line) for line in manifest.read_text().splitlines()]
    write_lines(manifest, [{"id": "f0"} if entry["id"] == "f0" else entry for entry in entries])
    mark(folder, ("f0", "applies", at(13.0)))
    for by in (guess, None):
        found = asked(folder, by=by)
        assert found and all(one.why == "carries Food, which is related" for one in found)
    mark(folder, ("f2", "applies", at(5.0)))
    assert any("similarity" in one.why for one in asked(folder, by=None))
    assert asked(folder)[0].why.startswith("the first guess")


pictures = st.builds(Candidate, st.sampled_from("abcd"), st.integers(0, 9).map(float), st.just(""))


@given(st.lists(st.lists(pictures, max_size=20), max_size=4), st.integers(1, 12), st.integers(1, 4))
def test_each_list_in_turn_and_few_of_a_film(lists, number, of_film):
    found = in_turn(lists, number, of_film)
    everything = {one for some in lists for one in some}
    assert len(found) == len(set(found)) == min(number, len(everything)) and set(found) <= everything
    least = sum(min(of_film, sum(one.id == film for one in everything)) for film in "abcd")
    counts = [sum(one.id == film for one in found) for film in "abcd"]
    assert max(counts) <= of_film or number > least
    firsts = [some[0] for some in lists if some]
    assert set(found[: len(set(firsts))]) <= everything
    if firsts:
        assert found[0] == firsts[0]
