import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from movie_tags.training.data.dataset import Entry
from movie_tags.training.data.vocabulary import TAGS
from movie_tags.training.heads.fitting import learn
from movie_tags.training.heads.multilabel import (
    RELATED,
    Labels,
    MultiLabelSettings,
    choose_thresholds,
    fit,
    fit_calibration,
    fit_parts,
    folds_of,
    labels_of_entries,
    logit,
    sigmoid,
)

SETTINGS = MultiLabelSettings()


def clouds(n: int, seed: int = 0, tags: int = 3, width: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Features, and labels of which each depends on one direction of them."""
    random = np.random.default_rng(seed)
    features = random.normal(0, 1, (n, width)).astype(np.float32)
    odds = 2 * features[:, :tags] - 1
    return features, (random.random((n, tags)) < sigmoid(odds)).astype(np.float32)


def labels_of(applies: np.ndarray, weights=None, maybe=None, frames=None, groups=None) -> Labels:
    n = len(applies)
    return Labels(
        applies,
        np.ones_like(applies) if weights is None else weights,
        np.zeros(applies.shape, bool) if maybe is None else maybe,
        np.zeros(n, bool) if frames is None else frames,
        np.arange(n).astype(str) if groups is None else groups,
    )


def test_what_is_known_of_pictures():
    entries = [
        Entry("images/War/a.jpg", "1", "s", "train", ("War",)),
        Entry("images/_none/b.jpg", "2", "s", "train", (), (), True),
        Entry("film.mp4#t=3", "3", "f", "train", ("Food",), ("War", "Family"), True, True),
        Entry("images/War/d.jpg", "5", "t", "train", ("War",), ("Drama",), True),
        Entry("images/Elsewhere/c.jpg", "4", "t", "train", ("Elsewhere",)),
    ]
    vocabulary = ("War", "Food", "Military", "Family", "Drama")
    found = labels_of_entries(entries, vocabulary, SETTINGS, str.upper)
    assert found.applies.tolist() == [[1, 0, 0, 0, 0], [0] * 5, [0, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0] * 5]
    # a soldier may well be seen in a picture of a war: its folder says little of that, and all of food
    assert found.weights[0].tolist() == pytest.approx([1, 1, 0.05, 1, 0.5])
    assert found.weights[1].tolist() == [2] * 5
    assert found.weights[2].tolist() == [2, 4, 4, 2, 4] and found.maybe[2].tolist() == [True, False, False, True, False]
    assert found.weights[3].tolist() == [2, 2, 2, 2, 1]  # labelled wholly: nothing is related to what it shows
    assert found.weights[4].tolist() == [0] * 5  # what it shows of this vocabulary nobody said
    assert found.frames.tolist() == [False, False, True, False, False]
    assert found.groups.tolist() == ["S", "S", "F", "T", "T"]
    assert {*RELATED, *(tag for tags in RELATED.values() for tag in tags)} <= set(TAGS)


def test_a_head_is_scikit_learns_tag_by_tag_on_what_is_known():
    features, applies = clouds(400)
    weights = np.random.default_rng(1).choice([0.0, 1.0, 4.0], applies.shape).astype(np.float32)
    head = fit(features, labels_of(applies, weights), 0.01, 500)
    standard = (features - features.mean(0)) / (features.std(0) + 1e-3)
    for tag in range(3):
        theirs = LogisticRegression(C=1 / (0.01 * len(features)), tol=1e-8, max_iter=1000)
        theirs.fit(standard, applies[:, tag], weights[:, tag])
        assert head.logits(features)[:, tag] == pytest.approx(theirs.decision_function(standard), abs=0.02)


def test_labels_nobody_knows_teach_nothing():
    features, applies = clouds(300)
    weights = np.ones_like(applies)
    weights[:150, 1] = 0
    lies = applies.copy()
    lies[:150, 1] = 1 - lies[:150, 1]
    one, two = (fit(features, labels_of(said, weights), 0.01, 60) for said in (applies, lies))
    assert np.array_equal(one.kernel, two.kernel) and np.array_equal(one.bias, two.bias)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), min_size=1, max_size=60), st.integers(2, 5))
def test_a_group_is_in_one_fold(rows, number):
    groups, frames = (np.array(part) for part in zip(*rows, strict=True))
    fold = folds_of(labels_of(np.zeros((len(rows), 2), np.float32), frames=frames, groups=groups), number, 0)
    assert ((fold >= 0) & (fold < number)).all()
    if len(set(groups)) > 1:
        assert all(len(set(fold[groups == group])) == 1 for group in set(groups)) and len(set(fold)) > 1


def test_calibration_finds_how_the_odds_were_bent():
    random = np.random.default_rng(0)
    true = random.normal(0, 1.5, (6000, 3))
    applies = (random.random(true.shape) < sigmoid(true)).astype(np.float32)
    applies[applies.sum(1) == 0, 0] = 0
    slope, offset = fit_calibration(2 * true + 1, labels_of(applies), np.ones(6000, bool))
    said = sigmoid((2 * true + 1) * slope + offset)
    first = said.argmax(1)
    rows = np.arange(6000)
    for low in (0.3, 0.5, 0.7):
        part = (said[rows, first] >= low) & (said[rows, first] < low + 0.2)
        assert said[rows, first][part].mean() == pytest.approx(applies[rows, first][part].mean(), abs=0.05)


def test_thresholds_are_chosen_for_precision_within_bounds():
    n = 400
    probabilities = np.tile(np.linspace(0.01, 0.99, n)[:, None], (1, 4))
    applies = np.zeros((n, 4), np.float32)
    applies[:, 0] = probabilities[:, 0] > 0.25  # right from there on
    applies[-20:, 1] = 1  # right only where it is very sure
    applies[-3:, 2] = 1  # too few to tell
    applies[:, 3] = 1  # always right
    labels = labels_of(applies, frames=np.ones(n, bool))
    chosen = choose_thresholds(probabilities, labels, SETTINGS, np.ones(4), np.zeros(4))
    assert chosen == pytest.approx([0.15, 0.3, 0.2, 0.15], abs=0.01)
    bent = choose_thresholds(sigmoid(2 * logit(probabilities)), labels, SETTINGS, np.full(4, 2.0), np.zeros(4))
    assert bent == pytest.approx(sigmoid(2 * logit(chosen)), abs=0.02)  # calibration moves thresholds along


def test_a_head_of_parts_says_the_mean_of_what_each_says():
    features, applies = clouds(300, 3)
    labels, halves = labels_of(applies), np.split(features, 2, 1)
    whole = fit_parts(features, labels, 0.03, 30, 2)
    heads = [fit(half, labels, 0.03, 30) for half in halves]
    said = np.mean([head.logits(half) for head, half in zip(heads, halves, strict=True)], 0)
    assert np.allclose(whole.logits(features), said, atol=1e-4)
    one = fit_parts(features, labels, 0.03, 30, 1)
    assert np.array_equal(one.kernel, fit(features, labels, 0.03, 30).kernel)


def test_what_is_fitted_beside_a_head_never_saw_its_films():
    features, applies = clouds(600, 3)
    groups = np.array([f"film {i // 20}" for i in range(600)])
    found = learn(features, labels_of(applies, frames=np.ones(600, bool), groups=groups), ("a", "b", "c"), SETTINGS)
    (judged,) = found.judged
    assert set(judged.films) == set(groups) == set(judged.truth)
    # labels that features say nothing of cannot be told from films left out, however well they are learned by heart
    random = np.random.default_rng(5)
    noise, wide = (random.random((600, 3)) < 0.3).astype(np.float32), random.normal(0, 1, (600, 500)).astype(np.float32)
    by_heart = learn(wide, labels_of(noise, frames=np.ones(600, bool), groups=groups), ("a", "b", "c"), SETTINGS)
    assert abs(np.corrcoef(by_heart.judged[0].probabilities.ravel(), noise.ravel())[0, 1]) < 0.15
    card = found.card(("a", "b", "c"))
    assert set(card["thresholds"]) == set(card["watch"]) == {"a", "b", "c"}
    assert set(card["film_confidence"]) == {"intercept", "weights", "tags", "ceilings"}
