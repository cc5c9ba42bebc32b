"""Low-level numbers of a picture: colours, brightness, saturation, hue and edges; no weights, nothing learned.

What a network trained on objects forgets, films are told by: how dark, how grey, how flat a picture is. TensorFlow is
imported with this module.
"""

from __future__ import annotations

import tensorflow as tf

WIDTH = 120
SIZE = (112, 152)
"""Height and width, in pixels, of the pictures that it was chosen on; both are to be multiples of the grid's."""
ROWS, COLUMNS = 3, 4
"""Of the grid of brightness."""
GREY = 24
"""A pixel whose largest and smallest channel differ by no more has no hue."""
STEPS = (8, 32)
"""Neighbours that differ by more than so much in brightness are an edge, in 0 to 255."""


class LowLevel(tf.Module):
    """Float32 RGB pictures [N, h, w, 3] in 0 to 255 -> WIDTH numbers, float32 [N, 120], none below 0.

    Square roots of a histogram of colours (4 x 4 x 4), of brightness (16), saturation (8) and hue (12), of the mean
    brightness of 3 x 4 cells, and of 8 statistics of edges, contrast and colourfulness.
    """

    def __call__(self, pictures: tf.Tensor) -> tf.Tensor:
        height, width = int(pictures.shape[1]), int(pictures.shape[2])
        pictures = pictures[:, : height // ROWS * ROWS, : width // COLUMNS * COLUMNS]
        brightness = tf.reduce_sum(pictures * tf.constant([0.299, 0.587, 0.114]), -1)
        most = tf.reduce_max(pictures, -1)
        chroma = most - tf.reduce_min(pictures, -1)
        parts = [
            _colours(pictures),
            _histogram(brightness / 256, 16),
            _histogram(chroma / tf.maximum(most, 1.0), 8),
            _hues(pictures, most, chroma),
            _cells(brightness),
            _edges(brightness),
            tf.stack([_deviation(brightness), tf.reduce_mean(chroma, [1, 2]) / 255], 1),
        ]
        return tf.sqrt(tf.maximum(tf.concat(parts, 1), 0.0))


def _one_hot(values: tf.Tensor, bins: int) -> tf.Tensor:
    """Values in 0 to 1, [N, h, w] -> float32 [N, h · w, bins], 1 in the bin of each."""
    pixels = int(values.shape[1]) * int(values.shape[2])
    bin_of = tf.minimum(tf.floor(tf.reshape(values, [-1, pixels, 1]) * bins), bins - 1.0)
    return tf.cast(tf.equal(bin_of, tf.range(bins, dtype=tf.float32)), tf.float32)


def _histogram(values: tf.Tensor, bins: int) -> tf.Tensor:
    return tf.reduce_mean(_one_hot(values, bins), 1)


def _colours(pictures: tf.Tensor) -> tf.Tensor:
    red, green, blue = (_one_hot(pictures[..., channel] / 256, 4) for channel in range(3))
    pixels = int(red.shape[1])
    red_green = tf.reshape(red[..., :, None] * green[..., None, :], [-1, pixels, 16])
    return tf.reshape(tf.matmul(red_green, blue, transpose_a=True), [-1, 64]) / pixels


def _hues(pictures: tf.Tensor, most: tf.Tensor, chroma: tf.Tensor) -> tf.Tensor:
    red, green, blue = pictures[..., 0], pictures[..., 1], pictures[..., 2]
    safe = tf.maximum(chroma, 1.0)
    of_green, of_blue = (blue - red) / safe + 2, (red - green) / safe + 4
    of_red = (green - blue) / safe
    of_red = tf.where(of_red < 0, of_red + 6, of_red)
    hue = tf.where(tf.equal(most, red), of_red, tf.where(tf.equal(most, green), of_green, of_blue))
    pixels = int(pictures.shape[1]) * int(pictures.shape[2])
    coloured = tf.reshape(tf.cast(chroma > GREY, tf.float32), [-1, pixels, 1])
    return tf.reduce_mean(_one_hot(hue / 6, 12) * coloured, 1)


def _cells(brightness: tf.Tensor) -> tf.Tensor:
    height, width = int(brightness.shape[1]) // ROWS, int(brightness.shape[2]) // COLUMNS
    cells = tf.reshape(brightness, [-1, ROWS, height, COLUMNS * width])
    rows = tf.reshape(tf.reduce_mean(cells, 2), [-1, ROWS, COLUMNS, width])
    return tf.reshape(tf.reduce_mean(rows, 3), [-1, ROWS * COLUMNS]) / 255


def _edges(brightness: tf.Tensor) -> tf.Tensor:
    across = tf.abs(brightness[:, :, 1:] - brightness[:, :, :-1])
    down = tf.abs(brightness[:, 1:] - brightness[:, :-1])
    numbers = []
    for change in (across, down):
        numbers.append(tf.reduce_mean(change, [1, 2]) / 255)
        numbers += [tf.reduce_mean(tf.cast(change > step, tf.float32), [1, 2]) for step in STEPS]
    return tf.stack(numbers, 1)


def _deviation(brightness: tf.Tensor) -> tf.Tensor:
    centred = brightness - tf.reduce_mean(brightness, [1, 2], keepdims=True)
    return tf.sqrt(tf.reduce_mean(tf.square(centred), [1, 2])) / 255
