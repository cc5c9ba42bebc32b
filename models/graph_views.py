"""The views of `movie_tags.models.views`, cut in a TensorFlow graph, for whoever serves a bundle and gives it pictures.

A crop and its squeezing are two matrices, one for rows and one for columns, so a batch is cut without a loop and on any
device. OpenCV rounds a little otherwise: pixels may differ by 1. TensorFlow is imported with this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from movie_tags.models.views import LIT, LIT_SHARE, MOST_BAR, View, canvas_size


@dataclass(frozen=True)
class Crops:
    """What is cut out of each picture of a batch.

    Attributes:
        top, bottom, left, right: int32 [N]; bottom and right are one past the last.
        mirrored: whether left and right are exchanged.
    """

    top: tf.Tensor
    bottom: tf.Tensor
    left: tf.Tensor
    right: tf.Tensor
    mirrored: bool = False


def whole(images: tf.Tensor) -> Crops:
    """All of uint8 [N, H, W, 3]."""
    count, height, width = tf.unstack(tf.shape(images)[:3])
    nothing = tf.zeros([count], tf.int32)
    return Crops(nothing, nothing + height, nothing, nothing + width)


def without_bars(images: tf.Tensor) -> Crops:
    """All but black bars at the edges of uint8 [N, H, W, 3]."""
    lit = tf.reduce_max(images, 3) > LIT
    top, bottom = _lit_ends(lit, 2)
    left, right = _lit_ends(lit, 1)
    return Crops(top, bottom, left, right)


def middle_mirrored(images: tf.Tensor) -> Crops:
    """The largest square in the middle of uint8 [N, H, W, 3], mirrored."""
    count, height, width = tf.unstack(tf.shape(images)[:3])
    side, nothing = tf.minimum(height, width), tf.zeros([count], tf.int32)
    top, left = (height - side) // 2 + nothing, (width - side) // 2 + nothing
    return Crops(top, top + side, left, left + side, mirrored=True)


CUTS: dict[str, Callable[[tf.Tensor], Crops]] = {
    "whole": whole,
    "without_bars": without_bars,
    "middle_mirrored": middle_mirrored,
}


def _lit_ends(lit: tf.Tensor, across: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The first and one past the last of lit rows or columns; all of them where a bar would be too wide to be one.

    Args:
        lit: bool [N, H, W].
        across: the axis along which a row (2) or a column (1) runs.

    Returns:
        Int32 [N] each.
    """
    share = tf.reduce_mean(tf.cast(lit, tf.float64), across)
    belongs = tf.cast(share >= LIT_SHARE, tf.int32)
    n = tf.shape(belongs)[1]
    most = MOST_BAR * tf.cast(n, tf.float64)
    before = tf.argmax(belongs, 1, tf.int32)
    behind = tf.argmax(belongs[:, ::-1], 1, tf.int32)
    narrow = (tf.cast(before, tf.float64) <= most) & (tf.cast(behind, tf.float64) <= most)
    use = narrow & (tf.reduce_max(belongs, 1) > 0)
    return tf.where(use, before, 0), tf.where(use, n - behind, n)


def resampling(begin: tf.Tensor, end: tf.Tensor, shrinks: tf.Tensor, length: tf.Tensor, out: int) -> tf.Tensor:
    """Weights that make `out` pixels of the pixels from `begin` to `end` of a line of `length`.

    Args:
        begin, end: int32 [N].
        shrinks: bool [N]: average the area of a pixel, as OpenCV's INTER_AREA; otherwise as its INTER_LINEAR.
        length: pixels in the line.
        out: pixels to make.

    Returns:
        float32 [N, out, length].
    """
    first, last = (tf.cast(part, tf.float64)[:, None, None] for part in (begin, end))
    step = (last - first) / out
    at = tf.range(out, dtype=tf.float64)[None, :, None]
    pixel = tf.cast(tf.range(length), tf.float64)[None, None, :]
    low = first + at * step
    area = tf.nn.relu(tf.minimum(low + step, pixel + 1) - tf.maximum(low, pixel)) / step
    centre = tf.clip_by_value(low + step / 2 - 0.5, first, last - 1)
    linear = tf.nn.relu(1 - tf.abs(centre - pixel))
    return tf.cast(tf.where(shrinks[:, None, None], area, linear), tf.float32)


def squeeze(images: tf.Tensor, crops: Crops, size: tuple[int, int]) -> tf.Tensor:
    """Crop and squeeze pictures, as `views.fit` does: uint8 [N, H, W, 3] -> uint8 [N, *size, 3]."""
    height, width = size
    shrinks = (crops.bottom - crops.top >= height) & (crops.right - crops.left >= width)
    shape = tf.shape(images)
    rows = resampling(crops.top, crops.bottom, shrinks, shape[1], height)
    columns = resampling(crops.left, crops.right, shrinks, shape[2], width)
    if crops.mirrored:
        columns = columns[:, ::-1]
    squeezed = tf.einsum("nih,nhwc,njw->nijc", rows, tf.cast(images, tf.float32), columns)
    return tf.cast(tf.clip_by_value(tf.round(squeezed), 0, 255), tf.uint8)


def lay_out(images: tf.Tensor, views: Sequence[View]) -> tf.Tensor:
    """The views of pictures, each picture's on a canvas, as `views.lay_out`: uint8 [N, H, W, 3] -> [N, *canvas, 3]."""
    height, _ = canvas_size(views)
    looks = [squeeze(images, CUTS[view.cut](images), view.size) for view in views]
    padded = [tf.pad(look, [[0, 0], [0, height - look.shape[1]], [0, 0], [0, 0]]) for look in looks]
    return tf.ensure_shape(tf.concat(padded, 2), [None, *canvas_size(views), 3])
