"""The multi-label head: a sigmoid a tag on frozen features, learned from labels of which many are unknown.

Pure functions on arrays. A label has a weight: 0 where nobody knows whether the tag applies.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from scipy.optimize import minimize

from movie_tags.training.data.dataset import Entry

RELATED: Mapping[str, tuple[str, ...]] = {
    tag: tuple(others) for tag, others in json.loads((files(__package__) / "related.json").read_text("utf-8")).items()
}
"""By tag, those that a person may well give to its pictures, too, so that a folder's name says nothing of them."""


MAYBE = 0.3
"""A tag of which nobody knows whether it applies is learned as applying so much; masking it is worse, see
`recipes/default_model.py`."""


@dataclass(frozen=True)
class MultiLabelSettings:
    """The numbers of the multi-label head, settled by leaving films and sources out.

    Attributes:
        l2: of the kernel on standardised features.
        parts: the head is the mean of so many, each of an equal part of the features: it is surer of what all say.
        iterations: of L-BFGS, at most.
        frame_weight: what a label of a film's completely labelled frame weighs against a folder's.
        still_weight: the same of any other picture that is labelled completely and shows something.
        maybe_share: of a label's weight where nobody knows whether the tag applies: it is learned as applying by MAYBE.
        related_weight: what is left of a folder picture's "no" for a tag related to its own.
        kept_weight: the same for tags of `kept`: masked wholly they would take the first place of many stills.
        kept: these tags.
        folds: for what is measured on pictures that the head did not see.
        threshold: from this probability on a tag is believed, before calibration.
        least_threshold, most_threshold: between which a tag's own lies, if it has `least_positives` frames.
        least_positives: of a tag with fewer positive frames the threshold is `threshold`.
        precision: what a tag's own threshold aims at, a maybe counting half.
        seed: of the folds.
    """

    l2: float = 0.1
    parts: int = 1
    iterations: int = 60
    frame_weight: float = 4.0
    still_weight: float = 2.0
    maybe_share: float = 0.5
    related_weight: float = 0.05
    kept_weight: float = 0.5
    kept: tuple[str, ...] = ("Drama", "Sports", "Adventure", "Exercise")
    folds: int = 5
    threshold: float = 0.2
    least_threshold: float = 0.15
    most_threshold: float = 0.3
    least_positives: int = 10
    precision: float = 0.5
    seed: int = 0


@dataclass(frozen=True)
class Labels:
    """What is known of pictures.

    Attributes:
        applies: float32 [N, tags], 1 where a tag plainly applies.
        weights: float32 [N, tags], what each of these labels weighs; 0 where it is not known.
        maybe: bool [N, tags], where nobody knows whether it applies.
        frames: bool [N], whether the picture is a film's completely labelled frame.
        groups: [N], the film or collection of each: always on one side of a fold.
    """

    applies: np.ndarray
    weights: np.ndarray
    maybe: np.ndarray
    frames: np.ndarray
    groups: np.ndarray

    @property
    def targets(self) -> np.ndarray:
        """What a head is to say, float32 [N, tags]."""
        return np.where(self.maybe, np.float32(MAYBE), self.applies)

    def of(self, rows: np.ndarray) -> Labels:
        return Labels(*(part[rows] for part in (self.applies, self.weights, self.maybe, self.frames, self.groups)))


@dataclass(frozen=True)
class MultiLabelHead:
    """probability = sigmoid(features · kernel + bias): kernel float32 [width, tags], bias float32 [tags]."""

    kernel: np.ndarray
    bias: np.ndarray

    def logits(self, features: np.ndarray) -> np.ndarray:
        return features @ self.kernel + self.bias

    def calibrated(self, slope: np.ndarray, offset: np.ndarray) -> MultiLabelHead:
        """The head whose logits are slope · logits + offset, each float [tags]."""
        return MultiLabelHead((self.kernel * slope).astype(np.float32), (self.bias * slope + offset).astype(np.float32))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -30, 30)))


def logit(probability: np.ndarray | float) -> np.ndarray:
    probability = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.log(probability / (1 - probability))


