"""A multi-label head learned and made ready for use: calibrated, with thresholds, and with films' confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from movie_tags.records import TITLE_CARD, TagStrength
from movie_tags.training.evaluate.films import (
    Truth,
    confidence_by_others,
    evidence_of,
    film_tags,
    film_truth,
    fit_film_confidence,
    reliability,
    with_ceilings,
)
from movie_tags.training.evaluate.watching import Watch, watch_all
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
from movie_tags.transforms.evidence import BELIEVED, FilmConfidence, FilmRule

LEAST_FRAMES = 3
"""A group with so many labelled frames is taken for a film whose truth these frames tell."""

CARD_PRECISION = 0.9
"""So many of the key frames that are called title cards are."""

LEAST_FILMS = 100
"""Where so many films have a truth of their own, films' confidence is learned from these alone."""


@dataclass(frozen=True)
class LabelledFilm:
    """A film of which frames are among the pictures.

    Attributes:
        rows: its frames' places among the pictures, int [n].
        truth: its tags.
        own_truth: whether a person gave them to the film, and not to its frames alone.
    """

    rows: np.ndarray
    truth: Truth
    own_truth: bool = False


@dataclass(frozen=True)
class Judged:
    """What heads say of pictures that they did not see.

    Attributes:
        fold: of each picture, int [N]: a head judges the pictures of a fold after learning from the others.
        probabilities: of each picture, calibrated, float [N, tags].
        films: by film, the tags that count by such heads, with confidences by models that saw nothing of its fold
            (None where too few could teach one).
        truth: of these films.
        reliability: of the confidence in films' tags, by models that saw nothing of the films' folds.
    """

    fold: np.ndarray
    probabilities: np.ndarray
    films: dict[str, tuple[TagStrength, ...]]
    truth: dict[str, Truth]
    reliability: list[dict]


@dataclass(frozen=True)
class Learned:
    """A head that is ready for use.

    Attributes:
        head: calibrated.
        thresholds: by tag, in the vocabulary's order.
        confidence: of films' tags; None where there were too few films.
        watch: by tag, how low to look so as to miss little.
        slope, offset: of the calibration.
        judged: by each way of leaving out.
    """

    head: MultiLabelHead
    thresholds: np.ndarray
    confidence: FilmConfidence | None
    watch: Mapping[str, Watch]
    slope: np.ndarray
    offset: np.ndarray
    judged: tuple[Judged, ...]

    def card(self, vocabulary: Sequence[str]) -> dict:
        """What `model.json` says of it."""
        by_tag = {tag: float(value) for tag, value in zip(vocabulary, self.thresholds, strict=True)}
        said = {"activation": "sigmoid", "thresholds": by_tag}
        if self.confidence:
            said["film_confidence"] = self.confidence.card()
        if self.watch:
            said["watch"] = {tag: found.card() for tag, found in self.watch.items()}
        return said


def learn(
    features: np.ndarray,
    labels: Labels,
    vocabulary: Sequence[str],
    settings: MultiLabelSettings,
    films: Mapping[str, LabelledFilm] | None = None,
    folds: Sequence[np.ndarray] = (),
) -> Learned:
    """Learn a head from pictures, and all that is fitted beside it on pictures that a head did not see.

    Args:
        features: float32 [N, width].
        labels: of the same pictures.
        vocabulary: the tags.
        settings: the numbers.
        films: those to judge by, each wholly in one fold; None: `films_of_frames`.
        folds: ways of leaving out, int [N] each; whole groups if none is given. The calibration goes by all of them,
            thresholds, films' confidence and what to watch by the first.
    """
    folds = folds or [folds_of(labels, settings.folds, settings.seed)]
    raw = [out_of_fold(features, labels, fold, settings) for fold in folds]
    known = np.flatnonzero(labels.weights.any(1))
    head = fit_parts(features[known], labels.of(known), settings.l2, settings.iterations, settings.parts)
    return make_ready(head, raw, labels, vocabulary, settings, films, folds)


def make_ready(
    head: MultiLabelHead,
    raw: Sequence[np.ndarray],
    labels: Labels,
    vocabulary: Sequence[str],
    settings: MultiLabelSettings,
    films: Mapping[str, LabelledFilm] | None,
    folds: Sequence[np.ndarray],
) -> Learned:
    """A head with all that is fitted beside it, on pictures that heads like it did not see; see `learn`.

    Args:
        head: what learned from all pictures.
        raw: for each way of leaving out the logits of all pictures by heads that did not see them, [N, tags].
    """
    films = films_of_frames(labels, vocabulary) if films is None else films
    fair = [learnable(labels, fold) for fold in folds]
    every = labels.of(np.tile(np.arange(len(labels.groups)), len(folds)))
    slope, offset = fit_calibration(np.concatenate(raw), every, np.concatenate(fair))
    found = [sigmoid(part * slope + offset) for part in raw]
    thresholds = choose_thresholds(found[0], labels, settings, slope, offset)
    if TITLE_CARD in vocabulary:
        column = vocabulary.index(TITLE_CARD)
        thresholds[column] = card_threshold(found[0][:, column], labels.applies[:, column], labels.frames)
    judged = tuple(judge(part, fold, vocabulary, thresholds, films) for part, fold in zip(found, folds, strict=True))
    confidence = _film_confidence(_FilmFrames.of(found[0], vocabulary, thresholds), films, judged[0])
    watch = watch_all(found[0], labels, vocabulary)
    return Learned(head.calibrated(slope, offset), thresholds, confidence, watch, slope, offset, judged)


