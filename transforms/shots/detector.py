"""Shot detectors: what a sample is described by, and how far apart neighbouring samples lie (section 4.4).

A new detector is a module beside this one that has a `DETECTOR`, a line in `DETECTORS`, and its test.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # a command line that only names a detector is not to wait for decoders
    import numpy as np

    from movie_tags.transforms.video.samples import Frame

HSV_HISTOGRAM, CONTENT = "hsv-histogram", "content"


class Known(NamedTuple):
    """A line of the registry.

    Attributes:
        module: beside this one, which has the `DETECTOR`.
        threshold: the difference above which a shot begins unless another is given, set by benchmarks/shots.py.
        compares: what of neighbouring samples it compares, in words.
    """

    module: str
    threshold: float
    compares: str


DETECTORS = {
    HSV_HISTOGRAM: Known("hsv_histogram", 0.5, "their histograms of hue, saturation and value"),
    CONTENT: Known("content_difference", 0.17, "their hue, saturation and value place by place"),
}


class Detector(Protocol):
    """Tells shots apart by small descriptions of samples. It has no state: segments are described apart and joined.

    Attributes:
        context: how many samples before a boundary its difference looks at, at least 1.
    """

    context: int

    def describe(self, pixels: np.ndarray) -> np.ndarray:
        """The description of a sample, of some kilobytes at most; `pixels` is uint8 RGB [H, W, 3]."""

    def difference(self, before: Sequence[np.ndarray], now: np.ndarray) -> float:
        """How far a sample lies from those before it, in [0, 1].

        Args:
            before: descriptions of the last `context` samples in order; of fewer, never none, at a film's beginning.
            now: the sample's own.
        """


@dataclass(frozen=True)
class Rule:
    """A detector and the difference above which a shot begins."""

    detector: Detector
    threshold: float

    def is_boundary(self, before: Sequence[np.ndarray], now: np.ndarray) -> bool:
        """Whether a shot begins with the sample described by `now`; for `before` see `Detector.difference`."""
        return self.detector.difference(before, now) > self.threshold


def rule_of(name: str = HSV_HISTOGRAM, threshold: float | None = None) -> Rule:
    """The rule by which shots are found; without a threshold by the detector's default.

    Raises:
        KeyError: there is no detector of that name.
    """
    known = DETECTORS[name]
    module = importlib.import_module(f"movie_tags.transforms.shots.{known.module}")
    return Rule(module.DETECTOR, known.threshold if threshold is None else threshold)


@dataclass(frozen=True)
class Compared:
    """A sample, its description and whether a shot begins with it; None where that hangs on samples not seen here."""

    frame: Frame
    description: np.ndarray
    begins: bool | None


def compare(frames: Iterable[Frame], rule: Rule) -> Iterator[Compared]:
    """Compare each of some successive samples with those before it. A film's first sample begins a shot."""
    before: deque[np.ndarray] = deque(maxlen=rule.detector.context)
    pixels, from_start = None, False
    for frame in frames:
        still = frame.pixels is pixels
        description = before[-1] if still else rule.detector.describe(frame.pixels)
        pixels = frame.pixels
        if not before and frame.index == 0:
            from_start, begins = True, True
        elif from_start or len(before) == before.maxlen:
            begins = rule.is_boundary(tuple(before), description)
        else:
            begins = None
        before.append(description)
        yield Compared(frame, description, begins)
