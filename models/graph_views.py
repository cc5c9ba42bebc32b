"""The views of `movie_tags.models.views`, cut in a TensorFlow graph, for whoever serves a bundle and gives it pictures.

A batch is cut without a loop and on any device: areas are averaged by two matrices, and where a picture grows OpenCV's
whole-number arithmetic is followed, since heads are sensitive to its rounding. A pixel in a thousand differs by 1.
TensorFlow is imported with this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

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


def middle(images: tf.Tensor) -> Crops:
    """The largest square in the middle of uint8 [N, H, W, 3]."""
    count, height, width = tf.unstack(tf.shape(images)[:3])
    side, nothing = tf.minimum(height, width), tf.zeros([count], tf.int32)
    top, left = (height - side) // 2 + nothing, (width - side) // 2 + nothing
    return Crops(top, top + side, left, left + side)


def middle_mirrored(images: tf.Tensor) -> Crops:
    """The largest square in the middle of uint8 [N, H, W, 3], mirrored."""
    return replace(middle(images), mirrored=True)


CUTS: dict[str, Callable[[tf.Tensor], Crops]] = {
    "whole": whole,
    "without_bars": without_bars,
    "middle": middle,
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


def squeeze(images: tf.Tensor, crops: Crops, size: tuple[int, int]) -> tf.Tensor:
    """Crop and squeeze pictures, as `views.fit` does: uint8 [N, H, W, 3] -> uint8 [N, *size, 3]."""
    height, width = size
    shrinks = (crops.bottom - crops.top >= height) & (crops.right - crops.left >= width)
    pictures = tf.cast(images, tf.float32)
    smaller, larger = _average(pictures, crops, size), _interpolate(pictures, crops, size)
    squeezed = tf.where(shrinks[:, None, None, None], smaller, larger)
    return tf.cast(tf.clip_by_value(squeezed[:, :, ::-1] if crops.mirrored else squeezed, 0, 255), tf.uint8)


def _average(pictures: tf.Tensor, crops: Crops, size: tuple[int, int]) -> tf.Tensor:
    """OpenCV's INTER_AREA where a picture shrinks: float32 [N, H, W, 3] -> whole numbers float32 [N, *size, 3]."""
    rows = _areas(crops.top, crops.bottom, tf.shape(pictures)[1], size[0])
    columns = _areas(crops.left, crops.right, tf.shape(pictures)[2], size[1])
    found = tf.einsum("nih,nhwc,njw->nijc", rows, pictures, columns)
    # Of four pixels it rounds halves up, of others to the nearest even number.
    four = (crops.bottom - crops.top == 2 * size[0]) & (crops.right - crops.left == 2 * size[1])
    return tf.where(four[:, None, None, None], tf.floor(found + 0.5), tf.round(found))


def _areas(begin: tf.Tensor, end: tf.Tensor, length: tf.Tensor, out: int) -> tf.Tensor:
    """Shares of the pixels of a line in each of `out` equal parts of it from `begin` to `end`, int32 [N].

    Returns:
        float32 [N, out, length].
    """
    first, last = (tf.cast(part, tf.float64)[:, None, None] for part in (begin, end))
    step = (last - first) / out
    low = first + tf.range(out, dtype=tf.float64)[None, :, None] * step
    pixel = tf.cast(tf.range(length), tf.float64)[None, None, :]
    return tf.cast(tf.nn.relu(tf.minimum(low + step, pixel + 1) - tf.maximum(low, pixel)) / step, tf.float32)


def _interpolate(pictures: tf.Tensor, crops: Crops, size: tuple[int, int]) -> tf.Tensor:
    """OpenCV's INTER_LINEAR of 8 bits, whose whole-number arithmetic rounds down: as `_average`.

    Weights are whole 2048ths. A column is weighed first, and four bits of it are dropped; of each of its two rows 16
    more; their sum is in quarters.
    """
    left, right, near, far = _neighbours(crops.left, crops.right, size[1])
    whole = tf.cast(pictures, tf.int32)
    columns = [tf.gather(whole, place, axis=2, batch_dims=1) for place in (left, right)]
    across = (columns[0] * near[:, None, :, None] + columns[1] * far[:, None, :, None]) // 16
    top, bottom, near, far = _neighbours(crops.top, crops.bottom, size[0])
    rows = [tf.gather(across, place, axis=1, batch_dims=1) for place in (top, bottom)]
    weighed = [row * weight[:, :, None, None] // 65536 for row, weight in zip(rows, (near, far), strict=True)]
    return tf.cast((weighed[0] + weighed[1] + 2) // 4, tf.float32)


def _neighbours(begin: tf.Tensor, end: tf.Tensor, out: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """The two pixels between which each of `out` pixels of a line from `begin` to `end` lies, and their 2048ths.

    Returns:
        Int32 [N, out] each.
    """
    count = tf.cast(end - begin, tf.float64)[:, None]
    at = (tf.range(out, dtype=tf.float64)[None, :] + 0.5) * (count / out) - 0.5
    at = tf.clip_by_value(at, 0, count - 1)
    below = tf.floor(at)
    far = tf.round((at - below) * 2048)
    place = tf.cast(below, tf.int32) + begin[:, None]
    far = tf.cast(far, tf.int32)
    return place, tf.minimum(place + 1, end[:, None] - 1), 2048 - far, far


def lay_out(images: tf.Tensor, views: Sequence[View]) -> tf.Tensor:
    """The views of pictures, each picture's on a canvas, as `views.lay_out`: uint8 [N, H, W, 3] -> [N, *canvas, 3]."""
    height, _ = canvas_size(views)
    looks = [squeeze(images, CUTS[view.cut](images), view.size) for view in views]
    padded = [tf.pad(look, [[0, 0], [0, height - look.shape[1]], [0, 0], [0, 0]]) for look in looks]
    return tf.ensure_shape(tf.concat(padded, 2), [None, *canvas_size(views), 3])
