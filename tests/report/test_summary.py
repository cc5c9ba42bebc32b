"""The film in N pictures: the greedy choice against brute force, and what a user sees of it."""

import itertools
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_folders import film, frame, jpeg, small_results, tag, with_thumbnails, write_tables

from movie_tags.pipeline.commands import main
from movie_tags.records import Film, KeyFrame
from movie_tags.report.summary import (
    NEAR_REPEAT,
    choose,
    contact_sheet,
    goals,
    greedy,
    likeness,
    looks,
    value,
    without_repeats,
)
from movie_tags.results.schema import from_row


@st.composite
def problems(draw):
    frames, goals = draw(st.integers(1, 8)), draw(st.integers(1, 6))
    share = st.floats(0, 1, width=32)
    covers = np.array(draw(st.lists(st.lists(share, min_size=goals, max_size=goals), min_size=frames, max_size=frames)))
    worth = np.array(draw(st.lists(share, min_size=goals, max_size=goals)))
    return covers, worth


@settings(max_examples=200, deadline=None)
@given(problems(), st.integers(1, 5))
def test_greedy_is_worth_at_least_63_percent_of_the_best(problem, number):
    covers, worth = problem
    chosen = greedy(covers, worth, number)
    sizes = range(min(number, len(covers)) + 1)
    best = max(value(covers, worth, some) for n in sizes for some in itertools.combinations(range(len(covers)), n))
    assert value(covers, worth, chosen) >= (1 - 1 / math.e) * best - 1e-9
    assert len(chosen) == len(set(chosen)) <= number


@settings(max_examples=200, deadline=None)
@given(problems(), st.data())
def test_the_objective_is_monotone_and_submodular(problem, data):
    covers, worth = problem
    indices = range(len(covers))
    small = data.draw(st.sets(st.sampled_from(indices)))
    large = small | data.draw(st.sets(st.sampled_from(indices)))
    new = data.draw(st.sampled_from(indices))

    def gain(some):
        return value(covers, worth, sorted(some | {new})) - value(covers, worth, sorted(some))

    assert value(covers, worth, sorted(small)) <= value(covers, worth, sorted(large)) + 1e-9
    assert gain(small) >= gain(large) - 1e-9 >= -2e-9


def test_one_picture_is_the_best_one():
    covers, worth = np.random.default_rng(3).random((20, 7)), np.ones(7)
    assert greedy(covers, worth, 1) == [int((covers @ worth).argmax())]


