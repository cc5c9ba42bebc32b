"""True cuts: the frame with which a shot begins, found between the two samples that differ.

Samples a second apart say that a shot begins between them, not where. Of the pictures between them, the two neighbours
that differ most are the cut, if one pair stands out; in a dissolve or a fade none does.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from movie_tags.records import APPROXIMATE, EXACT
from movie_tags.transforms.shots.detector import Detector
from movie_tags.transforms.video.between import Between

CHANGE = 0.5
"""At a hard cut two neighbours differ by this share of what the two samples differ by, or more."""

STANDS_OUT = 2.0
"""At a hard cut two neighbours differ so many times as much as the pairs before and after them do, or more."""

Fill = Callable[[Between], Between]
"""The same stretch of time with all of its pictures decoded."""


@dataclass(frozen=True)
class Cut:
    """Where a shot begins: the presentation time of its first frame, in ticks, and how that is known."""

    at: int
    how: str = EXACT


def locate(between: Between, detector: Detector, fill: Fill) -> Cut:
    """The cut between two samples of which a detector says that a shot begins between them.

    Args:
        between: the pictures from one to the other.
        detector: tells how far neighbouring pictures lie apart.
        fill: decodes the pictures that were passed over where the cut may be among them.
    """
    while True:
        differences, large, sharp = compare_neighbours(between, detector)
        candidates = next(mask for mask in (sharp, large, np.ones_like(large)) if mask.any())
        i = int(np.argmax(np.where(candidates, differences, -1.0)))
        if sharp[i] and not between.gaps[i]:
            return Cut(between.times[i + 1])
        around = slice(max(0, i - 1), i + 2)
        if not (large[i] and any(between.gaps[around])):
            return Cut(between.times[i + 1], APPROXIMATE)
        between = filled(between, around.start, min(around.stop, len(between.gaps)), fill)


def compare_neighbours(between: Between, detector: Detector) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each two neighbouring pictures the detector's difference, and what their pixels say: may it be a hard cut?

    Histograms jump in dissolves, too, where a whole area comes to another bin; so pixels decide how a cut is known.

    Returns:
        Each [n - 1]: the differences, float; whether the mean absolute difference of the pixels is large, CHANGE of
        that of the first and last picture or more; whether it also is STANDS_OUT times that of the pairs around.
    """
    seen = [detector.describe(pixels) for pixels in between.pixels]
    context = detector.context
    differences = [detector.difference(seen[max(0, i - context) : i], seen[i]) for i in range(1, len(seen))]
    pixels = between.pixels.astype(np.int16)
    changes = np.array([np.abs(a - b).mean() for a, b in itertools.pairwise(pixels)])
    whole = np.abs(pixels[-1] - pixels[0]).mean()
    around = np.maximum(np.concatenate(([0], changes[:-1])), np.concatenate((changes[1:], [0])))
    large = changes >= CHANGE * whole
    return np.array(differences), large, large & (changes >= STANDS_OUT * around)


def filled(between: Between, first: int, last: int, fill: Fill) -> Between:
    """The same, with all pictures from its picture number `first` to number `last`."""
    part = slice(first, last + 1)
    more = fill(Between(between.times[part], between.pixels[part], between.gaps[first:last]))
    return Between(
        (*between.times[:first], *more.times, *between.times[last + 1 :]),
        np.concatenate((between.pixels[:first], more.pixels, between.pixels[last + 1 :])),
        (*between.gaps[:first], *more.gaps, *between.gaps[last:]),
    )
