"""How often a tag is believed after learning: known answers, properties, and reviewers who do not speak of all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from movie_tags.models.heads import LinearHead
from movie_tags.training.corrected import Corrected
from movie_tags.training.heads.adapt import Examples
from movie_tags.training.learning import learn
from movie_tags.training.operating_point import offsets, shares


def test_a_tag_that_people_reject_becomes_rarer():
    right, wrong = np.array([0, 30, 30, 0, 0, 1]), np.array([0, 0, 30, 1, 45, 6])
    assert shares(right, wrong) == pytest.approx([1, 1, 1, 10 / 11, 10 / 55, 12 / 17])


place = st.integers(-90, 90).map(lambda tenth: tenth / 10)
logits = st.lists(st.tuples(place, place), min_size=2, max_size=40, unique_by=lambda pair: pair[1])


@given(logits, st.floats(-3, 3), st.floats(0.1, 1))
def test_a_tag_is_believed_on_as_many_key_frames_as_it_is_to_be(pairs, cut, share):
    before, after = np.array(pairs).T[:, :, None]
    more = offsets(before, after, np.array([cut]), np.array([share]), [0])
    wanted = round((before >= cut).sum() * share)
    believed = (after + more >= cut - 1e-9).sum()
    assert believed == wanted or (wanted == 0 and believed == 1 and more <= 0)  # the last one, at the edge


@given(logits, st.floats(-3, 3), st.floats(-2, 2))
def test_a_shift_of_all_tags_is_taken_back_and_others_stay(pairs, cut, shift):
    before = np.array(pairs)[:, [1, 1, 1]]
    more = offsets(before, before + shift, np.full(3, cut), np.ones(3), [0, 2])
    assert more[1] == 0 and more[0] == more[2]
    believed = (before[:, 0] >= cut).sum()
    after = (before + shift + more)[:, 0] >= cut - 1e-9
    assert after.sum() == believed or (believed == 0 and after.sum() == 1 and shift > 0)


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
    learned = learn(head, [threshold], None, Corrected(("War",), examples, {}, 1, np.ones(seen.sum(), bool)))
    after = learned.head(features)[:, 0]
    fresh = ~seen
    orders = [average_precision_score(shows[fresh], p[fresh]) for p in (before, after)]
    assert orders[1] > orders[0] + (0.05 if reviewer in ("both", "labels all") else -0.01)
    assert not learned.worse
    counts = [(p[fresh] >= threshold).sum() for p in (before, after)]
    rejected = reviewer == "rejects what is wrong"
    assert (0.2 if rejected else 0.8) < counts[1] / counts[0] < (0.8 if rejected else 1.2)
