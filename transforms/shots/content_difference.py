"""Content difference: mean absolute HSV difference place by place, as in PySceneDetect's ContentDetector.

That detector (scenedetect/detectors/content_detector.py) averages, with equal weights by default, the mean absolute
differences of hue (0 to 179), saturation and value (0 to 255) of neighbouring frames scaled down, and cuts above 27.
Here the pictures are SIZE whatever their own shape, and the average is divided by 255. Samples a second apart differ
more than neighbouring frames do, so the default threshold is higher than theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

SIZE = (64, 36)
"""Width and height, in pixels, of the pictures compared: small enough to travel between segments."""


@dataclass(frozen=True)
class Content:
    """Samples differ by how much their hue, saturation and value change in each place, on average.

    Unlike a histogram it tells shots of the same colours apart, and takes fast motion for a boundary sooner.
    """

    context: ClassVar[int] = 1

    def describe(self, pixels: np.ndarray) -> np.ndarray:
        """A frame, uint8 RGB [H, W, 3], as a small picture, uint8 HSV [36, 64, 3]."""
        return cv2.cvtColor(cv2.resize(pixels, SIZE, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2HSV)

    def difference(self, before: Sequence[np.ndarray], now: np.ndarray) -> float:
        """Mean absolute difference over all places and the three channels, in [0, 1]."""
        return float(np.abs(before[-1].astype(np.int16) - now.astype(np.int16)).mean() / 255)


DETECTOR = Content()
