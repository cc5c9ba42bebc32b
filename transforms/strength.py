"""Strength: tags of key frames -> strength, relative strength, the kept tags (section 4.4, equations 5 and 6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from movie_tags.records import UNIT, KeyFrame, TagStrength


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


def totals_of(key_frames: Iterable[KeyFrame]) -> dict[str, Total]:
    """What the tags that count on key frames add up to, by tag."""
    totals: dict[str, Total] = {}
    for frame in key_frames:
        shown = round((frame.shot_end_s - frame.shot_start_s) * UNIT)
        for one in frame.tags:
            totals[one.tag] = totals.get(one.tag, Total()) + Total(1, one.millionths, one.millionths, shown)
    return totals


def strengths(totals: Mapping[str, Total]) -> tuple[TagStrength, ...]:
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
        if min_confidence is None or tag.confidence is None:
            least, sure = RELATIVE, True
        else:
            least, sure = 0.0, tag.confidence >= min_confidence
        if sure and tag.relative_strength >= (least if min_relative_strength is None else min_relative_strength):
            kept.append(tag)
    return tuple(kept)


def with_confidence(tags: Iterable[TagStrength], confidence: Mapping[str, float]) -> tuple[TagStrength, ...]:
    """A film's tags with the confidence in each, by tag; None for those not named."""
    return tuple(replace(tag, confidence=confidence.get(tag.tag)) for tag in tags)
