"""Which backbone, with which weights, on which views of a picture; and loading it to learn a head on it (section 4.1).

TensorFlow is imported with this module.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from movie_tags import storage
from movie_tags.models import NAMES, resolve
from movie_tags.models.backbones.applications import (
    IMAGENET,
    application_names,
    digest_of,
    is_application,
    load_application,
    usual_size,
)
from movie_tags.models.backbones.registry import BACKBONES, BackboneError, plain_name, registered
from movie_tags.models.bundle import MODEL_JSON, SAVED_MODEL, ModelBundle, read_bundle
from movie_tags.models.heads import read_head
from movie_tags.models.loading import load_model
from movie_tags.models.runtimes import configure
from movie_tags.models.runtimes.saved_model import CANVAS, FEATURES
from movie_tags.models.views import View, canvas_size

OWN, BUNDLE = "own", "bundle"
"""The weights of a backbone that is registered, and of one that is a bundle."""


@dataclass(frozen=True)
class BackboneSpec:
    """Which backbone, with which weights.

    Attributes:
        name: of a registered backbone, of a network of keras.applications in any spelling (`inception_v3`,
            `MobileNetV2`), or the folder of a bundle.
        weights: OWN, BUNDLE, or of an application: `imagenet`, `random` or a Keras weights file, local or remote.
        views: what of a picture it is shown.
    """

    name: str
    weights: str
    views: tuple[View, ...]

    @property
    def slug(self) -> str:
        """Its name, for the names of files."""
        return plain_name(storage.base_name(self.name))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels, of the canvas of its views."""
        return canvas_size(self.views)


@dataclass(frozen=True)
class Backbone:
    """A loaded backbone.

    Attributes:
        spec: what it was loaded from.
        compute: float32 RGB canvases [N, *size, 3] in 0 to 255 -> features float32 [N, width]; usable inside
            tf.function.
        width: how many features.
        fingerprint: SHA-256, in hex, of its weights, its name and its views.
        tracked: what must be kept, and saved with anything that calls `compute`.
        onnx: the bundle whose ONNX model `compute` runs: it cannot be saved with a graph.
    """

    spec: BackboneSpec
    compute: Callable[[tf.Tensor], tf.Tensor]
    width: int
    fingerprint: str
    tracked: Any
    onnx: ModelBundle | None = None


def backbone_names() -> list[str]:
    """The registered backbones, and the networks of keras.applications."""
    return [*BACKBONES, *application_names()]


def make_spec(name: str, weights: str | None = None, size: int | None = None) -> BackboneSpec:
    """Check a backbone's name and fill in its usual weights and input size.

    Args:
        name: see `BackboneSpec`; of bundles, also the name of one that ships, but for `compact`.
        weights: of an application.
        size: side of its input in pixels.

    Raises:
        BackboneError: there is no backbone of that name, or its weights or its size are settled.
        UserError: it is a bundle that cannot be read.
    """
    known = registered(name)
    if known:
        if weights:
            raise BackboneError(f"the weights of {known.name} are its own; leave --weights out")
        return BackboneSpec(known.name, OWN, _square(size or known.size))
    if is_application(name):
        return BackboneSpec(name, weights or IMAGENET, _square(size or usual_size(name)))
    if name not in NAMES and not storage.exists(storage.join(name, MODEL_JSON)):
        raise BackboneError(
            f"there is no backbone {name!r}; choose the folder of a bundle, or one of {', '.join(backbone_names())}"
        )
    if weights or size:
        raise BackboneError(f"{name}: a bundle has its weights and its size; leave --weights and --size out")
    bundle = read_bundle(resolve(name))
    return BackboneSpec(bundle.uri, BUNDLE, bundle.views)


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
    loaders = {OWN: _load_registered, BUNDLE: _load_of_bundle}
    return loaders.get(spec.weights, _load_application)(spec)


def _load_registered(spec: BackboneSpec) -> Backbone:
    known = BACKBONES[spec.name]
    network = known.load()

    def compute(pictures: tf.Tensor) -> tf.Tensor:
        return network(tf.cast(pictures, tf.float32))

    digest = hashlib.sha256(f"{spec.slug} {spec.size} {known.digest()}".encode())
    return Backbone(spec, compute, known.width, digest.hexdigest(), network)


def _load_of_bundle(spec: BackboneSpec) -> Backbone:
    bundle = read_bundle(spec.name)
    if SAVED_MODEL not in bundle.parts:
        return _load_of_onnx(spec, bundle)
    with storage.fetch(storage.join(bundle.uri, SAVED_MODEL)) as folder:
        loaded = tf.saved_model.load(folder)
    signature = loaded.signatures.get(CANVAS)
    if signature is None or FEATURES not in signature.structured_outputs:
        raise BackboneError(f"{spec.name}: this bundle's model gives no features; build or export it again")

    def compute(pictures: tf.Tensor) -> tf.Tensor:
        return signature(canvas=tf.cast(tf.round(pictures), tf.uint8))[FEATURES]

    width = signature.structured_outputs[FEATURES].shape[-1]
    digest = hashlib.sha256(f"{BUNDLE} {spec.views} {bundle.fingerprint}".encode())
    return Backbone(spec, compute, width, digest.hexdigest(), loaded)


def _load_of_onnx(spec: BackboneSpec, bundle: ModelBundle) -> Backbone:
    head = read_head(bundle)
    if head is None or bundle.features_fingerprint is None:
        raise BackboneError(
            f"{spec.name}: this bundle's model gives no features; a CLIP or SigLIP does, or one of ours"
        )
    model, width = load_model(bundle), sum(head.widths)

    def compute(pictures: tf.Tensor) -> tf.Tensor:
        canvases = tf.cast(tf.round(pictures), tf.uint8)
        features = tf.numpy_function(lambda shown: model.describe(shown).features, [canvases], tf.float32)
        return tf.ensure_shape(features, [None, width])

    return Backbone(spec, compute, width, bundle.features_fingerprint, None, bundle)


def _load_application(spec: BackboneSpec) -> Backbone:
    network, compute = load_application(spec.name, spec.weights, spec.size)
    return Backbone(spec, compute, network.output_shape[-1], digest_of(network, spec.name, spec.size), network)


def _square(side: int) -> tuple[View, ...]:
    return (View("whole", (side, side)),)
