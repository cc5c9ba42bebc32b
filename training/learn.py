"""A multi-label head learned and made ready for use: calibrated, with thresholds, and with films' confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from movie_tags.training.films import (
    Truth,
    confidences_by_fold,
    film_tags,
    film_truth,
    fit_film_confidence,
    reliability,
)
from movie_tags.training.multilabel import (
    Labels,
    MultiLabelHead,
    MultiLabelSettings,
    choose_thresholds,
    fit,
    fit_calibration,
    folds_of,
    out_of_fold,
    sigmoid,
)
from movie_tags.transforms.strength import STATISTICS, FilmConfidence, TagStrength

LEAST_FRAMES = 3
"""A group with so many labelled frames is taken for a film whose truth these frames tell."""


@dataclass(frozen=True)
class Learned:
    """A head that is ready for use.

    Attributes:
        head: calibrated.
        thresholds: by tag, in the vocabulary's order.
        confidence: of films' tags; None where there were too few films.
        slope, offset: of the calibration.
        fold: of each picture, int [N].
        probabilities: of each picture by a head that saw nothing of its fold, calibrated, float [N, tags].
        films: by film, the tags that count by such heads, and its number of key frames.
        truth: of these films.
        reliability: of the confidence, by models that saw nothing of the films' folds.
    """

    head: MultiLabelHead
    thresholds: np.ndarray
    confidence: FilmConfidence | None
    slope: np.ndarray
    offset: np.ndarray
    fold: np.ndarray
    probabilities: np.ndarray
    films: dict[str, tuple[tuple[TagStrength, ...], int]]
    truth: dict[str, Truth]
    reliability: list[dict] = field(default_factory=list)

    def card(self, vocabulary: Sequence[str]) -> dict:
        """What `model.json` says of it."""
        by_tag = {tag: float(value) for tag, value in zip(vocabulary, self.thresholds, strict=True)}
        said = {"activation": "sigmoid", "thresholds": by_tag}
        if self.confidence:
            weights = dict(zip(STATISTICS, self.confidence.weights, strict=True))
            said["film_confidence"] = {"intercept": self.confidence.intercept, "weights": weights}
        return said


def learn(
    features: np.ndarray,
    labels: Labels,
    vocabulary: Sequence[str],
    settings: MultiLabelSettings,
    truth: Mapping[str, Truth] | None = None,
    fold: np.ndarray | None = None,
    whole: bool = True,
) -> Learned:
    """Learn a head from pictures, and all that is fitted beside it on pictures that a head did not see.

    Args:
        features: float32 [N, width].
        labels: of the same pictures.
        vocabulary: the tags.
        settings: the numbers.
        truth: of films, by group, where it is known otherwise than from their frames.
        fold: of each picture, int [N]; by groups if none is given.
        whole: False leaves out the head that learns from everything; it is then the one of no picture.
    """
    fold = folds_of(labels, settings.folds, settings.seed) if fold is None else fold
    raw = out_of_fold(features, labels, fold, settings)
    slope, offset = fit_calibration(raw, labels)
    found = sigmoid(raw * slope + offset)
    thresholds = choose_thresholds(found, labels, settings, slope, offset)
    known = np.flatnonzero(labels.weights.any(1))
    head = MultiLabelHead(np.zeros((features.shape[1], len(vocabulary)), np.float32), np.zeros(len(vocabulary)))
    if whole:
        head = fit(features[known], labels.of(known), settings.l2, settings.iterations).calibrated(slope, offset)
    films, judged, fold_of = {}, {}, {}
    for group in sorted(set(labels.groups[labels.frames].tolist())):
        rows = np.flatnonzero((labels.groups == group) & labels.frames)
        given = (truth or {}).get(group)
        if given is None and len(rows) < LEAST_FRAMES:
            continue
        films[group] = film_tags(found[rows], vocabulary, thresholds), len(rows)
        judged[group] = given or film_truth(labels.applies[rows], labels.maybe[rows], vocabulary)
        fold_of[group] = int(fold[rows[0]])
    said, right, _ = confidences_by_fold(films, judged, fold_of)
    curve = reliability(said, right, 5) if len(said) else []
    confidence = fit_film_confidence(films, judged)
    return Learned(head, thresholds, confidence, slope, offset, fold, found, films, judged, curve)


def settings_of(settings: MultiLabelSettings) -> dict:
    return {"head": "sigmoid", **asdict(settings), "kept": list(settings.kept)}