def labels_of_entries(
    entries: Sequence[Entry],
    vocabulary: Sequence[str],
    settings: MultiLabelSettings,
    group_of: Callable[[str], str] = str,
) -> Labels:
    """What is known of a data set's pictures, with the weights that a head learns by.

    A complete picture's "no" counts everywhere but at its maybes, which count less. A folder's picture has its own
    tags; its "no" counts little or not at all for the tags related to these.

    Args:
        entries: the pictures.
        vocabulary: the tags, in order.
        settings: the weights.
        group_of: source -> the name that sources share if they must not be parted.
    """
    place = {tag: i for i, tag in enumerate(vocabulary)}
    shape = (len(entries), len(vocabulary))
    applies, weights, maybe = np.zeros(shape, np.float32), np.ones(shape, np.float32), np.zeros(shape, bool)
    frames = np.array([entry.film and entry.complete for entry in entries], bool)
    kept = set(settings.kept)
    for row, entry in enumerate(entries):
        applies[row, [place[tag] for tag in entry.tags if tag in place]] = 1
        if entry.complete:
            weights[row] = settings.frame_weight if frames[row] else settings.still_weight
        unsure = set(entry.maybe) - set(entry.tags)
        maybe[row, [place[tag] for tag in unsure if tag in place]] = True
        weights[row, maybe[row]] *= settings.maybe_share
        if not entry.complete:
            related = {other for tag in entry.tags for other in RELATED.get(tag, ())}
            for tag in related - {*entry.tags, *unsure}:
                if tag in place:
                    weights[row, place[tag]] = settings.kept_weight if tag in kept else settings.related_weight
            if not applies[row].any():
                weights[row] = 0  # its tags are not in the vocabulary, and what else it shows nobody said
    return Labels(applies, weights, maybe, frames, np.array([group_of(entry.source) for entry in entries]))


def fit_parts(features: np.ndarray, labels: Labels, l2: float, iterations: int, parts: int) -> MultiLabelHead:
    """The mean of heads, each of an equal part of the features; see `fit`."""
    heads = [fit(part, labels, l2, iterations) for part in np.split(features, parts, 1)]
    kernel = np.vstack([head.kernel for head in heads]) / parts
    return MultiLabelHead(kernel, np.asarray(sum(head.bias for head in heads) / parts, np.float32))


def fit(features: np.ndarray, labels: Labels, l2: float, iterations: int) -> MultiLabelHead:
    """Masked, weighted logistic regression of all tags at once, by L-BFGS over everything.

    Args:
        features: float32 [N, width].
        labels: of the same pictures.
        l2: of the kernel on standardised features.
        iterations: at most.
    """
    mean, deviation = features.mean(0), features.std(0) + 1e-3
    standard = ((features - mean) / deviation).astype(np.float32)
    n, width = standard.shape
    tags = labels.applies.shape[1]
    targets = labels.targets
    share = (labels.weights * targets).sum(0) / np.maximum(labels.weights.sum(0), 1e-6)
    start = np.zeros((width + 1, tags))
    start[-1] = logit(np.clip(share, 1e-4, 1 - 1e-4))

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        values = values.reshape(width + 1, tags).astype(np.float32)
        found = standard @ values[:-1] + values[-1]
        cross = labels.weights * (np.logaddexp(0, found) - targets * found)
        error = (labels.weights * (sigmoid(found) - targets) / n).astype(np.float32)
        gradient = np.vstack([standard.T @ error + l2 * values[:-1], error.sum(0)])
        return float(cross.sum() / n + 0.5 * l2 * (values[:-1] ** 2).sum()), gradient.ravel().astype(np.float64)

    options = {"maxiter": iterations, "maxcor": 8}
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(width + 1, tags)
    kernel = found[:-1] / deviation[:, None]
    return MultiLabelHead(kernel.astype(np.float32), (found[-1] - mean @ kernel).astype(np.float32))


def folds_of(labels: Labels, number: int, seed: int) -> np.ndarray:
    """A fold for each picture, int [N]: whole groups, so that the folds have about as many frames and pictures each."""
    random = np.random.default_rng(seed)
    fold = np.zeros(len(labels.groups), int)
    if len(set(labels.groups.tolist())) < 2:  # nothing can be left out but single pictures
        return random.integers(0, number, len(fold))
    of_group: dict[str, int] = {}
    for part in (labels.frames, ~labels.frames):  # frames first: they are few, and must be spread evenly
        counts = Counter(labels.groups[part].tolist())
        names = sorted(set(counts) - set(of_group))
        random.shuffle(names)
        load = np.zeros(number)
        for name in sorted(names, key=lambda name: -counts[name]):
            of_group[name] = int(np.argmin(load + random.uniform(0, 3, number)))
            load[of_group[name]] += counts[name]
    if len(set(of_group.values())) == 1:  # a few groups of frames and of pictures may all have come to one
        first = min(of_group)
        of_group[first] = (of_group[first] + 1) % number
    fold[:] = [of_group[name] for name in labels.groups.tolist()]
    return fold


