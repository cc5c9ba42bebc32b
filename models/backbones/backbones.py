"""Backbones: frozen networks that turn a picture into features (section 4.1)."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from apache_beam.ml.inference.base import ModelHandler

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.models.backbones import efficientnet_lite
from movie_tags.models.bundle import SAVED_MODEL, read_bundle
from movie_tags.models.loading import configure
from movie_tags.models.sources import COMPACT, COMPACT_SIZE, FEATURES, weights_hash

OWN = "own"
"""The weights of a backbone that come with movie-tags, or with a package that it needs."""

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


class BackboneError(UserError):
    """A backbone or its weights that cannot be had; the message says what to do."""


@dataclass(frozen=True)
class BackboneSpec:
    """Which backbone, with which weights.

    Attributes:
        name: `compact`, `efficientnet_lite0` to `2`, or a network of keras.applications, in any spelling
            (`inception_v3`, `MobileNetV2`).
        weights: `imagenet`, `random`, a Keras weights file (`.weights.h5`), local or gs://; OWN for `compact` and
            EfficientNet-Lite; for `compact`, also a bundle that gives features.
        size: side of its input in pixels.
    """

    name: str
    weights: str
    size: int

    @property
    def slug(self) -> str:
        return _plain(self.name)


@dataclass(frozen=True)
class Backbone:
    """A loaded backbone.

    Attributes:
        spec: what it was loaded from.
        compute: float32 RGB [N, size, size, 3] in 0 to 255 -> features float32 [N, width]; usable inside tf.function.
        width: how many features.
        fingerprint: SHA-256, in hex, of its weights, its name and its input size.
        tracked: what must be kept, and saved with anything that calls `compute`.
    """

    spec: BackboneSpec
    compute: Callable[[tf.Tensor], tf.Tensor]
    width: int
    fingerprint: str
    tracked: Any


def make_spec(name: str, weights: str | None = None, size: int | None = None) -> BackboneSpec:
    """Check a backbone's name and fill in its usual weights and input size.

    Raises:
        BackboneError: there is no backbone of that name, or its input size is fixed.
    """
    if _plain(name) == COMPACT:
        if weights in ("imagenet", "random"):
            raise BackboneError(f"the compact backbone has no {weights} weights; leave --weights out or name a bundle")
        own = read_bundle(weights).input_size[0] if weights else COMPACT_SIZE
        if size not in (None, own):
            raise BackboneError(f"the compact backbone takes pictures of {own} x {own}; leave --size out")
        return BackboneSpec(COMPACT, weights or OWN, own)
    lite = {_plain(known): known for known in efficientnet_lite.VARIANTS}.get(_plain(name))
    if lite:
        if weights:
            raise BackboneError(f"the weights of {lite} come with its package; leave --weights out")
        return BackboneSpec(lite, OWN, size or efficientnet_lite.VARIANTS[lite].size)
    _application(name)
    return BackboneSpec(name, weights or "imagenet", size or SIZES.get(_plain(name), 224))


def backbone_names() -> list[str]:
    """Our own network, those whose weights a package holds, and those of keras.applications."""
    return [COMPACT, *efficientnet_lite.VARIANTS, *(name for name in dir(keras.applications) if name[0].isupper())]


@functools.lru_cache(maxsize=1)
def load_backbone(spec: BackboneSpec, threads: int | None = None) -> Backbone:
    """Load a backbone once a process.

    Args:
        spec: which one.
        threads: TensorFlow's threads for one operation; None leaves them as they are.

    Raises:
        BackboneError: its weights cannot be had, or do not fit it.
    """
    if threads is not None:
        configure(threads)
    if spec.weights == OWN:
        return _load_own(spec)
    return _load_of_bundle(spec) if spec.name == COMPACT else _load_application(spec)


def _load_own(spec: BackboneSpec) -> Backbone:
    from movie_tags.models.joining import backbone_of

    network = backbone_of(spec.name)

    def compute(pictures: tf.Tensor) -> tf.Tensor:
        return network(tf.cast(pictures, tf.float32))

    width = int(network(tf.zeros([1, spec.size, spec.size, 3])).shape[-1])
    digest = hashlib.sha256(f"{spec.slug} {spec.size} {weights_hash(spec.name)}".encode())
    return Backbone(spec, compute, width, digest.hexdigest(), network)


def _load_of_bundle(spec: BackboneSpec) -> Backbone:
    bundle = read_bundle(spec.weights)
    with storage.fetch(storage.join(bundle.uri, SAVED_MODEL)) as folder:
        loaded = tf.saved_model.load(folder)
    if FEATURES not in loaded.signatures:
        raise BackboneError(
            f"{spec.weights}: this bundle's model gives no features; use a bundle of the compact network"
        )
    signature = loaded.signatures[FEATURES]

    def compute(pictures: tf.Tensor) -> tf.Tensor:
        return signature(images=tf.cast(tf.round(pictures), tf.uint8))[FEATURES]

    width = signature.structured_outputs[FEATURES].shape[-1]
    digest = hashlib.sha256(f"{COMPACT} {spec.size} {bundle.fingerprint}".encode())
    return Backbone(spec, compute, width, digest.hexdigest(), loaded)


def _load_application(spec: BackboneSpec) -> Backbone:
    build, preprocess = _application(spec.name)
    options = {"include_top": False, "pooling": "avg", "input_shape": (spec.size, spec.size, 3)}
    try:
        if spec.weights == "imagenet":
            network = build(weights="imagenet", **options)
        else:
            if spec.weights == "random":
                keras.utils.set_random_seed(0)  # the same in every process
            network = build(weights=None, **options)
    except Exception as error:
        if spec.weights != "imagenet":
            raise BackboneError(
                f"{spec.name} cannot be built for pictures of {spec.size} x {spec.size}: {error}"
            ) from error
        raise BackboneError(
            f"the ImageNet weights of {spec.name} could not be downloaded ({_first_line(error)}). "
            "Without a network, give a Keras weights file, made elsewhere with keras.applications and save_weights: "
            "--weights FILE.weights.h5"
        ) from error
    if spec.weights not in ("imagenet", "random"):
        _load_weights(network, spec)
    network.trainable = False

    def compute(pictures: tf.Tensor) -> tf.Tensor:
        return tf.cast(network(preprocess(tf.cast(pictures, tf.float32)), training=False), tf.float32)

    digest = hashlib.sha256(f"{spec.slug} {spec.size}".encode())
    for weight in network.get_weights():
        digest.update(np.ascontiguousarray(weight).tobytes())
    return Backbone(spec, compute, network.output_shape[-1], digest.hexdigest(), network)


def _load_weights(network: keras.Model, spec: BackboneSpec) -> None:
    try:
        with storage.fetch(spec.weights) as path:
            network.load_weights(path)
    except (FileNotFoundError, storage.StorageError) as error:
        raise BackboneError(
            f"{spec.weights}: no such weights file. --weights takes 'imagenet', 'random' or a Keras weights file"
        ) from error
    except Exception as error:
        raise BackboneError(
            f"{spec.weights}: not weights of {spec.name} without its top ({_first_line(error)})"
        ) from error


def _application(name: str) -> tuple[Callable, Callable]:
    """A network of keras.applications and its preprocessing."""
    for candidate in dir(keras.applications):
        if candidate[0].isupper() and _plain(candidate) == _plain(name):
            build = getattr(keras.applications, candidate)
            return build, sys.modules[build.__module__].preprocess_input
    raise BackboneError(f"there is no backbone {name!r}; choose one of {', '.join(backbone_names())}")


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


class BackboneHandler(ModelHandler[np.ndarray, np.ndarray, Callable]):
    """Runs a backbone on uint8 RGB pictures [size, size, 3]; a picture's result is float32 [width]."""

    def __init__(self, spec: BackboneSpec, batch_size: int = 32, threads: int = 1):
        """Args: the backbone; pictures a batch; TensorFlow's threads in a process."""
        super().__init__()
        self.spec = spec
        self.batch_size = batch_size
        self.threads = threads

    def load_model(self) -> Callable:
        backbone = load_backbone(self.spec, self.threads)
        compute = tf.function(
            lambda pictures: backbone.compute(tf.cast(pictures, tf.float32)),
            input_signature=[tf.TensorSpec([None, self.spec.size, self.spec.size, 3], tf.uint8)],
        )
        return lambda pictures: compute(pictures).numpy()

    def run_inference(
        self, batch: Sequence[np.ndarray], model: Callable, inference_args: dict[str, Any] | None = None
    ) -> Iterable[np.ndarray]:
        return list(model(np.stack(batch)))

    def batch_elements_kwargs(self) -> dict[str, int]:
        return {"min_batch_size": self.batch_size, "max_batch_size": self.batch_size}

    def get_metrics_namespace(self) -> str:
        return "features"
