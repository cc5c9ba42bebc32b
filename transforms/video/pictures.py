"""Pictures: decoded frames as every later step sees them, upright RGB of bounded size."""

from __future__ import annotations

import av
import cv2
import numpy as np

from movie_tags.transforms.video.reader import MAX_PIXELS, VideoError

ANALYSIS_SHORT_SIDE = 360
"""Sampled frames are shrunk to this short side, in pixels, by area averaging: every later step sees that picture."""


def to_rgb(frame: av.VideoFrame) -> np.ndarray:
    """A decoded frame as uint8 RGB [H, W, 3]: upright, short side at most ANALYSIS_SHORT_SIDE, by area averaging.

    Raises:
        VideoError: the frame is larger than MAX_PIXELS.
    """
    width, height = frame.width, frame.height
    if width * height > MAX_PIXELS:
        raise VideoError(f"its frames of {width} x {height} pixels are larger than can be decoded safely")
    scale = min(1.0, ANALYSIS_SHORT_SIDE / min(width, height))
    pixels = frame.to_ndarray(format="rgb24")
    if scale < 1:  # OpenCV averages areas at half the price of FFmpeg's scaler
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns)) if quarter_turns else pixels


def use_one_thread() -> None:
    """Keep OpenCV from starting threads of its own: the worker processes are what fills the cores."""
    cv2.setNumThreads(1)
