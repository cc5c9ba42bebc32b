"""Writes a model bundle (see `movie_tags.transforms.bundle`) from a network that gives logits."""

from __future__ import annotations

import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from shutil import copytree, rmtree

import keras
import numpy as np
import tensorflow as tf

from movie_tags.transforms.bundle import MODEL_JSON, SAVED_MODEL, VOCABULARY, fingerprint


class _Server(tf.Module):
    def __init__(self, network: keras.Model, size: int, temperature: float):
        super().__init__()
        self.network = network
        self.size = size
        self.temperature = temperature

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "images")])
    def serve(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        floats = tf.cast(images, tf.float32)
        fits = tf.reduce_all(tf.equal(tf.shape(images)[1:3], self.size))
        floats = tf.cond(fits, lambda: floats, lambda: tf.image.resize(floats, [self.size] * 2, antialias=True))
        logits = self.network(tf.ensure_shape(floats, [None, self.size, self.size, 3]), training=False)
        return {"probabilities": tf.nn.softmax(logits / self.temperature)}


def write_bundle(
    folder: Path, network: keras.Model, vocabulary: tuple[str, ...], size: int, temperature: float, card: dict
) -> None:
    """Write a bundle, in place of whatever bundle stood there.

    Args:
        folder: where; its parts are replaced only when all of them are written.
        network: float pictures [N, size, size, 3] in 0 to 255 -> logits [N, tags].
        vocabulary: the tags in the order of the logits.
        size: side of the network's input, in pixels.
        temperature: what the logits are divided by before the softmax, so that probabilities are calibrated.
        card: what `model.json` is to say besides sizes, versions and the fingerprint.
    """
    server = _Server(network, size, temperature)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch)
        tf.saved_model.save(server, str(made / SAVED_MODEL), signatures={"serving_default": server.serve})
        # TensorFlow's own fingerprint differs from one writing to the next of the same weights.
        (made / SAVED_MODEL / "fingerprint.pb").unlink(missing_ok=True)
        (made / VOCABULARY).write_text("".join(f"{tag}\n" for tag in vocabulary), "utf-8")
        card = {
            "input_size": [size, size],
            "parameters": int(sum(np.prod(weight.shape) for weight in network.weights)),
            **card,
            "versions": {name: version(name) for name in ("tensorflow", "keras", "numpy")},
            "fingerprint": fingerprint(str(made)),
        }
        (made / MODEL_JSON).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", "utf-8")
        rmtree(folder / SAVED_MODEL, ignore_errors=True)
        copytree(made, folder, dirs_exist_ok=True)
        folder.chmod(0o755)  # a scratch folder is its owner's alone
