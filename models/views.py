"""What of a picture a model looks at: views, cut from it, squeezed, and laid side by side on one canvas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

LIT, LIT_SHARE, MOST_BAR = 20, 0.02, 0.3
"""A row or column belongs to the picture if this share of its pixels has a channel above LIT; a bar takes at most
MOST_BAR of a side."""


@dataclass(frozen=True)
class View:
    """One look at a picture.

    Attributes:
        cut: a name of CUTS.
        size: height and width in pixels to which what is cut is squeezed.
    """

    cut: str
    size: tuple[int, int]


def read_picture(path: str) -> np.ndarray | None:
    """The picture in a local file, uint8 RGB [H, W, 3]; None where there is none that can be read."""
    pixels = cv2.imread(path, cv2.IMREAD_COLOR)
    return None if pixels is None else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def fit(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Squeeze a picture to a size: uint8 RGB [H, W, 3] -> [*size, 3]; area averaging where it shrinks."""
    height, width = size
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = pixels.shape[0] >= height and pixels.shape[1] >= width
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def whole(pixels: np.ndarray) -> np.ndarray:
    """A picture as it is."""
    return pixels


def without_bars(pixels: np.ndarray) -> np.ndarray:
    """A picture without black bars at its edges: uint8 RGB [H, W, 3] -> what is left of it."""
    height, width = pixels.shape[:2]
    red, green, blue = cv2.split(pixels)
    lit = cv2.threshold(cv2.max(cv2.max(red, green), blue), LIT, 1, cv2.THRESH_BINARY)[1]
    in_rows, in_columns = (cv2.reduce(lit, side, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel() for side in (1, 0))
    top, bottom = _lit_ends(in_rows / width >= LIT_SHARE)
    left, right = _lit_ends(in_columns / height >= LIT_SHARE)
    return pixels[top:bottom, left:right]


def _lit_ends(lit: np.ndarray) -> tuple[int, int]:
    """The first and one past the last of lit lines, bool [n]; all of them where a bar would be too wide to be one."""
    n = len(lit)
    begin, end = int(lit.argmax()), n - int(lit[::-1].argmax())
    return (begin, end) if lit.any() and begin <= MOST_BAR * n and n - end <= MOST_BAR * n else (0, n)


def middle(pixels: np.ndarray) -> np.ndarray:
    """The largest square in the middle: uint8 RGB [H, W, 3] -> [S, S, 3], S the shorter side."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def middle_mirrored(pixels: np.ndarray) -> np.ndarray:
    """The largest square in the middle, mirrored: as `middle`."""
    return cv2.flip(middle(pixels), 1)


CUTS = {"whole": whole, "without_bars": without_bars, "middle": middle, "middle_mirrored": middle_mirrored}


def canvas_size(views: Sequence[View]) -> tuple[int, int]:
    """Height and width, in pixels, of the canvas on which views lie side by side."""
    return max(view.size[0] for view in views), sum(view.size[1] for view in views)


def lay_out(pixels: np.ndarray, views: Sequence[View]) -> np.ndarray:
    """A picture's views on one canvas, from the left to the right, at the top; black where there is none.

    Args:
        pixels: uint8 RGB [H, W, 3].
        views: one or more.

    Returns:
        uint8 RGB [*canvas_size(views), 3].
    """
    looks = [fit(CUTS[view.cut](pixels), view.size) for view in views]
    if len(looks) == 1:
        return looks[0]
    canvas = np.zeros((*canvas_size(views), 3), np.uint8)
    left = 0
    for look in looks:
        height, width = look.shape[:2]
        canvas[:height, left : left + width] = look
        left += width
    return canvas
