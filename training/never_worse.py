"""Whether a model that has learned is worse, on films left out: at ordering key frames, and at films' tags.

Of the order average precision is judged, of films' tags strict precision and recall.

A film has a tag where people say so, of it or of one of its key frames; it has not where they rejected it wherever they
spoke of it. Of what nobody has spoken nothing is judged. Small figures waver: a model is called worse where 95 of 100
draws of the films, or of tags and folds, say so (a paired bootstrap).

People judge what is listed, and seldom add all that is missing. So any other list lacks some that they confirmed: it
recalls less only if, by how many tags it lists and how many of those that were judged are right, it has fewer right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from movie_tags.records import TITLE_CARD
from movie_tags.training.heads.adapt import Examples, TagChange
from movie_tags.transforms.evidence import Evidence, FilmConfidence, believe
from movie_tags.transforms.frame_rule import in_millionths

LEAST_FILMS = 5
"""With fewer films of which anything was said, nothing is judged."""
DRAWS, SURE = 2000, 0.95
"""Draws of the bootstrap, and the share of them that must say that a model is worse."""
LEAST_FOLDS = 3
"""With fewer folds of tags that have examples of both kinds, no order is judged."""
SEED = 0

Pair = tuple[float, float]


def order_is_worse(changes: Sequence[TagChange]) -> bool:
    """Whether the mean over tags of average precision is lower, beyond what other tags and folds would make of it."""
    shares = ((fold, sum(n for n, *_ in one.folds)) for one in changes for fold in one.folds)
    gains = np.array([n / all_ * (after - before) for (n, before, after), all_ in shares])
    if len(gains) < LEAST_FOLDS:
        return False
    drawn = np.random.default_rng(SEED).multinomial(len(gains), np.full(len(gains), 1 / len(gains)), DRAWS) @ gains
    return bool(np.quantile(drawn, SURE) < 0)


@dataclass(frozen=True)
class JudgedFilms:
    """Tags of films as people have them and as a model lists them before and after learning, bool [films, tags] each.

    Attributes:
        applies, rejected: what people say; of what is neither nothing is known.
        before, after: what is on the short list.
    """

    applies: np.ndarray
    rejected: np.ndarray
    before: np.ndarray
    after: np.ndarray

    @property
    def precision(self) -> Pair | None:
        """Of what is listed the share that applies, before and after; None where nothing is listed."""
        return _pair([_share(*self._counted(listed)["precision"]) for listed in self._both])

    @property
    def recall(self) -> Pair | None:
        """Of what people say applies the share that is listed, before and after; None where nothing applies."""
        return _pair([_share(*self._counted(listed)["recall"]) for listed in self._both])

    @property
    def worse(self) -> tuple[str, ...]:
        """Which of precision and recall are worse, beyond what another draw of the films would make of it."""
        return tuple(name for name in self._seem_worse() if name != "recall" or self._fewer_are_right())

    def _fewer_are_right(self) -> bool:
        """Whether all that is listed, whoever spoke of it, has fewer right ones, by the precision of what is judged."""
        was, now = (_share(*self._counted(listed)["precision"]) for listed in self._both)
        before = 1.0 if was is None else was
        after = now if now is not None else 1.0 if was is None else 0.0
        return after * self.after.sum() < before * self.before.sum()

    def _seem_worse(self) -> tuple[str, ...]:
        spoken = (self.applies | self.rejected).any(1)
        if spoken.sum() < LEAST_FILMS:
            return ()
        random = np.random.default_rng(SEED)
        counts = random.multinomial(len(spoken), spoken / spoken.sum(), DRAWS)  # of each draw, how often each film
        before, after = (self._counted(listed) for listed in self._both)
        found = []
        for name in before:
            shares = []
            for part, whole in (before[name], after[name]):
                right, all_ = counts @ part.sum(1), counts @ whole.sum(1)
                shares.append(np.where(all_ > 0, right / np.maximum(all_, 1), np.nan))
            gained = shares[1] - shares[0]
            gained = gained[np.isfinite(gained)]
            if len(gained) > DRAWS / 2 and np.quantile(gained, SURE) < 0:
                found.append(name)
        return tuple(found)

    def of_tag(self, tag: int) -> dict[str, tuple[int, int]]:
        """Of a tag, before and after: how many films have it rightly and wrongly listed, and how many it lacks."""
        applies, rejected = self.applies[:, tag], self.rejected[:, tag]
        sides = [listed[:, tag] for listed in self._both]
        return {
            "right": _counts([applies & listed for listed in sides]),
            "wrong": _counts([rejected & listed for listed in sides]),
            "missed": _counts([applies & ~listed for listed in sides]),
        }

    def _counted(self, listed: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Of precision and recall what is right and what it is a share of, bool [films, tags] each."""
        right = self.applies & listed
        return {"precision": (right, right | self.rejected & listed), "recall": (right, self.applies)}

    @property
    def _both(self) -> tuple[np.ndarray, np.ndarray]:
        return self.before, self.after


