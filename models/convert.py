"""TensorFlow's networks as models for LiteRT. TensorFlow is imported with this module."""

from __future__ import annotations

import re
from typing import Any

import tensorflow as tf

from movie_tags.models.bundle import BundleError
from movie_tags.models.runtimes import without_native_remarks
from movie_tags.models.runtimes.saved_model import FEATURES, PROBABILITIES


def to_tflite(describe: Any, size: tuple[int, int], half: bool = False) -> bytes:
    """A model as a TFLite model for one picture at a time; its outputs are the probabilities, then the features.

    Args:
        describe: tf.function, uint8 [N, H, W, 3] -> PROBABILITIES and, of a model that gives them, FEATURES.
        size: height and width of the network's input, in pixels.
        half: keep weights in 16 bits.

    Raises:
        BundleError: the network has operations that LiteRT does not know.
    """

    def one(canvas: tf.Tensor) -> list[tf.Tensor]:
        found = describe(canvas=canvas)
        return [found[name] for name in (PROBABILITIES, FEATURES) if name in found]

    concrete = tf.function(one, input_signature=[tf.TensorSpec([1, *size, 3], tf.uint8)]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], describe)
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    try:
        with without_native_remarks():
            return converter.convert()
    except Exception as error:  # the converter's own errors have no class in common
        unknown = sorted(set(re.findall(r"tf\.(\w+)\(tensor", str(error))))
        raise BundleError(f"LiteRT cannot run this network ({', '.join(unknown) or type(error).__name__})") from error
