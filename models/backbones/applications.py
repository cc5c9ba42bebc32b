"""Networks of keras.applications, with ImageNet, random or a file's weights. Keras is imported with this module."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from movie_tags import storage
from movie_tags.models.backbones.registry import BackboneError, plain_name

IMAGENET, RANDOM = "imagenet", "random"

SIZES = {
    "inceptionv3": 299,
    "inceptionresnetv2": 299,
    "xception": 299,
    "nasnetlarge": 331,
    **{f"efficientnetb{i}": size for i, size in enumerate((224, 240, 260, 300, 380, 456, 528, 600))},
    **{f"efficientnetv2b{i}": size for i, size in enumerate((224, 240, 260, 300))},
    **{"efficientnetv2s": 384, "efficientnetv2m": 480, "efficientnetv2l": 480},
}
"""Sides, in pixels, of the inputs the ImageNet weights were trained on, where they are not 224."""


def application_names() -> list[str]:
    """The networks of keras.applications."""
    return [name for name in dir(keras.applications) if name[0].isupper()]


def is_application(name: str) -> bool:
    """Whether keras.applications has a network of that name, in any spelling (`inception_v3`, `MobileNetV2`)."""
    return any(plain_name(known) == plain_name(name) for known in application_names())


def usual_size(name: str) -> int:
    """Side, in pixels, of the pictures that a network's ImageNet weights were trained on."""
    return SIZES.get(plain_name(name), 224)


def load_application(
    name: str, weights: str, size: tuple[int, int]
) -> tuple[keras.Model, Callable[[tf.Tensor], tf.Tensor]]:
    """A network without its top, pooled by the mean, and what it computes with its preprocessing in front.

    Args:
        name: of `application_names`, in any spelling.
        weights: IMAGENET, RANDOM or a Keras weights file (`.weights.h5`), local or remote.
        size: height and width of its input in pixels.

    Returns:
        (the network; float32 RGB [N, *size, 3] in 0 to 255 -> features float32 [N, width]).

    Raises:
        BackboneError: the weights cannot be had, or do not fit it.
    """
    build, preprocess = _application(name)
    network = _build(build, name, weights, size)
    if weights not in (IMAGENET, RANDOM):
        _load_weights(network, name, weights)
    network.trainable = False

    def compute(pictures: tf.Tensor) -> tf.Tensor:
        return tf.cast(network(preprocess(tf.cast(pictures, tf.float32)), training=False), tf.float32)

    return network, compute


def digest_of(network: keras.Model, name: str, size: tuple[int, int]) -> str:
    """SHA-256, in hex, of a network's name, input size and weights."""
    digest = hashlib.sha256(f"{plain_name(name)} {size[0]}x{size[1]}".encode())
    for weight in network.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return digest.hexdigest()


def _build(build: Callable, name: str, weights: str, size: tuple[int, int]) -> keras.Model:
    options = {"include_top": False, "pooling": "avg", "input_shape": (*size, 3)}
    if weights == RANDOM:
        keras.utils.set_random_seed(0)  # the same in every process
    try:
        return build(weights=IMAGENET if weights == IMAGENET else None, **options)
    except Exception as error:
        if weights != IMAGENET:
            raise BackboneError(
                f"{name} cannot be built for pictures of {size[0]} x {size[1]}: {_first_line(error)}"
            ) from error
        raise BackboneError(
            f"the ImageNet weights of {name} could not be downloaded ({_first_line(error)}). "
            "Without a network, give a Keras weights file, made elsewhere with keras.applications and save_weights: "
            "--weights FILE.weights.h5"
        ) from error


def _load_weights(network: keras.Model, name: str, weights: str) -> None:
    try:
        with storage.fetch(weights) as path:
            network.load_weights(path)
    except (FileNotFoundError, storage.StorageError) as error:
        raise BackboneError(
            f"{weights}: no such weights file. --weights takes '{IMAGENET}', '{RANDOM}' or a Keras weights file"
        ) from error
    except Exception as error:
        raise BackboneError(f"{weights}: not weights of {name} without its top ({_first_line(error)})") from error


def _application(name: str) -> tuple[Callable, Callable]:
    """A network's constructor and its preprocessing."""
    known = next(known for known in application_names() if plain_name(known) == plain_name(name))
    build = getattr(keras.applications, known)
    return build, sys.modules[build.__module__].preprocess_input


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
