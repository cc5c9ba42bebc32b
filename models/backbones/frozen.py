"""A frozen network as part of a TensorFlow module. TensorFlow is imported with this module."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

Embed = Callable[[tf.Tensor], tf.Tensor]
"""Float32 RGB pictures [N, h, w, 3] in 0 to 255 -> features float32 [N, width]."""


class FrozenNetwork(tf.Module):
    """A network that is not trained: float32 RGB [N, h, w, 3] in 0 to 255 -> features float32 [N, width]."""

    def __init__(self, network: keras.Model, augment: Callable[[Embed, tf.Tensor], tf.Tensor] | None = None):
        """
        Args:
            network: as above.
            augment: calls the network on several crops of the pictures and joins what it says; None: on the pictures.
        """
        super().__init__()
        network.trainable = False
        self.network = network
        self.augment = augment

    def __call__(self, pictures: tf.Tensor) -> tf.Tensor:
        return self.augment(self._embed, pictures) if self.augment else self._embed(pictures)

    def _embed(self, pictures: tf.Tensor) -> tf.Tensor:
        return self.network(pictures, training=False)
