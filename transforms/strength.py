"""Strength: tags of key frames -> strength, relative strength, the kept tags (section 4.4, equations 5 and 6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import apache_beam as beam

from movie_tags.transforms.tagging import UNIT, KeyFrameTags


@dataclass(frozen=True)
class TagStrength:
    """A tag of a video.

    Attributes:
        tag: the tag.
        occurrences: n_i, key frames that have it among their tags that count.
        probability_sum: sum of its probabilities there.
        strength: W_i of equation 5.
        relative_strength: R_i of equation 6, in [0, 1].
        peak_probability: its highest probability on a key frame.
        seconds: of the film in shots that carry it.
    """

    tag: str
    occurrences: int
    probability_sum: float
    strength: float
    relative_strength: float
    peak_probability: float
    seconds: float


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


def strongest(tags: Iterable[TagStrength], min_relative_strength: float) -> tuple[TagStrength, ...]:
    """The tags whose relative strength is at least `min_relative_strength`: the video's short list."""
    return tuple(tag for tag in tags if tag.relative_strength >= min_relative_strength)


class CombineStrengths(beam.CombineFn):
    """KeyFrameTags of a video -> its TagStrengths."""

    def create_accumulator(self) -> dict[str, Total]:
        return {}

    def add_input(self, totals: dict[str, Total], frame: KeyFrameTags) -> dict[str, Total]:
        shown = round((frame.shot_end_s - frame.shot_start_s) * UNIT)
        return self.merge_accumulators(
            [totals, {tag: Total(1, millionths, millionths, shown) for tag, millionths in frame.top}]
        )

    def merge_accumulators(self, accumulators: Iterable[dict[str, Total]]) -> dict[str, Total]:
        merged: dict[str, Total] = {}
        for totals in accumulators:
            for tag, total in totals.items():
                merged[tag] = merged.get(tag, Total()) + total
        return merged

    def extract_output(self, totals: dict[str, Total]) -> tuple[TagStrength, ...]:
        return strengths(totals)
