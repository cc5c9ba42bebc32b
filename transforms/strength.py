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
        occurrences: n_i, key frames that have it among their top-k.
        probability_sum: sum of its probabilities there.
        strength: W_i of equation 5.
        relative_strength: R_i of equation 6, in [0, 1].
    """

    tag: str
    occurrences: int
    probability_sum: float
    strength: float
    relative_strength: float


def strengths(totals: dict[str, tuple[int, int]]) -> tuple[TagStrength, ...]:
    """Equations 5 and 6, the strongest tag first, ties in alphabetical order.

    Args:
        totals: by tag, its occurrences n_i and the sum of its probabilities in millionths.
    """
    extracted = sum(n for n, _ in totals.values())
    weights = {tag: n / extracted * (total / UNIT) for tag, (n, total) in totals.items()}
    low, high = min(weights.values(), default=0.0), max(weights.values(), default=0.0)
    tags = [
        TagStrength(tag, n, total / UNIT, weights[tag], (weights[tag] - low) / (high - low) if high > low else 1.0)
        for tag, (n, total) in totals.items()
    ]
    return tuple(sorted(tags, key=lambda tag: (-tag.strength, tag.tag)))


def strongest(tags: Iterable[TagStrength], min_relative_strength: float) -> tuple[TagStrength, ...]:
    """The tags whose relative strength is at least `min_relative_strength`: the video's short list."""
    return tuple(tag for tag in tags if tag.relative_strength >= min_relative_strength)


class CombineStrengths(beam.CombineFn):
    """KeyFrameTags of a video -> its TagStrengths; accumulators hold whole numbers, so any order gives the same."""

    def create_accumulator(self) -> dict[str, tuple[int, int]]:
        return {}

    def add_input(self, totals: dict, key_frame: KeyFrameTags) -> dict:
        return self.merge_accumulators([totals, {tag: (1, millionths) for tag, millionths in key_frame.top}])

    def merge_accumulators(self, accumulators: Iterable[dict]) -> dict:
        merged: dict[str, tuple[int, int]] = {}
        for totals in accumulators:
            for tag, (n, total) in totals.items():
                before = merged.get(tag, (0, 0))
                merged[tag] = (before[0] + n, before[1] + total)
        return merged

    def extract_output(self, totals: dict) -> tuple[TagStrength, ...]:
        return strengths(totals)
