"""Pictures: decoded frames as a player shows them, in RGB of bounded size: every later step sees these.

An ordinary frame is converted and shrunk, nothing else. What is odd about a frame is mended one by one: fields of two
instants, pixels that are not square, a display matrix, a high dynamic range, a matrix of colours that is not stated.
"""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import Colorspace

from movie_tags.transforms.video.colour import is_high_range, to_standard_range
from movie_tags.transforms.video.errors import VideoError
from movie_tags.transforms.video.fields import is_combed, one_field
from movie_tags.transforms.video.reader import MAX_PIXELS

ANALYSIS_SHORT_SIDE = 360
"""Sampled frames are shrunk to this short side, in pixels, by area averaging: every later step sees that picture."""

WIDEST_PIXEL = 4
"""A sample aspect ratio beyond 4:1 or 1:4 is damage, not a format."""

NEARLY_SQUARE = 0.02
"""An aspect this near to 1 comes of rounding a picture's size, and is not worth a stretch."""

HD_WIDTH, HD_LINES = 1280, 577
"""From either on, colours of an unstated matrix are BT.709's, below BT.601's: as mpv and VLC guess."""

COLOURS_UNSTATED = 2
"""AVCOL_SPC_UNSPECIFIED."""


def to_rgb(frame: av.VideoFrame, pixel_aspect: Fraction | None = None) -> np.ndarray:
    """A decoded frame as uint8 RGB [H, W, 3]: upright, of square pixels, short side at most ANALYSIS_SHORT_SIDE.

    Args:
        frame: of any format and dynamic range.
        pixel_aspect: width of a pixel by its height, as coded; None for square ones.

    Raises:
        VideoError: the frame is larger than MAX_PIXELS.
    """
    if frame.width * frame.height > MAX_PIXELS:
        raise VideoError(f"its frames of {frame.width} x {frame.height} pixels are larger than can be decoded safely")
    if frame.interlaced_frame and is_combed(frame):
        frame = one_field(frame)
    size = shown_size(frame.width, frame.height, pixel_aspect)
    if is_high_range(frame):
        pixels = to_standard_range(frame, resized(frame.to_ndarray(format="rgb48le", threads=1), size))
    else:
        matrix = Colorspace.ITU709 if is_untagged_hd(frame) else None
        pixels = resized(frame.to_ndarray(format="rgb24", src_colorspace=matrix, threads=1), size)
    return upright(frame, pixels)


def shown_size(width: int, height: int, pixel_aspect: Fraction | None) -> tuple[int, int]:
    """Width and height of the picture of a frame, before it is turned upright."""
    aspect = float(pixel_aspect or 1)
    if not 1 / WIDEST_PIXEL <= aspect <= WIDEST_PIXEL or abs(aspect - 1) < NEARLY_SQUARE:
        aspect = 1.0
    wide = width * aspect
    scale = min(1.0, ANALYSIS_SHORT_SIDE / min(wide, height))
    return max(1, round(wide * scale)), max(1, round(height * scale))


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels [H, W, 3] brought to a width and height: shrunk by area averaging, stretched linearly."""
    height, width = pixels.shape[:2]
    least = min(width, size[0]), min(height, size[1])
    if least != (width, height):  # OpenCV averages areas at half the price of FFmpeg's scaler
        pixels = cv2.resize(pixels, least, interpolation=cv2.INTER_AREA)
    return pixels if least == size else cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)


def is_untagged_hd(frame: av.VideoFrame) -> bool:
    """Whether a frame of YUV is as large as HD and does not say by what matrix; FFmpeg would take that of BT.601."""
    large = frame.width >= HD_WIDTH or frame.height >= HD_LINES
    return large and frame.colorspace == COLOURS_UNSTATED and not frame.format.is_rgb


def upright(frame: av.VideoFrame, pixels: np.ndarray) -> np.ndarray:
    """A frame's pixels turned and mirrored as its display matrix says, to the nearest quarter turn.

    The matrix (libavutil/display.h) takes a point (p, q) to (a p + c q, b p + d q), with rows downwards.
    """
    matrix = next((data for data in frame.side_data if data.type == SideDataType.DISPLAYMATRIX), None)
    if matrix is None:
        return pixels
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(float)
    if abs(a) + abs(d) < abs(b) + abs(c):
        pixels, across, down = pixels.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    return np.ascontiguousarray(pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


def use_one_thread() -> None:
    """Keep OpenCV from starting threads of its own: the worker processes are what fills the cores."""
    cv2.setNumThreads(1)
