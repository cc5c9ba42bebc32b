"""A head learned further: the minimum that it claims, the prior that it keeps, and what is said of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.metrics import average_precision_score, f1_score

from movie_tags.models.heads import LinearHead, sigmoid
from movie_tags.training.heads.adapt import (
    SILENT,
    Examples,
    adapt,
    best_threshold,
    changes,
    extended,
    holding,
    left_out,
    parted,
)
from movie_tags.training.heads.multilabel import logit


def head_of(width=12, tags=3, seed=0):
    draw = np.random.default_rng(seed)
    kernel = draw.normal(size=(2 * width, tags)).astype(np.float32)
    return LinearHead(kernel, draw.normal(size=tags).astype(np.float32), (width,), ("root4", "unit"))


def examples_of(head, n=40, seed=1, films=8):
    """Examples whose truth is another head's, of one tag in three nothing known."""
    draw = np.random.default_rng(seed)
    features = draw.random((n, sum(head.widths)), np.float32)
    other = head_of(sum(head.widths), head.kernel.shape[1], seed=9)(features)
    truth = other > np.median(other, 0)
    labels = np.where(draw.random(truth.shape) < 0.3, np.nan, truth.astype(float))
    return Examples(features, labels, np.ones(truth.shape), np.arange(n) % films)


def test_the_minimum_is_that_of_all_weights():
    """Against the same function minimised over kernel and bias themselves."""
    head = head_of()
    examples = examples_of(head)
    found = adapt(head, examples, penalty=0.1)
    x = head.scaled(examples.features).astype(np.float64)
    held = 0.1 * (x**2).sum(1).mean()
    for tag in range(3):
        rows = np.isfinite(examples.labels[:, tag])
        xs, y = np.hstack([x[rows], np.ones((rows.sum(), 1))]), examples.labels[rows, tag]
        prior = np.append(head.kernel[:, tag], head.bias[tag]).astype(np.float64)

        def cost(w, xs=xs, y=y, prior=prior):
            return (np.logaddexp(0, xs @ w) - y * (xs @ w)).sum() + held / 2 * ((w - prior) ** 2).sum()

        best = minimize(cost, prior, options={"gtol": 1e-7}).x
        assert np.append(found.kernel[:, tag], found.bias[tag]) == pytest.approx(best, abs=5e-3)


def test_tags_of_which_nothing_is_said_stay_as_they_were():
    head = head_of()
    examples = examples_of(head)
    examples.labels[:, 1] = np.nan
    found = adapt(head, examples)
    assert (found.kernel[:, 1] == head.kernel[:, 1]).all() and found.bias[1] == head.bias[1]
    assert (found.kernel[:, 0] != head.kernel[:, 0]).any()


def test_examples_draw_the_head_to_them_and_a_penalty_holds_it_back():
    head = head_of()
    examples = examples_of(head, 200, films=20)

    def loss(found):
        p = np.clip(found(examples.features), 1e-6, 1 - 1e-6)
        right = np.where(examples.labels > 0, p, 1 - p)
        return -np.log(right[np.isfinite(examples.labels)]).mean()

    near, far = adapt(head, examples, 1.0), adapt(head, examples, 0.001)
    assert loss(far) < loss(near) < loss(head)
    judged = changes(head, examples, left_out(head, examples))
    assert len(judged) == 3 and np.mean([one.after - one.before for one in judged]) > 0.1


def test_orders_are_compared_within_folds():
    """Heads that differ in how frequent they take a tag for order each fold's examples as before."""
    head = head_of()
    examples = examples_of(head, 200, films=20)
    shift = parted(examples.films)[:, None] - 2.0
    found = sigmoid(logit(head(examples.features)) + shift)
    for one in changes(head, examples, found):
        assert one.after == pytest.approx(one.before)
        y, p = examples.labels[:, one.tag], head(examples.features)[:, one.tag]
        rows = [np.isfinite(y) & (parted(examples.films) == fold) for fold in range(5)]
        scores, weights = zip(*((average_precision_score(y[r], p[r]), y[r].sum()) for r in rows), strict=True)
        assert one.before == pytest.approx(np.average(scores, weights=weights))


def test_of_a_tag_in_one_film_single_key_frames_are_put_in_order():
    """Its film lies in one fold, in which no other examples are; by key frames there are both kinds in each."""
    head = head_of()
    examples = examples_of(head, 40, films=4)
    labels = np.full(examples.labels.shape, np.nan)
    labels[:, 1] = np.arange(40) % 4 == 0  # all of one film, and none of another
    examples = replace(examples, labels=labels)
    found = np.where(labels == 1, 0.9, 0.1)
    assert not changes(head, examples, found)
    (judged,) = changes(head, examples, found, [1])
    assert judged.tag == 1 and judged.after == 1 and len(judged.folds) > 1


def test_folds_are_of_whole_films():
    films = np.repeat([f"film{i}" for i in range(13)], 3)
    fold = parted(films)
    assert all(len(set(fold[films == film])) == 1 for film in films)
    assert sorted(np.bincount(fold) // 3) == [2, 2, 3, 3, 3]


def test_of_what_nobody_speaks_the_head_goes_on_saying_what_it_said():
    head = head_of()
    examples = examples_of(head)
    held = holding(head, examples, [0, 2])
    spoken = np.isfinite(examples.labels)
    assert (held.labels[spoken] == examples.labels[spoken]).all() and (held.weights[spoken] == 1).all()
    silent = ~spoken & [True, False, True]
    assert (held.labels[silent] == head(examples.features)[silent]).all() and (held.weights[silent] == SILENT).all()
    assert np.isnan(held.labels[:, 1]).sum() == np.isnan(examples.labels[:, 1]).sum()
    nothing = holding(head, replace(examples, labels=np.full(examples.labels.shape, np.nan)), [0, 1, 2])
    assert adapt(head, nothing)(examples.features) == pytest.approx(head(examples.features), abs=1e-4)


def test_a_new_tag_is_improbable_until_it_is_taught():
    head = extended(head_of(), 4)
    examples = examples_of(head, 60)
    assert head(examples.features)[:, 3].max() < 0.05
    labels = np.full((60, 4), np.nan)
    labels[:, 3] = examples.features[:, 0] > 0.5
    taught = adapt(head, replace(examples, labels=labels), penalty=0.01)
    p = taught(examples.features)[:, 3]
    assert p[labels[:, 3] > 0].mean() > p[labels[:, 3] == 0].mean() + 0.3
    assert sigmoid(np.zeros(1))[0] == 0.5


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=1, max_size=30))
def test_a_threshold_balances_as_no_other(pairs):
    """Against F1 of each that there is; of equally good ones it is the lowest."""
    labels, p = np.array([float(label) for label, _ in pairs]), np.array([place / 20 for _, place in pairs])
    scores = {t: f1_score(labels, p >= t, zero_division=0) for t in np.unique(p)}
    best = max(scores.values())
    assert best_threshold(labels, p) == min(t for t, score in scores.items() if score == pytest.approx(best))


def test_a_threshold_balances():
    assert best_threshold([0, 0, 1, 1], np.array([0.1, 0.4, 0.35, 0.8])) == pytest.approx(0.35)
    assert best_threshold([0, 1], np.array([0.2, 0.9])) == pytest.approx(0.9)


def test_a_head_that_cannot_be_learned_further():
    with pytest.raises(ValueError, match="cannot be learned further"):
        adapt(replace(head_of(), activation="softmax"), examples_of(head_of()))
