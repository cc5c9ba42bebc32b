"""Film-level evidence: probabilities of key frames -> how sure to be that a person would give a tag to the film.

Pure functions on arrays. What single frames' thresholds cut away is evidence about the film: of a tag the mean of its
three best key frames, the mean of all, and the best of any other tag are weighed by a logistic model that was fitted
on films left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from movie_tags.records import UNIT, KeyFrame, TagProbability
from movie_tags.transforms.frame_rule import TaggedFrame
from movie_tags.transforms.kinds import is_evidence

BEST = 3
"""The mean of so many of a tag's most probable key frames is the first of a film's statistics of the tag."""

OTHER = "other"
STATISTICS = ("best", "mean", OTHER)
"""The log-odds of the mean of a tag's BEST highest probabilities, of the mean of all, and of the highest "best" of any
other tag: a tag is the likelier to be given, the less else there is to say of the film."""

BELIEVED = 0.1
"""A tag counts in a film from this confidence on; whether it is on the short list, `Method.min_confidence` says."""

NEVER = math.log(1e-6 / (1 - 1e-6))
"""The log-odds of what no key frame shows."""

CARRIES = 0.5
"""A key frame carries a believed tag if its probability is this share of the mean of the film's BEST, or more."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What adds up of key frames' probabilities, in whole millionths, so that any order of adding gives the same.

    Attributes:
        best: int64 [BEST, tags], each tag's highest probabilities, the highest first; 0 where there are fewer frames.
        total: int64 [tags], the sums of its probabilities.
        frames: how many key frames.
    """

    best: np.ndarray
    total: np.ndarray
    frames: int

    @classmethod
    def of(cls, millionths: np.ndarray) -> Evidence:
        """Of key frames' probabilities, int64 [frames, tags]; there may be none."""
        millionths = np.asarray(millionths, np.int64)
        padded = np.vstack([millionths, np.zeros((BEST, millionths.shape[1]), np.int64)])
        return cls(-np.sort(-padded, 0)[:BEST], millionths.sum(0), len(millionths))

    def __add__(self, other: Evidence) -> Evidence:
        both = np.vstack([self.best, other.best])
        return Evidence(-np.sort(-both, 0)[:BEST], self.total + other.total, self.frames + other.frames)

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean of the best and the mean of all, in 0 to 1, float64 [tags] each; 0 of no frames."""
        counted = max(1, min(BEST, self.frames))
        return self.best.sum(0) / (counted * UNIT), self.total / (max(1, self.frames) * UNIT)

    def statistics(self, rivals: np.ndarray | None = None) -> np.ndarray:
        """STATISTICS of each tag, float64 [tags, 3].

        Args:
            rivals: which tags count as another one, bool [tags]; None: all.
        """
        best, mean = ([_logit(float(value)) for value in part] for part in self.means())
        others = np.where(np.ones(len(best), bool) if rivals is None else rivals, best, NEVER)
        first = int(others.argmax()) if len(others) else 0
        second = np.delete(others, first).max(initial=NEVER)
        other = [second if tag == first else others[first] for tag in range(len(best))]
        return np.array([best, mean, other]).T.reshape(-1, len(STATISTICS))


@dataclass(frozen=True)
class FilmConfidence:
    """A logistic model of a film's tags: sigmoid(intercept + the tag's + weights · statistics), at most its ceiling.

    In `model.json`: "film_confidence": {"intercept": number, "weights": {name: number, for each of STATISTICS}, "tags":
    {tag: number}, "ceilings": {tag: probability}, "alone": [tag, …]}. The weight of a statistic and what is added for a
    tag are 0 for those not named. A ceiling is how often a tag was right on films left out that is seldom right however
    sure the model is; 1 for those not named. Tags that stand alone do not vie with others, nor others with them: people
    who teach a tag of their own mark it whatever else there is.
    """

    intercept: float
    weights: tuple[float, ...]
    tags: Mapping[str, float] = field(default_factory=dict)
    ceilings: Mapping[str, float] = field(default_factory=dict)
    alone: frozenset[str] = frozenset()

    def confidence(self, tag: str, statistics: Sequence[float]) -> float:
        """How probable it is that a person would give a tag with such statistics to a film; six decimals."""
        best, mean, other = statistics
        by_best, by_mean, by_other = self.weights
        odds = by_best * float(best) + by_mean * float(mean)
        if tag not in self.alone:
            odds += by_other * float(other)
        odds += self.intercept + self.tags.get(tag, 0.0)
        sure = 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))
        return round(min(sure, self.ceilings.get(tag, 1.0)), 6)

    @classmethod
    def of_card(cls, card: dict) -> FilmConfidence | None:
        """What a bundle's `model.json` says; None where it says nothing.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: it is malformed.
        """
        said = card.get("film_confidence")
        if said is None:
            return None
        tags, ceilings = (
            {tag: float(number) for tag, number in said.get(name, {}).items()} for name in ("tags", "ceilings")
        )
        weights = tuple(float(said["weights"].get(name, 0.0)) for name in STATISTICS)
        return cls(float(said["intercept"]), weights, tags, ceilings, frozenset(said.get("alone", ())))

    def card(self) -> dict:
        """What `model.json` says of it."""
        said = {"intercept": self.intercept, "weights": dict(zip(STATISTICS, self.weights, strict=True))}
        alone = {"alone": sorted(self.alone)} if self.alone else {}
        return {**said, "tags": dict(self.tags), "ceilings": dict(self.ceilings), **alone}


@dataclass(frozen=True)
class Belief:
    """What is believed of a film.

    Attributes:
        confidence: by tag, of those whose model says how sure it is.
        carried_from: by tag that counts, the probability in millionths from which a key frame carries it.
    """

    confidence: Mapping[str, float]
    carried_from: Mapping[str, int]


def believe(
    evidence: Evidence,
    vocabulary: Sequence[str],
    models: Mapping[str, FilmConfidence],
    thresholds: Mapping[str, float],
    least: float = BELIEVED,
) -> Belief:
    """The tags that a film is believed to have, and the key frames that carry them.

    The film is the prior of its frames: where it is sure of a tag, a frame carries it below the tag's threshold, too,
    so that every tag that counts is carried by its most probable frame at least.

    Args:
        evidence: of the film's key frames.
        vocabulary: the tags, in the evidence's order.
        models: by tag; tags without one are passed over.
        thresholds: by tag, from which a frame carries it whatever the film says of how sure it is, in 0 to 1.
        least: a tag counts from this confidence on.
    """
    rivals = np.array([tag in models and tag not in models[tag].alone for tag in vocabulary], bool)
    statistics, (best, _) = evidence.statistics(rivals), evidence.means()
    confidence = {
        tag: models[tag].confidence(tag, row) for tag, row in zip(vocabulary, statistics, strict=True) if tag in models
    }
    carried_from = {
        tag: math.floor(min(thresholds[tag], CARRIES * float(mean)) * UNIT)
        for tag, mean in zip(vocabulary, best, strict=True)
        if evidence.frames and tag in confidence and confidence[tag] >= least
    }
    return Belief(confidence, carried_from)


def _logit(probability: float) -> float:
    probability = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(probability / (1 - probability))


@dataclass(frozen=True)
class FilmRule:
    """How it is decided which tags count on which key frames of a film.

    Attributes:
        vocabulary: all tags, in the order of the frames' probabilities.
        thresholds: by tag, the probability from which a frame carries it whatever the film says, in 0 to 1.
        models: by tag, how sure to be of it; tags without one count by their frames' thresholds alone.
        by_frame: whether all tags count so, as the paper has it; then the models say their confidence and no more.
    """

    vocabulary: tuple[str, ...]
    thresholds: Mapping[str, float]
    models: Mapping[str, FilmConfidence]
    by_frame: bool = False

    def judge(self, frames: Sequence[TaggedFrame]) -> tuple[list[KeyFrame], Mapping[str, float]]:
        """A film's key frames with the tags that count on each, in their order; and by tag how sure to be of it."""
        if not self.models:
            return [one.frame for one in frames], {}
        speak = [one.millionths for one in frames if self.by_frame or is_evidence(one.frame.kind)]
        evidence = Evidence.of(np.array(speak, np.int64).reshape(-1, len(self.vocabulary)))
        belief = believe(evidence, self.vocabulary, self.models, self.thresholds)
        if self.by_frame:
            return [one.frame for one in frames], belief.confidence
        return [self._carried(one, belief) for one in frames], belief.confidence

    def _carried(self, one: TaggedFrame, belief: Belief) -> KeyFrame:
        if not is_evidence(one.frame.kind):
            return one.frame
        others = [found for found in one.frame.tags if found.tag not in self.models]
        carried = [
            TagProbability.of_millionths(tag, millionths)
            for tag, millionths in zip(self.vocabulary, one.millionths, strict=True)
            if millionths >= belief.carried_from.get(tag, UNIT + 1)
        ]
        return replace(one.frame, tags=tuple(sorted([*others, *carried], key=lambda found: -found.probability)))
