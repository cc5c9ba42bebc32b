"""The model bundle: the one form in which a trained model is met.

A folder, local or on gs://, that holds

    model.tflite     what CPUs run, by LiteRT: a canvas uint8 RGB [1, H, W, 3] -> probabilities float32 [1, tags] and
                     features float32 [1, width], one picture at a time
    saved_model/     what GPUs and servers run: TensorFlow SavedModel; signatures for pictures of any size and for
                     canvases (`movie_tags.models.serving`)
    model.onnx       a user's own, run by ONNX Runtime (`movie_tags.models.runtimes.onnx_model`)
                     At least one of the three is there
    head.npz         the last layer by itself (`movie_tags.models.heads`), of a model that gives its features, too
    vocabulary.txt   one tag a line, in the order of the outputs
    model.json       input size, views, backbone, thresholds, training data, accuracy, versions, fingerprint

H and W are those of the canvas on which the model's views of a picture lie (`movie_tags.models.views`).

A bundle that was put together from sources (`movie_tags.models.building`) says so in `made_from`: its fingerprint is
theirs, the same on every machine, whatever bytes the machine's converter wrote; those bytes have a digest, `files`.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.models.views import CUTS, View, canvas_size, lay_out

TFLITE = "model.tflite"
SAVED_MODEL = "saved_model"
ONNX = "model.onnx"
PARTS = (TFLITE, SAVED_MODEL, ONNX)
HEAD = "head.npz"
VOCABULARY = "vocabulary.txt"
MODEL_JSON = "model.json"
THRESHOLDS = "thresholds"
VIEWS = "views"
MADE_FROM, FILES = "made_from", "files"
HEAD_CARD = "head"
"""Where `model.json` says how HEAD takes features."""

OUTSIDE = "outside"
"""What HEAD_CARD says of a head that is not the one inside the model, but takes the features that the model gives."""

LEARNED = "learned"
"""Where `model.json` says what a bundle has learned from corrections, and from which it came."""

TEXT_CARD = "text"
"""Where `model.json` of a bundle that knows words says how texts become tokens."""

FEATURES_FINGERPRINT = "features_fingerprint"
"""Where `model.json` has the fingerprint of all that decides the features: backbones, their weights and their views."""

DECISIVE = (THRESHOLDS, "film_confidence", VIEWS, "onnx", HEAD_CARD)
"""What of `model.json` decides tags: other values are another model."""


class BundleError(UserError):
    """A folder is not a usable model bundle; the message names the folder and what is wrong with it."""


@dataclass(frozen=True)
class ModelBundle:
    """What a bundle says of itself, without its weights.

    Attributes:
        uri: the bundle's folder, local or gs://.
        vocabulary: the tags, in the order of the model's outputs.
        input_size: height and width in pixels of the canvas to which pictures are brought before they are batched.
        views: what of a picture is on that canvas.
        fingerprint: SHA-256 of all that decides its answers (`fingerprint`), in hex.
        thresholds: by tag, the probability from which the tag is believed on a key frame, in [0, 1].
        parts: those of PARTS that are there.
        card: all of `model.json`.
    """

    uri: str
    vocabulary: tuple[str, ...]
    input_size: tuple[int, int]
    views: tuple[View, ...]
    fingerprint: str
    thresholds: tuple[float, ...]
    parts: tuple[str, ...]
    card: dict = field(compare=False, hash=False)

    @property
    def name(self) -> str:
        """What it calls itself, or the name of its folder."""
        return str(self.card.get("name") or storage.base_name(self.uri))

    @property
    def features_fingerprint(self) -> str | None:
        """SHA-256, in hex, of all that decides the features that the model gives; None where it gives none."""
        return self.card.get(FEATURES_FINGERPRINT)

    @property
    def width(self) -> int | None:
        """How many features its head takes; None where it has none beside its model."""
        return sum(self.card[HEAD_CARD]["widths"]) if HEAD_CARD in self.card else None

    @property
    def knows_words(self) -> bool:
        """Whether it has a text model whose embeddings are comparable with its features."""
        return TEXT_CARD in self.card

    def fitted(self, pixels: np.ndarray) -> np.ndarray:
        """A picture as the model takes it: uint8 RGB [H, W, 3] -> uint8 RGB [*input_size, 3]."""
        return lay_out(pixels, self.views)


def read_bundle(uri: str) -> ModelBundle:
    """Read and check a bundle's texts.

    Raises:
        BundleError: a part is missing or malformed, or the weights are not those that `model.json` describes.
    """
    uri = os.fspath(uri)
    try:
        card = json.loads(_read(uri, MODEL_JSON))
        vocabulary = _lines(_read(uri, VOCABULARY))
        height, width = (int(n) for n in card["input_size"])
        views = _views_of(card, (height, width))
        stated = str(card["fingerprint"])
        by_tag = {str(tag): float(value) for tag, value in card.get(THRESHOLDS, {}).items()}
    except BundleError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{uri}: not a usable model bundle ({type(error).__name__}: {error}). A bundle holds {TFLITE}, "
            f"{SAVED_MODEL}/ or {ONNX}, {VOCABULARY}, and {MODEL_JSON} with 'input_size' and 'fingerprint'."
        ) from error
    if not vocabulary or len(set(vocabulary)) != len(vocabulary):
        raise BundleError(f"{uri}: {VOCABULARY} is empty or names a tag twice.")
    if min(height, width) < 1:
        raise BundleError(f"{uri}: input_size {height} x {width} in {MODEL_JSON} is not a picture's size.")
    if by_tag and (by_tag.keys() != set(vocabulary) or not all(0 <= value <= 1 for value in by_tag.values())):
        raise BundleError(f"{uri}: '{THRESHOLDS}' in {MODEL_JSON} must give each tag a probability from 0 to 1.")
    if canvas_size(views) != (height, width) or not all(view.cut in CUTS and min(view.size) > 0 for view in views):
        raise BundleError(f"{uri}: '{VIEWS}' in {MODEL_JSON} must be cuts ({', '.join(CUTS)}) that fill input_size.")
    found = fingerprint(uri, card)
    if stated != found or (MADE_FROM in card and card.get(FILES) != digest_of_files(uri, card)):
        raise BundleError(
            f"{uri}: the weights are not those {MODEL_JSON} describes (fingerprint {found[:12]}…, "
            f"stated {stated[:12]}…). Copy, build or export the bundle again."
        )
    return ModelBundle(
        uri,
        vocabulary,
        (height, width),
        views,
        found,
        tuple(by_tag.get(tag, 0.0) for tag in vocabulary),
        tuple(part for part in PARTS if _files_of(uri, part)),
        card,
    )


def fingerprint(uri: str, card: dict) -> str:
    """SHA-256, in hex, of all that decides a bundle's answers.

    Of a bundle that was put together: over its sources, the vocabulary and what DECISIVE names of the card, as JSON
    with sorted keys. Of any other: `digest_of_files`.

    Raises:
        BundleError: there is no model.
    """
    if MADE_FROM not in card:
        return digest_of_files(uri, card)
    return fingerprint_of_sources(card, _lines(_read(uri, VOCABULARY)))


def fingerprint_of_sources(card: dict, vocabulary: Sequence[str]) -> str:
    """The fingerprint of a bundle put together from the sources that its card names; see `fingerprint`."""
    content = {MADE_FROM: card[MADE_FROM], VOCABULARY: list(vocabulary)}
    content |= {name: card[name] for name in DECISIVE if name in card}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def digest_of_files(uri: str, card: dict) -> str:
    """SHA-256, in hex, of a bundle's model, vocabulary and decisive words.

    Over the names and bytes of every file of its PARTS and of its HEAD, then the vocabulary, then what DECISIVE names
    of the card (what is in `model.json`), as JSON with sorted keys, if it is there.

    Raises:
        BundleError: there is no model.
    """
    files = [path for part in PARTS for path in _files_of(uri, part)]
    if files and HEAD_CARD in card:
        files.append(storage.join(uri, HEAD))
    if not files:
        raise BundleError(
            f"{uri}: has no {TFLITE}, no {SAVED_MODEL}/{SAVED_MODEL}.pb and no {ONNX}; is this a model bundle?"
        )
    digest = hashlib.sha256()
    folder = storage.join(uri, SAVED_MODEL)
    for path in files:
        inside = storage.is_below(path, folder)
        name = storage.relative_to(path, folder if inside else uri)
        data = _read(uri, posixpath.join(SAVED_MODEL, name) if inside else name)
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    digest.update(_read(uri, VOCABULARY))
    decisive = {name: card[name] for name in DECISIVE if name in card}
    if decisive:
        digest.update(json.dumps(decisive, sort_keys=True).encode())
    return digest.hexdigest()


def write_card(folder: str, card: dict) -> None:
    """Write `model.json` of a bundle whose other files are in place, with the fingerprint that they have.

    Raises:
        BundleError: there is no model.
        OSError: it may not be written.
    """
    if MADE_FROM in card:
        card = {**card, FILES: digest_of_files(folder, card)}
    card = {**card, "fingerprint": fingerprint(folder, card)}
    storage.write_text(storage.join(folder, MODEL_JSON), json.dumps(card, indent=2, ensure_ascii=False) + "\n")


def write_vocabulary(folder: str, tags: Iterable[str]) -> None:
    """Write the vocabulary of a bundle, local or remote: one tag a line, in the order of the outputs."""
    storage.write_text(storage.join(folder, VOCABULARY), "".join(f"{tag}\n" for tag in tags))


def views_card(views: Iterable[View]) -> list[dict]:
    """What VIEWS says of what is looked at."""
    return [{"view": view.cut, "size": list(view.size)} for view in views]


def _lines(text: bytes) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.decode().splitlines() if line.strip())


def _views_of(card: dict, size: tuple[int, int]) -> tuple[View, ...]:
    """What the card says that is looked at; the whole picture, if it says nothing."""
    if VIEWS not in card:
        return (View("whole", size),)
    sizes = ((str(view["view"]), view["size"]) for view in card[VIEWS])
    return tuple(View(cut, (int(height), int(width))) for cut, (height, width) in sizes)


def _files_of(uri: str, part: str) -> list[str]:
    """The files of a part of a bundle, in order; none where the bundle lacks it."""
    path = storage.join(uri, part)
    try:
        if part != SAVED_MODEL:
            return [path] if storage.exists(path) else []
        files = storage.list_files(path)
    except OSError as error:
        raise BundleError(f"{uri}: cannot be listed ({error}). Is this a model bundle?") from error
    return files if storage.join(path, SAVED_MODEL + ".pb") in files else []


def _read(uri: str, name: str) -> bytes:
    try:
        return storage.read_bytes(storage.join(uri, name))
    except OSError as error:
        raise BundleError(f"{uri}: cannot read {name} ({error}). Is this a model bundle?") from error