def _share(part: np.ndarray, whole: np.ndarray) -> float | None:
    return float(part.sum() / whole.sum()) if whole.any() else None


def _pair(shares: Sequence[float | None]) -> Pair | None:
    before, after = shares
    return None if before is None or after is None else (before, after)


def _counts(sides: Sequence[np.ndarray]) -> tuple[int, int]:
    before, after = (int(side.sum()) for side in sides)
    return before, after


def said_of_films(examples: Examples, tags: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which tags people say that films have, and have not: bool [films, tags] each, films in the order of their names.

    Args:
        examples: key frames.
        tags: the first of the labels.
    """
    are_tags = np.array([tag != TITLE_CARD for tag in tags], bool)
    known, labels = (examples.weights > 0)[:, : len(tags)] & are_tags, examples.labels[:, : len(tags)]
    applies, rejected = (in_any(examples.films, known & (labels == said)) for said in (1, 0))
    return applies, rejected & ~applies


def in_any(films: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Whether something holds of any key frame of a film: bool [N, tags] -> bool [films, tags]."""
    names, place = np.unique(films, return_inverse=True)
    found = np.zeros((len(names), values.shape[1]), bool)
    np.logical_or.at(found, place, values)
    return found


def confidences(
    films: np.ndarray,
    probabilities: np.ndarray,
    tags: Sequence[str],
    thresholds: Mapping[str, float],
    film: FilmConfidence | None,
) -> np.ndarray:
    """How sure a model is of films' tags, float [films, tags], films in the order of their names.

    As when films are tagged, a title card says nothing of its film.

    Args:
        films: [N], the film of each key frame.
        probabilities: of them, float [N, tags].
        tags: of the model.
        thresholds: by tag, from which it is believed on a key frame.
        film: the model of films; None: a film surely has the tags that one of its key frames has.
    """
    found = []
    for rows in rows_of_films(films):
        shown = probabilities[rows]
        if TITLE_CARD in tags:
            shown = shown[shown[:, tags.index(TITLE_CARD)] < thresholds[TITLE_CARD]]
        if film is None:
            found.append(np.any(shown >= np.array([thresholds[tag] for tag in tags]), axis=0))
            continue
        models = {tag: film for tag in tags if tag != TITLE_CARD}
        sure = believe(Evidence.of(in_millionths(shown)), tags, models, thresholds).confidence
        found.append([sure.get(tag, 0.0) if len(shown) else 0.0 for tag in tags])
    return np.array(found, float).reshape(len(found), len(tags))


def rows_of_films(films: np.ndarray) -> list[np.ndarray]:
    """The places of each film's key frames, in the order of the films' names. Args: the film of each, [N]."""
    order = np.argsort(films, kind="stable")
    return np.split(order, np.flatnonzero(films[order][1:] != films[order][:-1]) + 1) if len(films) else []
