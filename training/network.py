"""The compact network: a small residual network of plain 3 x 3 convolutions, trained from nothing.

Plain convolutions learn faster from scratch, per second of two CPU cores, than the depthwise ones of mobile networks.
"""

from __future__ import annotations

import keras
from keras import layers

STEM = 32
STAGES = ((64, 1), (128, 2), (256, 3))
HEAD = 640
MAP = "map"
EMBEDDING = "embedding"


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
