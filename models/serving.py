"""The model of a bundle as TensorFlow saves it: signatures for whoever has pictures, and for the pipeline.

    serving_default  images uint8 RGB [N, H, W, 3] of any size -> probabilities float32 [N, tags]
    describe         the same pictures -> probabilities, and features float32 [N, width]
    canvas           canvas uint8 RGB [N, *input_size, 3], on which the views are laid out already -> both

The first two cut the model's views in the graph. TensorFlow is imported with this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from movie_tags.models import graph_views
from movie_tags.models.bundle import SAVED_MODEL, TFLITE
from movie_tags.models.convert import to_tflite
from movie_tags.models.heads import ROOT4, UNIT, LinearHead
from movie_tags.models.runtimes.saved_model import CANVAS, DESCRIBE, PROBABILITIES, SERVING_DEFAULT
from movie_tags.models.views import View, canvas_size

Describe = Callable[[tf.Tensor], dict[str, tf.Tensor]]
"""Canvases uint8 [N, H, W, 3] -> PROBABILITIES and, of a model that gives them, FEATURES."""


class GraphHead(tf.Module):
    """A head in a graph; see `heads.LinearHead`."""

    def __init__(self, head: LinearHead):
        super().__init__()
        self.kernel, self.bias = (tf.Variable(array, trainable=False) for array in (head.kernel, head.bias))
        self.scales, self.relu = head.scales, head.relu
        self.activation = {"none": tf.identity, "sigmoid": tf.nn.sigmoid, "softmax": tf.nn.softmax}[head.activation]

    def __call__(self, parts: Sequence[tf.Tensor]) -> tf.Tensor:
        """Features, of each backbone float32 [N, w] -> probabilities float32 [N, tags]."""
        features = tf.concat([_scaled(part, scale) for scale in self.scales for part in parts], 1)
        logits = tf.matmul(features, self.kernel) + self.bias
        return self.activation(tf.nn.relu(logits) if self.relu else logits)


def _scaled(features: tf.Tensor, scale: str) -> tf.Tensor:
    if scale == ROOT4:
        return tf.sqrt(tf.sqrt(tf.nn.relu(features)))
    if scale == UNIT:
        return features / tf.maximum(tf.sqrt(tf.reduce_mean(tf.square(features), 1, keepdims=True)), 1e-6)
    return features


class PictureServer(tf.Module):
    """A model with its signatures."""

    def __init__(self, describe: Describe, views: Sequence[View], tracked: Any):
        """
        Args:
            describe: the model.
            views: what lies on its canvas.
            tracked: the modules and variables that it uses.
        """
        super().__init__()
        self.tracked = tracked
        self.size = canvas_size(views)
        images = [tf.TensorSpec([None, None, None, 3], tf.uint8, "images")]
        canvas = [tf.TensorSpec([None, *self.size, 3], tf.uint8, CANVAS)]

        def picture_described(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return describe(graph_views.lay_out(images, views))

        def probabilities(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return {PROBABILITIES: picture_described(images)[PROBABILITIES]}

        self.serve = tf.function(probabilities, images)
        self.describe = tf.function(picture_described, images)
        self.canvas = tf.function(lambda canvas: describe(canvas), canvas)

    def write(self, folder: Path, half: bool = False) -> None:
        """Write SAVED_MODEL and TFLITE into a local folder, the latter with weights of 16 bits if `half`.

        Raises:
            BundleError: the network has operations that LiteRT does not know.
        """
        signatures = {SERVING_DEFAULT: self.serve, DESCRIBE: self.describe, CANVAS: self.canvas}
        tf.saved_model.save(self, str(folder / SAVED_MODEL), signatures=signatures)
        # TensorFlow's own fingerprint differs from one writing to the next of the same weights.
        (folder / SAVED_MODEL / "fingerprint.pb").unlink(missing_ok=True)
        (folder / TFLITE).write_bytes(to_tflite(self.canvas, self.size, half))
