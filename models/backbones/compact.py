"""The compact network: a small residual network of plain 3 x 3 convolutions, trained from nothing.

Plain convolutions learn faster from scratch, per second of two CPU cores, than the depthwise ones of mobile networks.
Keras is imported with this module; nothing that only tags imports it.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from movie_tags.models.backbones.compact_weights import read_body
from movie_tags.models.backbones.frozen import FrozenNetwork

STEM = 32
STAGES = ((64, 1), (128, 2), (256, 3))
HEAD = 640
MAP = "map"
EMBEDDING = "embedding"
MIDDLE = (0.12, 0.88)
"""What of each side is seen in the second look."""


def build_network(
    tags: int, stages: tuple[tuple[int, int], ...] = STAGES, head: int = HEAD, dropout: float = 0.1
) -> keras.Model:
    """Float pictures [N, H, W, 3] in 0 to 255 -> logits [N, tags].

    The layer MAP gives the features of each place [N, H / 16, W / 16, channels], EMBEDDING the pooled ones [N, head].

    Args:
        tags: how many tags it tells apart.
        stages: (channels, residual blocks) of each halving of the resolution after the stem's.
        head: channels of the embedding.
        dropout: share of the embedding that is dropped in training.
    """
    pictures = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 64, offset=-2)(pictures)
    x = _unit(x, STEM, strides=2)
    for width, blocks in stages:
        for block in range(blocks):
            x = _block(x, width, strides=1 if block else 2)
    x = layers.Identity(name=MAP)(x)
    x = _unit(x, head, kernel=1)
    x = layers.GlobalAveragePooling2D(name=EMBEDDING)(x)
    x = layers.Dropout(dropout)(x)
    return keras.Model(pictures, layers.Dense(tags, name="logits", dtype="float32")(x))


def _unit(x, width: int, strides: int = 1, kernel: int = 3, active: bool = True):
    x = layers.Conv2D(width, kernel, strides, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    x = layers.BatchNormalization(momentum=0.98)(x)
    return layers.ReLU()(x) if active else x


def _block(x, width: int, strides: int = 1):
    shortcut = x
    if strides > 1:
        shortcut = _unit(layers.AveragePooling2D(strides, padding="same")(x), width, kernel=1, active=False)
    x = _unit(_unit(x, width, strides), width, active=False)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def look_twice(embed: Callable[[tf.Tensor], tf.Tensor], pictures: tf.Tensor) -> tf.Tensor:
    """The mean of a network's embeddings of pictures and of their middles, mirrored.

    A picture is looked at twice, which is worth a point or two of accuracy. Trained on crops, the network is shown the
    whole picture at 8/7 of the size it was trained at, where things are as large as it knows them, and the middle at
    that size.

    Args:
        embed: float32 [N, h, w, 3] -> float32 [N, width].
        pictures: float32 RGB [N, size, size, 3] in 0 to 255, size known.

    Returns:
        float32 [N, width].
    """
    size = pictures.shape[1]
    # Two matrices do what crop_and_resize does, which LiteRT does not know.
    matrix = tf.constant(_middle_matrix(size, round(size * 7 / 8)))
    middle = tf.einsum("ih,nhwc,jw->nijc", matrix, pictures, matrix[::-1])
    return (embed(pictures) + embed(middle)) / 2


def _middle_matrix(size: int, out: int) -> np.ndarray:
    """Bilinear interpolation of the MIDDLE of a line of pixels: float32 [out, size]."""
    first, last = (share * (size - 1) for share in MIDDLE)
    at = np.linspace(first, last, out)
    below = np.floor(at).astype(int)
    matrix = np.zeros((out, size), np.float32)
    matrix[np.arange(out), below] = 1 - (at - below)
    matrix[np.arange(out), np.minimum(below + 1, size - 1)] += at - below
    return matrix


def embedding_of(network: keras.Model) -> keras.Model:
    """The part of a network that `build_network` made which gives the embedding."""
    return keras.Model(network.input, network.get_layer(EMBEDDING).output)


def load() -> FrozenNetwork:
    """The compact network with the weights that ship, without a head, as it is used (`look_twice`)."""
    network = embedding_of(build_network(1))
    network.set_weights(read_body())
    return FrozenNetwork(network, look_twice)
