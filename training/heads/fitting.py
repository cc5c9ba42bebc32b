"""A multi-label head learned and made ready for use: calibrated, with thresholds, and with films' confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from movie_tags.training.evaluate.films import (
    Films,
    Truth,
    film_tags,
    film_truth,
    fit_film_confidence,
    reliability,
    sure_by_others,
)
from movie_tags.training.heads.multilabel import (
    Labels,
    MultiLabelHead,
    MultiLabelSettings,
    choose_thresholds,
    fit_calibration,
    fit_parts,
    folds_of,
    learnable,
    out_of_fold,
    sigmoid,
)
from movie_tags.transforms.strength import FilmConfidence

LEAST_FRAMES = 3
"""A group with so many labelled frames is taken for a film whose truth these frames tell."""


@dataclass(frozen=True)
class Judged:
    """What heads say of pictures that they did not see.

    Attributes:
        fold: of each picture, int [N]: a head judges the pictures of a fold after learning from the others.
        probabilities: of each picture, calibrated, float [N, tags].
        films: by film, the tags that count by such heads, with confidences by models that saw nothing of its fold
            (None where too few could teach one), and its number of key frames.
        truth: of these films.
        reliability: of the confidence in films' tags, by models that saw nothing of the films' folds.
    """

    fold: np.ndarray
    probabilities: np.ndarray
    films: Films
    truth: dict[str, Truth]
    reliability: list[dict]


@dataclass(frozen=True)
class Learned:
    """A head that is ready for use.

    Attributes:
        head: calibrated.
        thresholds: by tag, in the vocabulary's order.
        confidence: of films' tags; None where there were too few films.
        slope, offset: of the calibration.
        judged: by each way of leaving out.
    """

    head: MultiLabelHead
    thresholds: np.ndarray
    confidence: FilmConfidence | None
    slope: np.ndarray
    offset: np.ndarray
    judged: tuple[Judged, ...]

    def card(self, vocabulary: Sequence[str]) -> dict:
        """What `model.json` says of it."""
        by_tag = {tag: float(value) for tag, value in zip(vocabulary, self.thresholds, strict=True)}
        said = {"activation": "sigmoid", "thresholds": by_tag}
        if self.confidence:
            said["film_confidence"] = self.confidence.card()
        return said


def learn(
    features: np.ndarray,
    labels: Labels,
    vocabulary: Sequence[str],
    settings: MultiLabelSettings,
    truth: Mapping[str, Truth] | None = None,
    folds: Sequence[np.ndarray] = (),
) -> Learned:
    """Learn a head from pictures, and all that is fitted beside it on pictures that a head did not see.

    Args:
        features: float32 [N, width].
        labels: of the same pictures.
        vocabulary: the tags.
        settings: the numbers.
        truth: of films, by group, where it is known otherwise than from their frames.
        folds: ways of leaving out, int [N] each; whole groups if none is given. The calibration goes by all of them,
            thresholds and films' confidence by the first.
    """
    folds = folds or [folds_of(labels, settings.folds, settings.seed)]
    raw = [out_of_fold(features, labels, fold, settings) for fold in folds]
    fair = [learnable(labels, fold) for fold in folds]
    every = labels.of(np.tile(np.arange(len(features)), len(folds)))
    slope, offset = fit_calibration(np.concatenate(raw), every, np.concatenate(fair))
    found = [sigmoid(part * slope + offset) for part in raw]
    thresholds = choose_thresholds(found[0], labels, settings, slope, offset)
    known = np.flatnonzero(labels.weights.any(1))
    head = fit_parts(features[known], labels.of(known), settings.l2, settings.iterations, settings.parts)
    judged = tuple(
        judge(part, labels, fold, vocabulary, thresholds, truth or {}) for part, fold in zip(found, folds, strict=True)
    )
    confidence = fit_film_confidence(judged[0].films, judged[0].truth)
    return Learned(head.calibrated(slope, offset), thresholds, confidence, slope, offset, judged)


def judge(
    probabilities: np.ndarray,
    labels: Labels,
    fold: np.ndarray,
    vocabulary: Sequence[str],
    thresholds: np.ndarray,
    truth: Mapping[str, Truth],
) -> Judged:
    """What probabilities out of fold make of films; see `learn` and `Judged`.

    A group of LEAST_FRAMES or more is a film; its truth is the given one, and what its frames say may apply where that
    names nothing that may.
    """
    films, known, fold_of = {}, {}, {}
    for group in sorted(set(labels.groups[labels.frames].tolist())):
        rows = np.flatnonzero((labels.groups == group) & labels.frames)
        given = truth.get(group)
        if given is None and len(rows) < LEAST_FRAMES:
            continue
        films[group] = film_tags(probabilities[rows], vocabulary, list(thresholds)), len(rows)
        seen = film_truth(labels.applies[rows], labels.maybe[rows], vocabulary)
        if given is not None and not given.may:
            given = Truth(given.plain, (seen.plain | seen.may) - given.plain)
        known[group] = given or seen
        fold_of[group] = int(fold[rows[0]])
    sure_films = sure_by_others(films, known, fold_of)
    said = [(tag.confidence, tag.tag in known[film].plain) for film, (tags, _) in sure_films.items() for tag in tags]
    sure = np.array([(confidence, right) for confidence, right in said if confidence is not None]).reshape(-1, 2)
    return Judged(fold, probabilities, sure_films, known, reliability(sure[:, 0], sure[:, 1], 5) if len(sure) else [])


def settings_of(settings: MultiLabelSettings) -> dict:
    return {"head": "sigmoid", **asdict(settings), "kept": list(settings.kept)}