def test_pictures_of_every_kept_tag_and_of_every_part_are_chosen():
    names = [f"tag {i}" for i in range(4)]
    row = from_row(Film, film("a", [tag(name, 1.0) for name in names], duration_s=40.0))
    frames = [
        from_row(KeyFrame, frame("a", 1.0 + 2 * i, {names[i // 5]: 0.9 if i % 5 == 2 else 0.3})) for i in range(20)
    ]
    choice = choose(row, frames, [None] * 20, 4)
    assert [f.tags[0].tag for f in choice.frames] == names
    assert [f.tags[0].probability for f in choice.frames] == [0.9] * 4
    assert [f.time_s for f in choice.frames] == sorted(f.time_s for f in choice.frames)


def test_near_repeats_are_passed_over_and_fewer_come_back():
    row = from_row(Film, film("a"))
    frames = [from_row(KeyFrame, frame("a", 1.0 + 2 * i, {})) for i in range(6)]
    seen = [looks(jpeg(i % 3)) for i in range(6)]  # three scenes, each shown twice
    choice = choose(row, frames, seen, 5)
    assert len(choice.frames) == 3 and choice.near_repeats == 3
    assert len({f.time_s // 2 % 3 for f in choice.frames}) == 3
    assert choice.first in choice.frames


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 9), st.randoms(use_true_random=False))
def test_what_is_kept_differs_and_what_is_dropped_repeats_something_kept(number, random):
    alike = np.array([[random.random() for _ in range(number)] for _ in range(number)])
    alike = np.maximum(alike, alike.T)
    np.fill_diagonal(alike, 1)
    order = list(range(number))
    random.shuffle(order)
    kept = without_repeats(alike, order)
    assert kept[:1] and order[0] in kept
    for i, j in itertools.combinations(kept, 2):
        assert alike[i, j] < NEAR_REPEAT
    for i in set(range(number)) - set(kept):
        assert max(alike[i, j] for j in kept) >= NEAR_REPEAT


def test_likeness_of_the_same_picture_is_1_and_grey_noise_does_not_change_it():
    picture = cv2.imdecode(np.frombuffer(jpeg(5), np.uint8), cv2.IMREAD_COLOR)
    noisy = np.clip(picture + np.random.default_rng(1).normal(0, 4, picture.shape), 0, 255).astype(np.uint8)
    encoded = cv2.imencode(".jpg", noisy)[1].tobytes()
    features = np.stack([looks(jpeg(5)), looks(encoded), looks(jpeg(6))])
    alike = likeness(features, features)
    assert np.diag(alike) == pytest.approx(1)
    assert alike[0, 1] >= NEAR_REPEAT > alike[0, 2]
    assert np.all((alike > 0) & (alike <= 1)) and np.allclose(alike, alike.T)


def test_goals_are_shares_and_their_worth_sums_to_1():
    row = from_row(Film, film("a", [tag("Animal", 1.0), tag("Food", 0.2)]))
    frames = [from_row(KeyFrame, frame("a", 1.0 + 2 * i, {"Animal": 0.9, "War": 0.1})) for i in range(4)]
    features = np.stack([looks(jpeg(i)) for i in range(4)])
    covers, worth = goals(row, frames, likeness(features, features), 12)
    assert covers.shape == (4, len(worth)) and worth.sum() == pytest.approx(1)
    assert covers.min() >= 0 and covers.max() <= 1 and worth.min() >= 0
    assert (covers[:, 0] == 0.9).all() and (covers[:, 1] == 0).all()


def test_a_black_picture_is_chosen_after_one_that_shows_something():
    row = from_row(Film, film("a"))
    black = cv2.imencode(".jpg", np.zeros((96, 128, 3), np.uint8))[1].tobytes()
    frames = [from_row(KeyFrame, frame("a", t, {})) for t in (2.0, 4.0, 6.0)]
    choice = choose(row, frames, [looks(jpeg(1)), looks(black), looks(jpeg(2))], 2)
    assert [f.time_s for f in choice.frames] == [2.0, 6.0]


def test_a_film_without_key_frames_has_nothing_to_choose():
    assert choose(from_row(Film, film("a")), [], []).frames == ()


@pytest.mark.parametrize("number", [1, 2, 5, 12])
def test_the_contact_sheet_has_every_picture(number):
    row = from_row(Film, film("a", [tag("Animal", 1.0)], title="Приключение — " + "long " * 60))
    frames = tuple(from_row(KeyFrame, frame("a", 1.0 + 2 * i, {"Animal": 0.9})) for i in range(number))
    solid = {
        f.time_s: cv2.imencode(".jpg", np.full((90, 160, 3), (0, 0, 40 + 15 * i), np.uint8))[1].tobytes()
        for i, f in enumerate(frames)
    }
    choice = choose(row, frames, [None] * number, number)
    sheet = cv2.imdecode(np.frombuffer(contact_sheet(row, choice, solid), np.uint8), cv2.IMREAD_COLOR)
    reds = {40 + 15 * i for i in range(number)}
    pure = sheet[(sheet[:, :, 0] < 8) & (sheet[:, :, 1] < 8)][:, 2]
    for red in reds:
        assert (np.abs(pure.astype(int) - red) <= 3).sum() > 0.9 * 320 * 180
    assert sheet.shape[1] >= 2 * 320


def test_the_command_writes_the_sheet_and_the_list(tmp_path, capsys):
    results = small_results(tmp_path / "results")
    assert main(["summary", str(results), "a.mp4", "--pictures", "2"]) == 0
    sheet, listing = capsys.readouterr().out.splitlines()
    assert cv2.imread(sheet) is not None
    listed = json.loads(Path(listing).read_text())
    assert listed["title"] == "a.mp4" and len(listed["pictures"]) == 2
    for shown in listed["pictures"]:
        assert (results / shown["thumbnail"]).is_file() and shown["shot_start_s"] <= shown["time_s"]
    assert main(["summary", str(results), "a.mp4", "--json", "--output", str(tmp_path / "out")]) == 0
    assert len(json.loads(capsys.readouterr().out)["pictures"]) == 4
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize(("name", "said"), [("c.mp4", "--thumbnails"), ("q.mp4", "no film")])
def test_the_command_says_what_is_missing(tmp_path, capsys, name, said):
    assert main(["summary", str(small_results(tmp_path)), name]) == 2
    assert said in capsys.readouterr().err


def test_a_film_without_key_frames_is_said(tmp_path, capsys):
    write_tables(tmp_path, tags=[film("a.mp4", key_frames=0)])
    assert main(["summary", str(tmp_path), "a.mp4"]) == 2
    assert "no key frames" in capsys.readouterr().err


def test_a_missing_picture_is_not_chosen(tmp_path):
    rows = with_thumbnails(tmp_path, (frame("a", 1.0 + 2 * i, {}) for i in range(3)), range(3))
    frames = [from_row(KeyFrame, row) for row in rows]
    choice = choose(from_row(Film, film("a")), frames, [looks(jpeg(0)), None, looks(jpeg(2))])
    assert [f.time_s for f in choice.frames] == [1.0, 5.0]
