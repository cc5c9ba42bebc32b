"""HSV histogram difference, the paper's own shot detector (section 4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

BINS = (12, 3, 3)
"""Bins of hue, saturation and value. Set by benchmarks/shots.py, as is the distance."""


@dataclass(frozen=True)
class HsvHistogram:
    """Samples differ by the share of their pixels that changed their bin of hue, saturation and value."""

    context: ClassVar[int] = 1

    def describe(self, pixels: np.ndarray) -> np.ndarray:
        """Joint HSV histogram of a frame.

        Args:
            pixels: uint8 RGB [H, W, 3].

        Returns:
            float32 [bins], summing to 1.
        """
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
        counts = cv2.calcHist([hsv], [0, 1, 2], None, list(BINS), [0, 180, 0, 256, 0, 256])
        return (counts / counts.sum()).ravel().astype(np.float32)

    def difference(self, before: Sequence[np.ndarray], now: np.ndarray) -> float:
        """Half the L1 distance of the histograms, the share of pixels that changed bin; in [0, 1]."""
        return min(1.0, float(np.abs(before[-1].astype(np.float64) - now.astype(np.float64)).sum() / 2))


DETECTOR = HsvHistogram()
