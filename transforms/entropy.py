"""Entropy: key frames -> the key frames that carry information (equation 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import apache_beam as beam
import cv2
import numpy as np
from apache_beam.metrics import Metrics

from movie_tags.records import Video
from movie_tags.transforms.shots.inside import KeyFramePicture


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


class FilterByEntropy(beam.PTransform):
    """(Video, KeyFramePicture) -> KEPT, the same with its entropy, where that is above `min_entropy` bits.

    The collection REJECTED has (Video, 1) for each of the others.
    """

    KEPT, REJECTED = "kept", "rejected"

    def __init__(self, min_entropy: float):
        super().__init__()
        self.min_entropy = min_entropy

    def expand(self, key_frames: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        return key_frames | "Entropy" >> beam.ParDo(_MeasureEntropy(self.min_entropy)).with_outputs(
            self.REJECTED, main=self.KEPT
        )


class _MeasureEntropy(beam.DoFn):
    def __init__(self, min_entropy: float):
        self.min_entropy = min_entropy
        self.kept = Metrics.counter("entropy", "key_frames_kept")
        self.rejected = Metrics.counter("entropy", "key_frames_rejected")

    def process(self, element: tuple[Video, KeyFramePicture]) -> Iterator:
        video, key_frame = element
        bits = entropy(key_frame.pixels)
        if bits > self.min_entropy:
            self.kept.inc()
            yield video, replace(key_frame, frame=replace(key_frame.frame, entropy=bits))
        else:
            self.rejected.inc()
            yield beam.pvalue.TaggedOutput(FilterByEntropy.REJECTED, (video, 1))
