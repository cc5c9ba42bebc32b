"""TensorFlow's networks as models for LiteRT. TensorFlow is imported with this module."""

from __future__ import annotations

import re
from typing import Any

import tensorflow as tf

from movie_tags import storage
from movie_tags.models.bundle import (
    SAVED_MODEL,
    TFLITE,
    BundleError,
    read_bundle,
    write_card,
)
from movie_tags.models.loading import without_native_remarks


def to_tflite(serve: Any, size: tuple[int, int]) -> bytes:
    """A serving function as a TFLite model for one picture at a time.

    Args:
        serve: tf.function, uint8 [N, H, W, 3] -> {name: float32 [N, tags]}.
        size: height and width of the network's input, in pixels.

    Raises:
        BundleError: the network has operations that LiteRT does not know.
    """

    def one(images: tf.Tensor) -> tf.Tensor:
        (probabilities,) = serve(images=images).values()
        return probabilities

    concrete = tf.function(one, input_signature=[tf.TensorSpec([1, *size, 3], tf.uint8)]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], serve)
    try:
        with without_native_remarks():
            return converter.convert()
    except Exception as error:  # the converter's own errors have no class in common
        unknown = sorted(set(re.findall(r"tf\.(\w+)\(tensor", str(error))))
        raise BundleError(f"LiteRT cannot run this network ({', '.join(unknown) or type(error).__name__})") from error


def complete(uri: str) -> str:
    """Write `model.tflite` beside an older bundle's SavedModel, and the fingerprint that goes with it.

    Args:
        uri: the bundle, local or remote; intact.

    Returns:
        The new fingerprint.

    Raises:
        BundleError: it is no usable bundle, has no SavedModel, or one with operations that LiteRT does not know.
    """
    bundle = read_bundle(uri)
    if SAVED_MODEL not in bundle.parts:
        raise BundleError(f"{uri}: has no {SAVED_MODEL}/ to make {TFLITE} from")
    if TFLITE in bundle.parts:
        raise BundleError(f"{uri}: has its {TFLITE} already")
    with storage.fetch(storage.join(uri, SAVED_MODEL)) as folder, without_native_remarks():
        loaded = tf.saved_model.load(folder)
        signature = loaded.signatures["serving_default"]
        (name,) = signature.structured_input_signature[1]
        try:
            model = to_tflite(lambda images: signature(**{name: images}), bundle.input_size)
        except BundleError as error:
            raise BundleError(f"{uri}: {error}; it stays as it is, and TensorFlow runs it") from error
    storage.write_bytes(storage.join(uri, TFLITE), model)
    write_card(uri, bundle.card)
    return read_bundle(uri).fingerprint
