"""Writes a model bundle (see `movie_tags.models.bundle`)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from movie_tags import storage
from movie_tags.models.backbones.backbones import FEATURES
from movie_tags.models.bundle import SAVED_MODEL, TFLITE, VOCABULARY, write_card
from movie_tags.models.convert import to_tflite

Compute = Callable[[tf.Tensor], tf.Tensor]


class _Server(tf.Module):
    """Pictures uint8 [N, H, W, 3] of any size -> probabilities; and -> features, where the model gives them."""

    def __init__(
        self, size: int, logits: Compute, temperature: float, features: Compute | None, tracked: Any, answer: Compute
    ):
        super().__init__()
        self.size = size
        self.tracked = tracked
        signature = [tf.TensorSpec([None, None, None, 3], tf.uint8, "images")]
        self.serve = tf.function(
            lambda images: {"probabilities": answer(logits(self._sized(images)) / temperature)}, signature
        )
        if features:  # whatever function a module has is saved with it
            self.features = tf.function(lambda images: {FEATURES: features(self._sized(images))}, signature)

    def _sized(self, images: tf.Tensor) -> tf.Tensor:
        floats = tf.cast(images, tf.float32)
        fits = tf.reduce_all(tf.equal(tf.shape(images)[1:3], self.size))
        floats = tf.cond(fits, lambda: floats, lambda: tf.image.resize(floats, [self.size] * 2, antialias=True))
        return tf.ensure_shape(floats, [None, self.size, self.size, 3])


class HalfStored(tf.Module):
    """A network whose weights are kept as float16, at half the size, and calculated with as float32."""

    def __init__(self, network: keras.Model):
        super().__init__()
        self.network = tf.autograph.experimental.do_not_convert(network.stateless_call)
        self.trainable = [_halved(weight) for weight in network.trainable_variables]
        self.others = [_halved(weight) for weight in network.non_trainable_variables]

    def __call__(self, pictures: tf.Tensor) -> Any:
        weights = ([tf.cast(weight, tf.float32) for weight in part] for part in (self.trainable, self.others))
        return self.network(*weights, pictures, training=False)[0]


def _halved(weight: keras.Variable) -> tf.Variable:
    values = np.asarray(weight)
    # Few numbers are saved by the small ones, and the scales of normalisation may be out of float16's range.
    return tf.Variable(values.astype(np.float16) if values.ndim > 1 else values, trainable=False)


def write_bundle(
    folder: str | Path,
    logits: Compute,
    tracked: Any,
    vocabulary: tuple[str, ...],
    size: int,
    temperature: float,
    card: dict,
    features: Compute | None = None,
    answer: Compute = tf.nn.softmax,
) -> None:
    """Write a bundle with a model for LiteRT and one for TensorFlow, in place of whatever bundle stood there.

    Args:
        folder: where, local or remote.
        logits: float32 pictures [N, size, size, 3] in 0 to 255 -> logits [N, tags].
        tracked: the modules and variables that `logits` and `features` use.
        vocabulary: the tags in the order of the logits.
        size: side of the network's input, in pixels.
        temperature: what the logits are divided by before `answer`, so that probabilities are calibrated.
        card: what `model.json` is to say besides sizes, versions and the fingerprint.
        features: as `logits`, but gives features [N, width]; for a network that others may learn on.
        answer: logits [N, tags] -> probabilities.

    Raises:
        BundleError: the network has operations that LiteRT does not know.
    """
    server = _Server(size, logits, temperature, features, tracked, answer)
    signatures = {"serving_default": server.serve}
    if features:
        signatures[FEATURES] = server.features
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch)
        tf.saved_model.save(server, str(made / SAVED_MODEL), signatures=signatures)
        (made / TFLITE).write_bytes(to_tflite(server.serve, (size, size)))
        # TensorFlow's own fingerprint differs from one writing to the next of the same weights.
        (made / SAVED_MODEL / "fingerprint.pb").unlink(missing_ok=True)
        (made / VOCABULARY).write_text("".join(f"{tag}\n" for tag in vocabulary), "utf-8")
        card = {
            "input_size": [size, size],
            **card,
            "versions": {name: version(name) for name in ("tensorflow", "keras", "numpy")},
        }
        write_card(str(made), card)
        storage.remove_folder(storage.join(str(folder), SAVED_MODEL))
        storage.send(made, str(folder))
