"""A frozen network as part of a TensorFlow module. TensorFlow is imported with this module."""

from __future__ import annotations

import keras
import tensorflow as tf


class FrozenNetwork(tf.Module):
    """A network that is not trained: float32 RGB [N, h, w, 3] in 0 to 255 -> features float32 [N, width]."""

    def __init__(self, network: keras.Model):
        super().__init__()
        network.trainable = False
        self.network = network

    def __call__(self, pictures: tf.Tensor) -> tf.Tensor:
        return self.network(pictures, training=False)
