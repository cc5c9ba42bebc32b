"""Strength: tags of key frames -> strength, relative strength, the kept tags (section 4.4, equations 5 and 6)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import apache_beam as beam

from movie_tags.records import UNIT, KeyFrame, TagStrength

STATISTICS = ("mean_logit", "peak_logit", "log_weight", "log_share")


@dataclass(frozen=True)
class FilmConfidence:
    """How statistics of a tag in a film become its confidence: sigmoid(intercept + tag's own + weights · statistics).

    In `model.json`: "film_confidence": {"intercept": number, "weights": {name: number, for each of STATISTICS}, "tags":
    {tag: number}}; what is added for a tag, or taken away, is nothing for those not named.
    """

    intercept: float
    weights: tuple[float, ...]
    tags: Mapping[str, float] = field(default_factory=dict)

    def confidence(self, tag: str, values: Iterable[float]) -> float:
        """Of a tag with such statistics, in (0, 1)."""
        odds = self.intercept + self.tags.get(tag, 0.0)
        odds += sum(weight * value for weight, value in zip(self.weights, values, strict=True))
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, odds))))

    @classmethod
    def of_card(cls, card: dict) -> FilmConfidence | None:
        """What a bundle's `model.json` says; None where it says nothing.

        Raises:
            KeyError, TypeError, ValueError: it is malformed.
        """
        said = card.get("film_confidence")
        if said is None:
            return None
        tags = {tag: float(number) for tag, number in said.get("tags", {}).items()}
        return cls(float(said["intercept"]), tuple(float(said["weights"][name]) for name in STATISTICS), tags)

    def card(self) -> dict:
        """What `model.json` says of it."""
        weights = dict(zip(STATISTICS, self.weights, strict=True))
        return {"intercept": self.intercept, "weights": weights, "tags": dict(self.tags)}


def statistics(tag: TagStrength, strongest_weight: float, key_frames: int) -> tuple[float, ...]:
    """What a film's confidence in a tag is reckoned from, in the order of STATISTICS.

    The log-odds of the mean and of the peak of its probabilities where it counts; the logarithm of its strength by that
    of the film's strongest tag; the logarithm of the share of the film's key frames on which it counts.

    Args:
        tag: the tag.
        strongest_weight: the strength of the film's strongest tag.
        key_frames: those of the film that were tagged.
    """
    mean = tag.probability_sum / tag.occurrences
    weight = tag.strength / strongest_weight if strongest_weight else 1.0
    return (
        _logit(mean),
        _logit(tag.peak_probability),
        math.log(max(weight, 1e-6)),
        math.log(tag.occurrences / max(key_frames, tag.occurrences)),
    )


def with_confidence(
    tags: tuple[TagStrength, ...], key_frames: int, by_tag: Mapping[str, FilmConfidence]
) -> tuple[TagStrength, ...]:
    """A film's tags with the confidence in each.

    Args:
        tags: all that count in the film.
        key_frames: those of the film that were tagged.
        by_tag: the models; tags without one stay as they are.
    """
    strongest_weight = max((tag.strength for tag in tags), default=0.0)
    return tuple(
        replace(
            tag, confidence=round(by_tag[tag.tag].confidence(tag.tag, statistics(tag, strongest_weight, key_frames)), 6)
        )
        if tag.tag in by_tag
        else tag
        for tag in tags
    )


def _logit(probability: float) -> float:
    probability = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(probability / (1 - probability))


@dataclass(frozen=True)
class Total:
    """What adds up of a tag, in whole numbers so that any order of adding gives the same.

    Attributes:
        occurrences: n_i, key frames that have it among the tags that count.
        probability_sum: of its probabilities there, in millionths.
        peak: the highest of them, in millionths.
        shown: how long its shots last, in millionths of a second.
    """

    occurrences: int = 0
    probability_sum: int = 0
    peak: int = 0
    shown: int = 0

    def __add__(self, other: Total) -> Total:
        return Total(
            self.occurrences + other.occurrences,
            self.probability_sum + other.probability_sum,
            max(self.peak, other.peak),
            self.shown + other.shown,
        )


def strengths(totals: dict[str, Total]) -> tuple[TagStrength, ...]:
    """Equations 5 and 6 over the tags that count, the strongest tag first, ties in alphabetical order.

    N, "the total number of extracted tags", is the number of all occurrences.
    """
    extracted = sum(total.occurrences for total in totals.values())
    weights = {tag: total.occurrences / extracted * (total.probability_sum / UNIT) for tag, total in totals.items()}
    low, high = min(weights.values(), default=0.0), max(weights.values(), default=0.0)
    tags = [
        TagStrength(
            tag,
            total.occurrences,
            total.probability_sum / UNIT,
            weights[tag],
            (weights[tag] - low) / (high - low) if high > low else 1.0,
            total.peak / UNIT,
            total.shown / UNIT,
        )
        for tag, total in totals.items()
    ]
    return tuple(sorted(tags, key=lambda tag: (-tag.strength, tag.tag)))


RELATIVE = 0.1
"""The relative strength from which a tag is on the short list where nothing is known of how sure the model is."""


def short_list(
    tags: Iterable[TagStrength], min_relative_strength: float | None = None, min_confidence: float | None = None
) -> tuple[TagStrength, ...]:
    """The tags that are said of a video.

    By relative strength alone (equation 6) the weakest of several tags never is, however sure it is, and the strongest
    always, however unsure. So confidence decides where there is one.

    Args:
        tags: all that count.
        min_relative_strength: that of a tag must be so high; None: RELATIVE for tags without a confidence, nothing for
            those with one.
        min_confidence: that of a tag must be so high, where it has one; None: confidence decides nothing.
    """
    kept = []
    for tag in tags:
        by_confidence = min_confidence is not None and tag.confidence is not None
        least = min_relative_strength
        if least is None:
            least = 0.0 if by_confidence else RELATIVE
        if tag.relative_strength >= least and (not by_confidence or tag.confidence >= min_confidence):
            kept.append(tag)
    return tuple(kept)


class CombineStrengths(beam.CombineFn):
    """KeyFrames of a video -> its TagStrengths."""

    def create_accumulator(self) -> dict[str, Total]:
        return {}

    def add_input(self, totals: dict[str, Total], frame: KeyFrame) -> dict[str, Total]:
        shown = round((frame.shot_end_s - frame.shot_start_s) * UNIT)
        return self.merge_accumulators(
            [totals, {one.tag: Total(1, one.millionths, one.millionths, shown) for one in frame.tags}]
        )

    def merge_accumulators(self, accumulators: Iterable[dict[str, Total]]) -> dict[str, Total]:
        merged: dict[str, Total] = {}
        for totals in accumulators:
            for tag, total in totals.items():
                merged[tag] = merged.get(tag, Total()) + total
        return merged

    def extract_output(self, totals: dict[str, Total]) -> tuple[TagStrength, ...]:
        return strengths(totals)
