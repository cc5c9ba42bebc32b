"""Whether a model that has learned is worse at films' tags: strict precision and recall, on films left out.

A film has a tag where people say so, of it or of one of its key frames; it has not where they rejected it wherever they
spoke of it. Of what nobody has spoken nothing is judged. Small figures waver: a model is called worse where 95 of 100
draws of the films (a paired bootstrap) say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from movie_tags.records import TITLE_CARD
from movie_tags.results.listing import THRESHOLD
from movie_tags.training.heads.adapt import Examples
from movie_tags.transforms.evidence import Evidence, FilmConfidence, believe
from movie_tags.transforms.frame_rule import in_millionths

LEAST_FILMS = 5
"""With fewer films of which anything was said, nothing is judged."""
DRAWS, SURE = 2000, 0.95
"""Draws of the bootstrap, and the share of them that must say that a model is worse."""

Pair = tuple[float, float]


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
        """Of what applies the share that is listed, before and after; None where nothing applies."""
        return _pair([_share(*self._counted(listed)["recall"]) for listed in self._both])

    @property
    def worse(self) -> tuple[str, ...]:
        """Which of precision and recall are worse, beyond what another draw of the films would make of it."""
        spoken = (self.applies | self.rejected).any(1)
        if spoken.sum() < LEAST_FILMS:
            return ()
        random = np.random.default_rng(0)
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


def judged_films(
    examples: Examples,
    before: np.ndarray,
    after: np.ndarray,
    tags: Sequence[str],
    thresholds: Mapping[str, float],
    film: FilmConfidence | None,
) -> JudgedFilms:
    """What a model lists of the films of examples before and after learning, by what it sees of these key frames.

    As when films are tagged, a title card says nothing of its film; that a key frame is one is no tag, and not judged.

    Args:
        examples: key frames.
        before, after: probabilities of them by heads that did not learn from their films, float [N, tags or more].
        tags: those that the model knew, the first of the labels.
        thresholds: by tag, from which it is believed on a key frame.
        film: how sure the model is of a film's tags; None: a film has the tags that one of its key frames has.
    """
    names, are_tags = np.unique(examples.films), np.array([tag != TITLE_CARD for tag in tags], bool)
    found: dict[str, list] = {name: [] for name in ("applies", "rejected", "before", "after")}
    for name in names:
        rows = examples.films == name
        known = (examples.weights[rows] > 0)[:, : len(tags)] & are_tags
        labels = np.where(known, examples.labels[rows][:, : len(tags)], np.nan)
        applies = (labels == 1).any(0)
        found["applies"].append(applies)
        found["rejected"].append((labels == 0).any(0) & ~applies)
        for side, probabilities in (("before", before), ("after", after)):
            found[side].append(_listed(probabilities[rows][:, : len(tags)], tags, thresholds, film))
    return JudgedFilms(*(np.array(rows, bool).reshape(len(names), len(tags)) for rows in found.values()))


def _listed(
    probabilities: np.ndarray, tags: Sequence[str], thresholds: Mapping[str, float], film: FilmConfidence | None
) -> np.ndarray:
    """Which tags are on the short list of a film with such key frames, float [key frames, tags]: bool [tags]."""
    if TITLE_CARD in tags:
        probabilities = probabilities[probabilities[:, tags.index(TITLE_CARD)] < thresholds[TITLE_CARD]]
    if film is None:
        return np.any(probabilities >= np.array([thresholds[tag] for tag in tags]), axis=0)
    models = {tag: film for tag in tags if tag != TITLE_CARD}
    belief = believe(Evidence.of(in_millionths(probabilities)), tags, models, thresholds, THRESHOLD)
    return np.array([tag in belief.carried_from for tag in tags], bool)
