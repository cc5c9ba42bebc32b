"""The compact network: a small residual net of plain 3 x 3 convolutions, written in Keras 3 for any backend.

Plain convolutions rather than depthwise ones: on the processors it is trained on they give more arithmetic a second,
so more of a picture is learned in an hour (measured: a MobileNetV3-Small with half the weights trains no faster).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

NAME = "residual network, 17 3x3 convolutions"
WIDTHS = (32, 64, 128, 256)
BLOCKS = (1, 2, 2, 2)
STEM = 24
BOTTLENECK = 320
FEATURES = 1280
STRIDE = 32


def build_network(
    tags: int,
    widths: Sequence[int] = WIDTHS,
    blocks: Sequence[int] = BLOCKS,
    bottleneck: int = BOTTLENECK,
    features: int = FEATURES,
    dropout: float = 0.2,
    dtype: str = "float32",
) -> keras.Model:
    """The network with fresh weights.

    Args:
        tags: number of outputs.
        widths: channels of each stage; each stage halves the resolution.
        blocks: residual blocks of each stage.
        bottleneck: channels of the last map, before the pooled features.
        features: length of the pooled features.
        dropout: share of the pooled features dropped in training.
        dtype: a Keras dtype policy, such as "mixed_bfloat16".

    Returns:
        A model from float32 [N, H, W, 3] in [-1, 1], any H and W, to a dictionary of float32: `middle`
        [N, H/16, W/16, widths[-2]], `last` [N, H/32, W/32, bottleneck] (with four stages), `pooled` [N, features] and
        `logits` [N, tags].
    """

    def convolve(x, channels, stride=1, size=3, activation=True):
        x = layers.Conv2D(channels, size, stride, padding="same", use_bias=False, dtype=dtype)(x)
        x = layers.BatchNormalization(momentum=0.98, dtype=dtype)(x)
        return layers.ReLU(dtype=dtype)(x) if activation else x

    images = keras.Input((None, None, 3), name="images")
    x = convolve(images, STEM, 2)
    maps = []
    for channels, count in zip(widths, blocks, strict=True):
        x = convolve(x, channels, 2)
        for _ in range(count):
            y = convolve(convolve(x, channels), channels, activation=False)
            x = layers.ReLU(dtype=dtype)(layers.Add(dtype=dtype)([x, y]))
        maps.append(x)
    last = convolve(x, bottleneck, size=1, activation=False)
    pooled = layers.GlobalAveragePooling2D(dtype="float32")(convolve(last, features, size=1))
    logits = layers.Dense(tags, dtype="float32")(layers.Dropout(dropout)(pooled))
    return keras.Model(
        images,
        {
            "middle": layers.Activation("linear", dtype="float32")(maps[-2]),
            "last": layers.Activation("linear", dtype="float32")(last),
            "pooled": pooled,
            "logits": logits,
        },
        name="compact",
    )
