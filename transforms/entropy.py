"""Entropy: key frames -> the key frames that carry information (equation 4)."""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
import cv2
import numpy as np
from apache_beam.metrics import Metrics


def entropy(pixels: np.ndarray) -> float:
    """Cumulative Shannon entropy of a picture: equation 4 for each of the Y, Cr and Cb channels, summed.

    Args:
        pixels: uint8 RGB [H, W, 3].

    Returns:
        Bits, 0 (one colour) to 24.
    """
    channels = cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb).reshape(-1, 3)
    total = 0.0
    for channel in channels.T:
        counts = np.bincount(channel, minlength=256)
        share = counts[counts > 0] / channel.size
        total -= float((share * np.log2(share)).sum())
    return total + 0.0  # never -0.0


class FilterByEntropy(beam.DoFn):
    """(video, clock, key frame) -> (video, clock, key frame, entropy) where it is above `min_entropy` bits.

    The output REJECTED has (video id, 1) for each of the others.
    """

    REJECTED = "rejected"

    def __init__(self, min_entropy: float):
        self.min_entropy = min_entropy
        self.kept = Metrics.counter("entropy", "key_frames_kept")
        self.rejected = Metrics.counter("entropy", "key_frames_rejected")

    def process(self, element: tuple) -> Iterator:
        video, clock, key_frame = element
        bits = entropy(key_frame.pixels)
        if bits > self.min_entropy:
            self.kept.inc()
            yield video, clock, key_frame, bits
        else:
            self.rejected.inc()
            yield beam.pvalue.TaggedOutput(self.REJECTED, (video.id, 1))
