"""Puts a bundle together from its sources. TensorFlow is imported with this module, which has a process to itself.

python -m movie_tags.models.joining SOURCES FOLDER
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from movie_tags.errors import UserError
from movie_tags.models.backbones import efficientnet_lite
from movie_tags.models.backbones.compact import load_embedding, look_twice
from movie_tags.models.bundle import SAVED_MODEL, TFLITE, VOCABULARY, write_card
from movie_tags.models.convert import to_tflite
from movie_tags.models.sources import COMPACT, FEATURES, MEAN, ROOT4, UNIT, Source, read_source

CARD = "CARD.md"


class Joined(tf.Module):
    """Canvases uint8 [N, H, W, 3] -> probabilities float32 [N, tags]; and -> features float32 [N, width]."""

    def __init__(self, source: Source):
        """
        Raises:
            UserError: a backbone's weights are not there.
        """
        super().__init__()
        self.kernel, self.bias = (tf.Variable(array, trainable=False) for array in (source.kernel, source.bias))
        self.backbones = {name: backbone_of(name) for name in dict.fromkeys(look.backbone for look in source.looks)}
        self.looks = source.looks
        self.mean, self.scales = source.combine == MEAN, source.scales
        self.answer = {"sigmoid": tf.nn.sigmoid, "softmax": tf.nn.softmax}[source.answer]
        signature = [tf.TensorSpec([None, *source.card["input_size"], 3], tf.uint8, "images")]
        self.serve = tf.function(lambda images: {"probabilities": self._probabilities(images)}, signature)
        self.features = tf.function(lambda images: {FEATURES: self._features(images)}, signature)

    def _parts(self, images: tf.Tensor) -> list[tf.Tensor]:
        found, left = [], 0
        for look in self.looks:
            height, width = look.view.size
            pictures = tf.cast(images[:, :height, left : left + width], tf.float32)
            found.append(self.backbones[look.backbone](pictures))
            left += width
        return [tf.add_n(found) / len(found)] if self.mean else found

    def _features(self, images: tf.Tensor) -> tf.Tensor:
        return tf.concat(self._parts(images), 1)

    def _probabilities(self, images: tf.Tensor) -> tf.Tensor:
        return self.answer(tf.matmul(as_taken(self._parts(images), self.scales), self.kernel) + self.bias)


def as_taken(parts: Sequence[tf.Tensor | np.ndarray], scales: Sequence[str]) -> tf.Tensor:
    """Features as a head takes them: of each backbone float32 [N, w] -> float32 [N, width]; see `sources.PLAIN`."""
    return tf.concat([_scaled(tf.convert_to_tensor(part), scale) for scale in scales for part in parts], 1)


def _scaled(features: tf.Tensor, scale: str) -> tf.Tensor:
    if scale == ROOT4:
        return tf.sqrt(tf.sqrt(tf.nn.relu(features)))
    if scale == UNIT:
        return features / tf.maximum(tf.sqrt(tf.reduce_mean(tf.square(features), 1, keepdims=True)), 1e-6)
    return features


class Backbone(tf.Module):
    """A frozen network: float32 RGB [N, h, w, 3] in 0 to 255 -> features float32 [N, width]."""

    def __init__(self, network: keras.Model, twice: bool = False):
        """Args: the network; whether it looks at a picture and its middle (`look_twice`)."""
        super().__init__()
        self.network = network
        self.twice = twice

    def __call__(self, pictures: tf.Tensor) -> tf.Tensor:
        return look_twice(self._embed, pictures) if self.twice else self._embed(pictures)

    def _embed(self, pictures: tf.Tensor) -> tf.Tensor:
        return self.network(pictures, training=False)


def backbone_of(name: str) -> Backbone:
    """A backbone by its name in sources.

    Raises:
        UserError: its weights are not there.
    """
    return Backbone(load_embedding(), twice=True) if name == COMPACT else Backbone(efficientnet_lite.load(name))


def join(source: Source, folder: Path) -> None:
    """Write the bundle that a head and its backbones make into a new folder.

    Raises:
        UserError: a backbone's weights are not there.
    """
    joined = Joined(source)
    signatures = {"serving_default": joined.serve, FEATURES: joined.features}
    tf.saved_model.save(joined, str(folder / SAVED_MODEL), signatures=signatures)
    # TensorFlow's own fingerprint differs from one writing to the next of the same weights.
    (folder / SAVED_MODEL / "fingerprint.pb").unlink(missing_ok=True)
    (folder / TFLITE).write_bytes(to_tflite(joined.serve, tuple(source.card["input_size"])))
    (folder / VOCABULARY).write_text("".join(f"{tag}\n" for tag in source.vocabulary), "utf-8")
    versions = {name: version(name) for name in ("tensorflow", "keras", "numpy")}
    write_card(str(folder), {**source.card, "versions": versions})


def main(sources: str, folder: str) -> int:
    """Put a bundle together; returns the exit status."""
    try:
        join(read_source(sources), Path(folder))
        card = Path(sources, CARD)
        if card.exists():
            shutil.copyfile(card, Path(folder, CARD))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)  # TensorFlow may crash while the interpreter takes it down
