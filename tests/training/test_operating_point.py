"""How often a tag is believed after learning: known answers, properties, and reviewers who do not speak of all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from movie_tags.models.heads import LinearHead
from movie_tags.results.listing import THRESHOLD
from movie_tags.training.corrected import Corrected
from movie_tags.training.heads.adapt import Examples
from movie_tags.training.learning import learn
from movie_tags.training.never_worse import confidences
from movie_tags.training.operating_point import MARGIN, PULL, offset_for, offsets, shares
from movie_tags.transforms.evidence import FilmConfidence


def test_a_tag_that_people_reject_becomes_rarer():
    right, wrong = np.array([0, 30, 30, 0, 0, 1]), np.array([0, 0, 30, 1, 45, 6])
    assert shares(right, wrong) == pytest.approx([1, 1, 1, 10 / 11, 10 / 55, 12 / 17])


place = st.integers(-90, 90).map(lambda tenth: tenth / 10)
logits = st.lists(st.tuples(place, place), min_size=2, max_size=40, unique_by=lambda pair: pair[1])


@given(logits, st.floats(-3, 3), st.floats(0.1, 1))
def test_a_tag_is_believed_on_as_many_key_frames_as_it_is_to_be(pairs, cut, share):
    before, after = np.array(pairs).T[:, :, None]
    together = offsets(before, after, np.array([cut]), np.ones(1), [0])
    assert (after + together >= cut).sum() == (before >= cut).sum()
    wanted = round((before >= cut).sum() * share)
    assert (after[:, 0] + offset_for(cut - after[:, 0], wanted, float(together[0])) >= cut).sum() == wanted


@given(logits, st.floats(-3, 3), st.floats(-2, 2))
def test_a_shift_of_all_tags_is_taken_back_and_others_stay(pairs, cut, shift):
    before = np.array(pairs)[:, [1, 1, 1]]
    added = offsets(before, before + shift, np.full(3, cut), np.ones(3), [0, 2])
    assert added[1] == 0 and added[0] == added[2]
    assert ((before + shift + added)[:, 0] >= cut).sum() == (before[:, 0] >= cut).sum()


@given(logits, st.floats(-3, 3))
def test_what_has_not_changed_stays_where_it_is(pairs, cut):
    before = np.array(pairs)
    assert np.abs(offsets(before, before, np.full(2, cut), np.ones(2), [0, 1])).max() <= MARGIN + 1e-9


def test_a_tag_that_few_key_frames_show_goes_with_the_others_and_a_rejected_one_by_itself():
    """Of 1,000 key frames two tags have half, a rare one two; all lose 2 by learning, the rare one 3."""
    spread = np.linspace(-9.99, 10, 1000)
    before = np.column_stack([spread, spread, np.where(np.arange(1000) < 2, 3.0, -9.0)])
    after = before - np.array([2.0, 2.0, 3.0])
    cuts, tags = np.zeros(3), [0, 1, 2]
    added = offsets(before, after, cuts, np.ones(3), tags)
    assert added[:2] == pytest.approx([2, 2], abs=0.03)
    assert added[2] == pytest.approx(added[0], abs=MARGIN)  # with which both are believed again
    rejected = offsets(before, after, cuts, np.array([0.2, 1, 1]), tags)
    assert (after[:, 0] + rejected[0] >= 0).sum() == pytest.approx(100, abs=10)
    assert rejected[1:].tolist() == added[1:].tolist()  # however much another tag is rejected
    lone = np.where(np.arange(1000) < 2, 0.5, -9.0)[:, None]
    drawn = offsets(
        np.column_stack([before[:, :2], lone]), np.column_stack([after[:, :2], lone - 8]), cuts, np.ones(3), tags
    )
    assert drawn[2] == pytest.approx((2 * 7.5 + PULL * 2) / (2 + PULL), abs=0.1)


def test_where_nothing_has_learned_nothing_is_added():
    assert offsets(np.zeros((3, 2)), np.ones((3, 2)), np.zeros(2), np.ones(2), []).tolist() == [0, 0]
    assert offsets(np.zeros((0, 1)), np.zeros((0, 1)), np.zeros(1), np.ones(1), [0]).tolist() == [0]


@pytest.mark.parametrize("reviewer", ["adds what is missing", "rejects what is wrong", "both", "labels all"])
def test_what_people_do_not_speak_of_keeps_its_place(reviewer):
    """A head that half knows a tag; on films that nobody saw it orders key frames no worse, and believes as many."""
    random = np.random.default_rng(3)
    films, width = np.repeat(np.arange(300), 6), 8
    features = random.normal(size=(len(films), width)).astype(np.float32)
    shows = features[:, 0] + features[:, 1] + 0.7 * random.normal(size=len(films)) > 2.2
    kernel = np.zeros((width, 1), np.float32)
    kernel[[0, 2], 0] = 2, 0.7
    head, threshold = LinearHead(kernel, np.full(1, -3.5, np.float32), (width,)), 0.4
    before = head(features)[:, 0]
    believed, seen = before >= threshold, films < 150
    spoken = {
        "adds what is missing": shows & ~believed,
        "rejects what is wrong": ~shows & believed,
        "both": shows | believed,
        "labels all": np.ones(len(films), bool),
    }[reviewer]
    labels = np.where(spoken, shows.astype(float), np.nan)[:, None]
    examples = Examples(features[seen], labels[seen], np.isfinite(labels[seen]).astype(float), films[seen].astype(str))
    film = FilmConfidence(0.5, (1.0, 0.3, 0.0), {"War": 0.25})
    learned = learn(head, [threshold], film, Corrected(("War",), examples, {}, 1, np.ones(seen.sum(), bool)))
    after = learned.head(features)[:, 0]
    fresh = ~seen
    orders = [average_precision_score(shows[fresh], p[fresh]) for p in (before, after)]
    assert orders[1] > orders[0] + (0.05 if reviewer in ("both", "labels all") else -0.01)
    assert not learned.worse
    counts = [(p[fresh] >= threshold).sum() for p in (before, after)]
    rejected = reviewer == "rejects what is wrong"
    assert (0.2 if rejected else 0.8) < counts[1] / counts[0] < (0.8 if rejected else 1.2)
    lists = [
        (confidences(films[fresh], p[fresh, None], ("War",), {"War": threshold}, model) >= THRESHOLD).sum()
        for p, model in ((before, film), (after, learned.confidence))
    ]
    assert (0.2 if rejected else 0.8) < lists[1] / lists[0] < (0.8 if rejected else 1.2)
    without = (confidences(films[fresh], after[fresh, None], ("War",), {"War": threshold}, film) >= THRESHOLD).sum()
    assert abs(lists[1] / lists[0] - 1) <= abs(without / lists[0] - 1) + 0.1 or rejected
