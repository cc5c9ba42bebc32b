"""A head learned further from corrections: its own weights are the prior from which few examples draw it away.

For each tag a weighted logistic loss over the examples of which something is known, plus a penalty on how far kernel
and bias leave the prior (maximum a posteriori under a Gaussian prior). A tag without examples stays bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from sklearn.metrics import average_precision_score

from movie_tags.models.heads import LinearHead, sigmoid
from movie_tags.progress import report_progress

NEW_BIAS = -4.0
"""The logit of a tag that nothing is known of."""
PENALTY, NEW_PENALTY = 0.25, 0.01
"""How strongly a tag that the head knew is held to its prior, and a new one: an example that is wrong by e moves its
own logit by e / penalty at first. Measured on films left out (docs/guide/learn.md): a known tag's weights stand for
thousands of pictures, and a weaker hold made 500 corrected frames spoil them."""
FOLDS = 5
Penalty = float | Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Examples:
    """Key frames of which people have said something.

    Attributes:
        features: float32 [N, F] as the bundle gives them.
        labels: float [N, tags]: 1 applies, 0 does not, NaN is not known.
        weights: float [N, tags], what an example counts; of unknown labels nothing.
        films: [N], the film of each: films are kept on one side of a split.
    """

    features: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    films: np.ndarray

    def of(self, rows: np.ndarray) -> Examples:
        """Some of them."""
        return Examples(self.features[rows], self.labels[rows], self.weights[rows], self.films[rows])


def extended(head: LinearHead, tags: int) -> LinearHead:
    """A head with room for tags behind its own, of which nothing is known yet."""
    more = tags - head.kernel.shape[1]
    kernel = np.concatenate([head.kernel, np.zeros((len(head.kernel), more), np.float32)], 1)
    return replace(head, kernel=kernel, bias=np.concatenate([head.bias, np.full(more, NEW_BIAS, np.float32)]))


def adapt(head: LinearHead, examples: Examples, penalty: Penalty = PENALTY) -> LinearHead:
    """The head drawn to examples.

    Args:
        head: of sigmoids, as wide as the labels (`extended`).
        examples: what people have said.
        penalty: see PENALTY; of all tags, or of each.

    Raises:
        ValueError: the head is none of sigmoids, or not as wide as the labels.
    """
    if head.activation != "sigmoid" or head.kernel.shape[1] != examples.labels.shape[1]:
        raise ValueError(f"a head of {head.activation} over {head.kernel.shape[1]} tags cannot be learned further")
    known = np.isfinite(examples.labels) & (examples.weights > 0)
    kernel, bias = head.kernel.copy(), head.bias.copy()
    scaled = head.scaled(examples.features)
    held = np.broadcast_to(penalty, len(bias)) * float(np.square(scaled).sum(1).mean())
    for tag in np.flatnonzero(known.any(0)).tolist():
        rows = known[:, tag]
        x = np.concatenate([scaled[rows], np.ones((int(rows.sum()), 1), np.float32)], 1)
        prior = np.append(kernel[:, tag], bias[tag])
        moved = _fit(x, examples.labels[rows, tag], examples.weights[rows, tag], prior, float(held[tag]))
        kernel[:, tag], bias[tag] = moved[:-1], moved[-1]
    return replace(head, kernel=kernel, bias=bias)


def _fit(x: np.ndarray, y: np.ndarray, weights: np.ndarray, prior: np.ndarray, penalty: float) -> np.ndarray:
    """Weights near a prior: the minimum of a convex function of how far they are from it; products in float32."""
    offset = x @ prior

    def loss(moved: np.ndarray) -> tuple[float, np.ndarray]:
        z = (offset + x @ moved.astype(np.float32)).astype(np.float64)
        cost = (weights * (np.logaddexp(0, z) - y * z)).sum() + penalty / 2 * moved @ moved
        error = (weights * (sigmoid(z) - y)).astype(np.float32)
        return float(cost), (error @ x).astype(np.float64) + penalty * moved

    found = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 200, "ftol": 1e-9})
    return (prior + found.x).astype(np.float32)


@dataclass(frozen=True)
class TagChange:
    """What learning further did to a tag, on films that it did not learn from.

    Attributes:
        tag: its place in the vocabulary.
        examples: how many positive and negative ones there are.
        before, after: average precision of the order in which examples are said to have it, in [0, 1].
    """

    tag: int
    examples: tuple[int, int]
    before: float
    after: float


def left_out(head: LinearHead, examples: Examples, penalty: Penalty = PENALTY, folds: int = FOLDS) -> np.ndarray:
    """Probabilities of examples by heads that learned from other films, float32 [N, tags]."""
    found = head(examples.features)
    films = np.unique(examples.films)
    order = np.random.default_rng(0).permutation(len(films))
    for fold in range(min(folds, len(films)) if len(films) > 1 else 0):
        out = np.isin(examples.films, films[order[fold::folds]])
        if out.any() and not out.all():
            found[out] = adapt(head, examples.of(~out), penalty)(examples.features[out])
        report_progress(steps=1)
    return found


def steps_of(groups: int, folds: int = FOLDS) -> int:
    """How many steps `left_out` reports of so many films."""
    return min(folds, groups) if groups > 1 else 0


def changes(head: LinearHead, examples: Examples, found: np.ndarray) -> list[TagChange]:
    """Tag by tag, before and after, where examples of both kinds lie in at least two films.

    Args:
        head: before.
        examples: what both are judged by.
        found: probabilities after, of `left_out`.
    """
    before = head(examples.features)
    judged = []
    for tag in range(examples.labels.shape[1]):
        rows = np.isfinite(examples.labels[:, tag]) & (examples.weights[:, tag] > 0)
        y = examples.labels[rows, tag]
        if len(np.unique(y)) == 2 and len(np.unique(examples.films[rows])) > 1:
            scores = (average_precision_score(y, p[rows, tag]) for p in (before, found))
            judged.append(TagChange(tag, (int(y.sum()), int((1 - y).sum())), *map(float, scores)))
    return judged


def best_threshold(labels: Sequence[float], probabilities: np.ndarray) -> float:
    """The probability from which on a tag is believed: where precision and recall of examples balance best (F1)."""
    y, p = np.asarray(labels), np.asarray(probabilities)
    candidates = np.unique(p)
    said = p[None, :] >= candidates[:, None]
    hits = (said & (y > 0)).sum(1)
    f1 = 2 * hits / np.maximum(said.sum(1) + (y > 0).sum(), 1)
    return float(candidates[int(f1.argmax())])
