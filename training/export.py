"""A trained Keras network -> a model bundle: the folder that the pipeline takes (`movie_tags.transforms.bundle`)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from movie_tags.transforms.bundle import MODEL_JSON, SAVED_MODEL, VOCABULARY, fingerprint


class Serving(tf.Module):
    """uint8 pictures of any size -> calibrated probabilities, with the network's weights inside.

    Kernels are stored as float16, which halves the bundle; all arithmetic is float32. Requires the TensorFlow backend.
    """

    def __init__(
        self,
        network: keras.Model,
        size: tuple[int, int],
        temperature: float = 1.0,
        preprocess: Callable[[tf.Tensor], tf.Tensor] | None = None,
        output: str | None = "logits",
    ):
        """Copy the weights of a network.

        Args:
            network: from float32 [N, height, width, 3] to logits [N, tags], or to a dictionary that holds them.
            size: height and width at which the network sees pictures.
            temperature: what logits are divided by before the softmax (calibration).
            preprocess: float32 RGB in [0, 255] -> the network's input; by default to [-1, 1].
            output: the name of the logits where the network gives a dictionary, else None.
        """
        super().__init__()
        self._network = tf.autograph.experimental.do_not_convert(network.stateless_call)
        self._size = tuple(size)
        self._temperature = float(temperature)
        self._preprocess = preprocess or (lambda images: images / 127.5 - 1.0)
        self._output = output
        self.trained = [_stored(variable) for variable in network.trainable_variables]
        self.counted = [_stored(variable) for variable in network.non_trainable_variables]

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def serve(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Pictures uint8 RGB [N, H, W, 3] -> `probabilities` float32 [N, tags], each row of sum 1."""
        pixels = tf.cast(images, tf.float32)
        fits = tf.reduce_all(tf.shape(images)[1:3] == tf.constant(self._size))
        pixels = tf.cond(fits, lambda: pixels, lambda: tf.image.resize(pixels, self._size, antialias=True))
        pixels = tf.ensure_shape(pixels, [None, *self._size, 3])
        outputs, _ = self._network(
            [tf.cast(v, tf.float32) for v in self.trained],
            [v if v.dtype.is_integer else tf.cast(v, tf.float32) for v in self.counted],
            self._preprocess(pixels),
            training=False,
        )
        logits = outputs if self._output is None else outputs[self._output]
        return {"probabilities": tf.nn.softmax(tf.cast(logits, tf.float32) / self._temperature)}


def write_bundle(folder: str | Path, module: tf.Module, vocabulary: Sequence[str], card: dict) -> Path:
    """Write a bundle, replacing one that stands there.

    Args:
        folder: where; made if missing. It appears whole or not at all.
        module: has a tf.function `serve`, uint8 RGB [N, H, W, 3] -> {"probabilities": float32 [N, tags]}.
        vocabulary: the tags, in the order of the outputs.
        card: what `model.json` says; must hold `input_size` [height, width]; `fingerprint` is added here.

    Raises:
        ValueError: the card states no input size, or the vocabulary does not fit the module's outputs.
    """
    folder = Path(folder)
    if len(card.get("input_size", ())) != 2:
        raise ValueError("the card of a bundle must state input_size as [height, width]")
    signature = module.serve.get_concrete_function()
    outputs = signature.structured_outputs["probabilities"].shape[-1]
    if outputs != len(vocabulary) or len(set(vocabulary)) != len(vocabulary):
        raise ValueError(f"{len(vocabulary)} tags ({len(set(vocabulary))} different) for {outputs} outputs")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = folder.with_name(folder.name + ".partial")
    shutil.rmtree(staging, ignore_errors=True)
    tf.saved_model.save(module, str(staging / SAVED_MODEL), signatures={"serving_default": signature})
    for empty in (staging / SAVED_MODEL / "assets",):  # Git keeps no empty folders; the bundle must survive a clone.
        if empty.is_dir() and not any(empty.iterdir()):
            empty.rmdir()
    (staging / VOCABULARY).write_text("".join(f"{tag}\n" for tag in vocabulary), encoding="utf-8")
    full = {**card, "fingerprint": fingerprint(str(staging))}
    (staging / MODEL_JSON).write_text(json.dumps(full, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    staging.rename(folder)
    return folder


def _stored(variable: keras.Variable) -> tf.Variable:
    value = keras.ops.convert_to_numpy(variable)
    # Vectors (biases, batch normalisation) are few and need their range; kernels are many and do not.
    return tf.Variable(value.astype("float16") if value.ndim > 1 else value, trainable=False)