def out_of_fold(features: np.ndarray, labels: Labels, fold: np.ndarray, settings: MultiLabelSettings) -> np.ndarray:
    """The logits of each picture by a head that saw nothing of its fold, float32 [N, tags]."""
    found = np.zeros(labels.applies.shape, np.float32)
    for part in sorted(set(fold.tolist())):
        seen, held = np.flatnonzero((fold != part) & labels.weights.any(1)), np.flatnonzero(fold == part)
        if not len(seen):
            continue
        iterations = max(1, settings.iterations // 2)
        head = fit_parts(features[seen], labels.of(seen), settings.l2, iterations, settings.parts)
        found[held] = head.logits(features[held])
    return found


def learnable(labels: Labels, fold: np.ndarray, least: int = 30) -> np.ndarray:
    """Which pictures of no film have a tag with at least so many others outside their fold, bool [N].

    Of the others a cross-validation says nothing: a tag that rests on one collection is gone with it.
    """
    stills = (labels.applies.sum(1) > 0) & ~labels.frames
    fair = np.zeros(len(fold), bool)
    for part in sorted(set(fold.tolist())):
        enough = labels.applies[stills & (fold != part)].sum(0) >= least
        fair |= stills & (fold == part) & (labels.applies @ enough.astype(np.float32) > 0)
    return fair


def fit_calibration(
    logits: np.ndarray, labels: Labels, known: np.ndarray, strength: float = 300.0
) -> tuple[np.ndarray, np.ndarray]:
    """Slopes and offsets, each float [tags], by which logits become those of calibrated probabilities.

    One slope and offset for all tags are those at which the first tag of a picture is right as often as it says; each
    tag has an offset of its own beside them, drawn to nothing by `strength` as by so many labels.

    Args:
        logits: of pictures that the head did not see, float [N, tags].
        labels: of the same pictures.
        known: bool [N], the pictures to go by; all that have a tag where these are few.
        strength: see above.
    """
    known = known if known.sum() >= 100 else labels.applies.sum(1) > 0
    tags = logits.shape[1]
    if not known.any():
        return np.ones(tags), np.zeros(tags)
    rows = np.flatnonzero(known)
    first = logits[rows].argmax(1)
    top, right = logits[rows, first].astype(np.float64), labels.applies[rows, first].astype(np.float64)

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        found = np.exp(values[0]) * top + values[1]
        error = sigmoid(found) - right
        prior = np.array([values[0], values[1]])  # as by some labels that say: leave it as it is
        cross = np.logaddexp(0, found) - right * found
        return float(cross.sum() + 5 * (prior**2).sum()), np.array(
            [(error * top).sum() * np.exp(values[0]), error.sum()]
        ) + 10 * prior

    slope, offset = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B").x
    slope = np.exp(slope)
    own = np.zeros(tags)
    for tag in range(tags):
        mine = first == tag
        if mine.any():
            said = sigmoid(slope * top[mine] + offset)
            own[tag] = (right[mine] - said).sum() / ((said * (1 - said)).sum() + strength / 4)
    return np.full(tags, slope), offset + own


def choose_thresholds(
    probabilities: np.ndarray, labels: Labels, settings: MultiLabelSettings, slope: np.ndarray, offset: np.ndarray
) -> np.ndarray:
    """The probability from which each tag is believed on a key frame, float [tags].

    Of a tag with enough positive frames the lowest at which the frames above it are right often enough (as seen
    through four imagined frames of which half are), within bounds; of any other the same for all.

    Args:
        probabilities: calibrated, of pictures that the head did not see, float [N, tags].
        labels: of the same pictures; only frames count.
        settings: the bounds, before calibration.
        slope, offset: of the calibration, float [tags].
    """
    usual, least, most = (
        sigmoid(slope * logit(value) + offset)
        for value in (settings.threshold, settings.least_threshold, settings.most_threshold)
    )
    chosen = usual.copy()
    rows = np.flatnonzero(labels.frames)
    for tag in range(len(chosen)):
        if labels.applies[rows, tag].sum() < settings.least_positives:
            continue
        order = rows[np.argsort(-probabilities[rows, tag], kind="stable")]
        right = np.cumsum(labels.applies[order, tag] + 0.5 * labels.maybe[order, tag])
        share = (right + 4 * settings.precision) / (np.arange(1, len(order) + 1) + 4)
        good = np.flatnonzero((share >= settings.precision) & (probabilities[order, tag] >= least[tag]))
        found = probabilities[order[good[-1]], tag] if len(good) else most[tag]
        chosen[tag] = np.clip(found, least[tag], most[tag])
    return np.round(chosen, 4)
