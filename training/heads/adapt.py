"""A head learned further from corrections: its own weights are the prior from which few examples draw it away.

For each tag a weighted logistic loss over the examples of which something is known, plus a penalty on how far kernel
and bias leave the prior (maximum a posteriori under a Gaussian prior). A tag without examples stays bit for bit; of
one that has some, what the head says of all other key frames holds it, too (`holding`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
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
SILENT = 0.3
"""What a key frame weighs of which nothing is said, as a label that says what the head said (`holding`)."""
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
    said = np.flatnonzero(known.any(0))
    if not len(said):
        return head
    kernel, bias = head.kernel.copy(), head.bias.copy()
    scaled = head.scaled(examples.features)
    held = np.broadcast_to(penalty, len(bias))[said] * float(np.square(scaled).sum(1).mean())
    x = np.concatenate([scaled, np.ones((len(scaled), 1), np.float32)], 1)
    y, weights = (np.where(known, part, 0.0)[:, said] for part in (examples.labels, examples.weights))
    moved = _fit(x, y, weights, np.vstack([kernel, bias])[:, said], held)
    kernel[:, said], bias[said] = moved[:-1], moved[-1]
    return replace(head, kernel=kernel, bias=bias)


def _fit(x: np.ndarray, y: np.ndarray, weights: np.ndarray, prior: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Weights near a prior, [width, tags] each: the minimum of a convex function, tag by tag, of how far they are from
    it; all tags at once, and products in float32, for speed."""
    offset = x @ prior

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        moved = values.reshape(prior.shape)
        z = (offset + x @ moved.astype(np.float32)).astype(np.float64)
        cost = (weights * (np.logaddexp(0, z) - y * z)).sum() + (penalty * np.square(moved)).sum() / 2
        error = (weights * (sigmoid(z) - y)).astype(np.float32)
        return float(cost), ((x.T @ error).astype(np.float64) + penalty * moved).ravel()

    found = minimize(loss, np.zeros(prior.size), jac=True, method="L-BFGS-B", options={"maxiter": 400, "ftol": 1e-10})
    return (prior + found.x.reshape(prior.shape)).astype(np.float32)


def holding(head: LinearHead, examples: Examples, tags: Sequence[int]) -> Examples:
    """The same, and where nothing is said of tags, what the head says itself, as a label that weighs SILENT.

    People speak where the model errs, so that what they say alone would teach how often, and on what kind of key
    frames, a tag applies among those. Of the others the head is to go on saying what it said (learning without
    forgetting, Li and Hoiem 2016).

    Args:
        head: before it learns.
        examples: the key frames.
        tags: places of tags that the head knows.
    """
    labels, weights = examples.labels.copy(), examples.weights.copy()
    silent = np.zeros(labels.shape, bool)
    silent[:, tags] = ~(np.isfinite(labels) & (weights > 0))[:, tags]
    labels[silent], weights[silent] = head(examples.features)[silent], SILENT
    return replace(examples, labels=labels, weights=weights)


@dataclass(frozen=True)
class TagChange:
    """What learning further did to a tag, on films that it did not learn from.

    Attributes:
        tag: its place in the vocabulary.
        examples: how many positive and negative ones there are.
        folds: of each fold that has both kinds, how many positive ones, and the average precision before and after of
            the order in which its examples are said to have the tag, in [0, 1]. Heads of different folds have different
            notions of how frequent a tag is, so that only one fold's examples can be put in an order.
    """

    tag: int
    examples: tuple[int, int]
    folds: tuple[tuple[int, float, float], ...]

    @property
    def before(self) -> float:
        """The mean over folds, weighed by their positive examples."""
        return self._mean(1)

    @property
    def after(self) -> float:
        """The same after learning."""
        return self._mean(2)

    def _mean(self, which: int) -> float:
        return float(np.average([fold[which] for fold in self.folds], weights=[fold[0] for fold in self.folds]))


def parted(films: np.ndarray, folds: int = FOLDS) -> np.ndarray:
    """The fold of each example, int [N]: whole films, as many in each."""
    names, place = np.unique(films, return_inverse=True)
    fold = np.empty(len(names), int)
    fold[np.random.default_rng(0).permutation(len(names))] = np.arange(len(names)) % folds
    return fold[place]


def left_out(head: LinearHead, examples: Examples, penalty: Penalty = PENALTY) -> np.ndarray:
    """Probabilities of examples by heads that learned from other films (`parted`), float32 [N, tags]."""
    found, fold = head(examples.features), parted(examples.films)
    for part in range(steps_of(len(np.unique(examples.films)))):
        out = fold == part
        found[out] = adapt(head, examples.of(~out), penalty)(examples.features[out])
        report_progress(steps=1)
    return found


def steps_of(groups: int, folds: int = FOLDS) -> int:
    """How many steps `left_out` reports of so many films."""
    return min(folds, groups) if groups > 1 else 0


def changes(head: LinearHead, examples: Examples, found: np.ndarray, by_frame: Collection[int] = ()) -> list[TagChange]:
    """Tag by tag, before and after, where a fold has examples of both kinds.

    Args:
        head: before.
        examples: what both are judged by.
        found: probabilities after, of `left_out`.
        by_frame: places of tags of which not films but single key frames were left out.
    """
    before, films = head(examples.features), parted(examples.films)
    judged = []
    for tag in range(examples.labels.shape[1]):
        known = np.isfinite(examples.labels[:, tag]) & (examples.weights[:, tag] > 0)
        y, folds = examples.labels[:, tag], []
        fold = parted(np.arange(len(y))) if tag in by_frame else films
        for part in range(FOLDS):
            rows = known & (fold == part)
            if len(np.unique(y[rows])) == 2:
                was, now = (float(average_precision_score(y[rows], p[rows, tag])) for p in (before, found))
                folds.append((int(y[rows].sum()), was, now))
        if folds:
            judged.append(TagChange(tag, (int(y[known].sum()), int((1 - y[known]).sum())), tuple(folds)))
    return judged


def best_threshold(labels: Sequence[float], probabilities: np.ndarray) -> float:
    """The probability from which on a tag is believed: where precision and recall of examples balance best (F1)."""
    y, p = np.asarray(labels), np.asarray(probabilities)
    order = np.argsort(-p, kind="stable")
    last = np.flatnonzero(np.diff(p[order], append=-np.inf))  # of those that are equally probable
    hits = np.cumsum(y[order] > 0)[last]
    f1 = 2 * hits / (last + 1 + (y > 0).sum())
    best = np.flatnonzero(f1 == f1.max())[-1]  # the lowest
    return float(p[order][last[best]])
