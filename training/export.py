"""Writes a model bundle (see `movie_tags.models.bundle`)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tensorflow as tf

from movie_tags import storage
from movie_tags.models.backbones.specs import Backbone
from movie_tags.models.bundle import (
    FEATURES_FINGERPRINT,
    HEAD,
    HEAD_CARD,
    ONNX,
    SAVED_MODEL,
    TEXT_CARD,
    VIEWS,
    ModelBundle,
    digest_of_files,
    views_card,
    write_card,
    write_vocabulary,
)
from movie_tags.models.clip.text_encoder import AGREEMENT, copy_models
from movie_tags.models.heads import LinearHead, write_head
from movie_tags.models.runtimes.onnx_model import CARD_KEY
from movie_tags.models.runtimes.saved_model import FEATURES, PROBABILITIES
from movie_tags.models.serving import GraphHead, PictureServer
from movie_tags.models.views import View, canvas_size

Compute = Callable[[tf.Tensor], tf.Tensor]


def write_bundle_of(
    folder: str | Path,
    backbone: Backbone,
    head: LinearHead,
    vocabulary: tuple[str, ...],
    card: dict,
    tracked: Sequence[Any] = (),
    probabilities: Compute | None = None,
) -> None:
    """Write the bundle of a head on a backbone of any kind: `write_bundle`, or of an ONNX model `write_bundle_on`.

    Args:
        folder, head, vocabulary, card: as of these.
        backbone: whose features the head takes.
        tracked: what `probabilities` uses beside the backbone.
        probabilities: as of `write_bundle`; of no use to an ONNX model.

    Raises:
        BundleError: the network has operations that LiteRT does not know.
    """
    if backbone.onnx:
        write_bundle_on(folder, backbone.onnx, head, vocabulary, card)
        return
    views, fingerprint = backbone.spec.views, backbone.fingerprint
    kept = (backbone.tracked, *tracked)
    write_bundle(folder, backbone.compute, kept, head, vocabulary, views, card, fingerprint, probabilities)


def write_bundle_on(
    folder: str | Path, below: ModelBundle, head: LinearHead, vocabulary: Sequence[str], card: dict
) -> None:
    """Write a bundle of another one's ONNX image model, and its text model if there is one, with a new head.

    Args:
        folder: where, local or remote.
        below: the other bundle, whose embeddings the head takes.
        head: on these embeddings, calibrated.
        vocabulary: the tags in the order of the head's outputs.
        card: what `model.json` is to say besides.
    """
    kept = (VIEWS, CARD_KEY, TEXT_CARD, AGREEMENT, FEATURES_FINGERPRINT)
    said = {name: below.card[name] for name in kept if name in below.card}
    storage.make_folder(str(folder))
    copy_models(below, [ONNX], str(folder))
    write_head(storage.join(str(folder), HEAD), head)
    write_vocabulary(str(folder), vocabulary)
    write_card(str(folder), {"input_size": list(below.input_size), **said, **card, HEAD_CARD: head.to_card()})


def write_bundle(
    folder: str | Path,
    compute: Compute,
    tracked: Any,
    head: LinearHead,
    vocabulary: tuple[str, ...],
    views: Sequence[View],
    card: dict,
    features_fingerprint: str | None = None,
    probabilities: Compute | None = None,
) -> None:
    """Write a bundle with a model for LiteRT and one for TensorFlow, in place of whatever bundle stood there.

    Args:
        folder: where, local or remote.
        compute: float32 canvases [N, *canvas_size(views), 3] in 0 to 255 -> features [N, width].
        tracked: the modules and variables that `compute` and `probabilities` use.
        head: on these features, calibrated: what stands beside the model as `head.npz`.
        vocabulary: the tags in the order of the head's outputs.
        views: what lies on a canvas.
        card: what `model.json` is to say besides sizes, versions and the fingerprint.
        features_fingerprint: of all that decides the features; by default that of the bundle's files.
        probabilities: features -> probabilities, if the model is to hold another form of the same head.

    Raises:
        BundleError: the network has operations that LiteRT does not know.
    """
    served = GraphHead(head)

    def describe(canvas: tf.Tensor) -> dict[str, tf.Tensor]:
        features = compute(tf.cast(canvas, tf.float32))
        return {PROBABILITIES: probabilities(features) if probabilities else served([features]), FEATURES: features}

    size = canvas_size(views)
    card = {
        "input_size": list(size),
        VIEWS: views_card(views),
        **card,
        HEAD_CARD: head.to_card(),
        "versions": {name: version(name) for name in ("tensorflow", "keras", "numpy")},
    }
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch)
        PictureServer(describe, views, (tracked, served)).write(made)
        write_head(str(made / HEAD), head)
        write_vocabulary(str(made), vocabulary)
        card[FEATURES_FINGERPRINT] = features_fingerprint or digest_of_files(str(made), card)
        write_card(str(made), card)
        storage.remove_folder(storage.join(str(folder), SAVED_MODEL))
        storage.send(made, str(folder))