def films_of_frames(labels: Labels, vocabulary: Sequence[str]) -> dict[str, LabelledFilm]:
    """The groups with LEAST_FRAMES frames or more, by what their frames show."""
    films = {}
    for group in sorted(set(labels.groups[labels.frames].tolist())):
        rows = np.flatnonzero((labels.groups == group) & labels.frames)
        if len(rows) >= LEAST_FRAMES:
            films[group] = LabelledFilm(rows, film_truth(labels.applies[rows], labels.maybe[rows], vocabulary))
    return films


def card_threshold(probabilities: np.ndarray, cards: np.ndarray, frames: np.ndarray) -> float:
    """The lowest probability from which CARD_PRECISION of the frames are title cards; 1 where there is none.

    Args:
        probabilities: that a picture is one, by heads that did not see it, float [N].
        cards: whether it is, [N].
        frames: bool [N], the pictures to go by.
    """
    order = np.flatnonzero(frames)[np.argsort(-probabilities[frames], kind="stable")]
    right = np.cumsum(cards[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(right >= CARD_PRECISION)
    return round(float(probabilities[order[good[-1]]]), 4) if len(good) else 1.0


@dataclass(frozen=True)
class _FilmFrames:
    """Pictures as films are judged by them: without the output for title cards, and without the cards themselves."""

    vocabulary: tuple[str, ...]
    probabilities: np.ndarray
    thresholds: dict[str, float]
    shows: np.ndarray

    @classmethod
    def of(cls, probabilities: np.ndarray, vocabulary: Sequence[str], thresholds: np.ndarray) -> _FilmFrames:
        tags = [i for i, tag in enumerate(vocabulary) if tag != TITLE_CARD]
        names = tuple(vocabulary[i] for i in tags)
        cards = [i for i, tag in enumerate(vocabulary) if tag == TITLE_CARD]
        shows = np.all(probabilities[:, cards] < thresholds[cards], axis=1)
        by_tag = dict(zip(names, thresholds[tags].tolist(), strict=True))
        return cls(names, probabilities[:, tags], by_tag, shows)

    def of_film(self, film: LabelledFilm) -> np.ndarray:
        """The probabilities of a film's frames that are evidence, float [n, tags]."""
        return self.probabilities[film.rows[self.shows[film.rows]]]

    def rule(self, model: FilmConfidence | None) -> FilmRule:
        return FilmRule(self.vocabulary, self.thresholds, dict.fromkeys(self.vocabulary, model) if model else {})


def _teachers(films: Mapping[str, LabelledFilm]) -> dict[str, LabelledFilm]:
    """The films that confidence is learned from."""
    own = {name: film for name, film in films.items() if film.own_truth}
    return own if len(own) >= LEAST_FILMS else dict(films)


def _film_confidence(frames: _FilmFrames, films: Mapping[str, LabelledFilm], judged: Judged) -> FilmConfidence | None:
    teachers = _teachers(films)
    evidence = {name: evidence_of(frames.of_film(film)) for name, film in teachers.items()}
    model = fit_film_confidence(evidence, judged.truth, frames.vocabulary)
    said = {name: {tag.tag: tag.confidence or 0.0 for tag in judged.films[name]} for name in teachers}
    return model and with_ceilings(model, said, judged.truth)


def judge(
    probabilities: np.ndarray,
    fold: np.ndarray,
    vocabulary: Sequence[str],
    thresholds: np.ndarray,
    films: Mapping[str, LabelledFilm],
) -> Judged:
    """What probabilities out of fold make of films; see `learn` and `Judged`."""
    frames = _FilmFrames.of(probabilities, vocabulary, thresholds)
    truth = {name: film.truth for name, film in films.items()}
    fold_of = {name: int(fold[film.rows[0]]) for name, film in films.items()}
    teachers = _teachers(films)
    evidence = {name: evidence_of(frames.of_film(film)) for name, film in teachers.items()}
    models = confidence_by_others(evidence, truth, fold_of, frames.vocabulary)
    found = {
        name: film_tags(frames.of_film(film), frames.rule(models.get(fold_of[name]))) for name, film in films.items()
    }
    said = [
        (tag.confidence, tag.tag in truth[name].plain)
        for name in teachers
        for tag in found[name]
        if tag.confidence is not None and tag.confidence >= BELIEVED
    ]
    sure = np.array(said, float).reshape(-1, 2)
    return Judged(fold, probabilities, found, truth, reliability(sure[:, 0], sure[:, 1], 5) if len(sure) else [])


def settings_of(settings: MultiLabelSettings) -> dict:
    return {"head": "sigmoid", **asdict(settings), "kept": list(settings.kept)}
