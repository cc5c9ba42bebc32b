"""The model bundle: the one form in which a trained model is met.

A folder, local or on gs://, that holds

    model.tflite     what CPUs run, by LiteRT: uint8 RGB [1, H, W, 3] -> float32 [1, tags], one picture at a time
    saved_model/     what GPUs run: TensorFlow SavedModel; signature `serving_default`: uint8 RGB [N, H, W, 3] ->
                     float32 [N, tags]. A bundle has one of the two, or both
    vocabulary.txt   one tag a line, in the order of the outputs
    model.json       input size, backbone, thresholds, training data, measured accuracy, versions, fingerprint
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from dataclasses import dataclass, field

from movie_tags import storage
from movie_tags.errors import UserError

TFLITE = "model.tflite"
SAVED_MODEL = "saved_model"
VOCABULARY = "vocabulary.txt"
MODEL_JSON = "model.json"
THRESHOLDS = "thresholds"
DECISIVE = (THRESHOLDS, "film_confidence")
"""What of `model.json` decides tags: other values are another model."""


class BundleError(UserError):
    """A folder is not a usable model bundle; the message names the folder and what is wrong with it."""


@dataclass(frozen=True)
class ModelBundle:
    """What a bundle says of itself, without its weights.

    Attributes:
        uri: the bundle's folder, local or gs://.
        vocabulary: the tags, in the order of the model's outputs.
        input_size: height and width in pixels to which pictures are brought before they are batched.
        fingerprint: SHA-256 of all that decides its answers (`fingerprint`), in hex.
        thresholds: by tag, the probability from which the tag is believed on a key frame, in [0, 1].
        parts: TFLITE, SAVED_MODEL or both, as far as they are there.
        card: all of `model.json`.
    """

    uri: str
    vocabulary: tuple[str, ...]
    input_size: tuple[int, int]
    fingerprint: str
    thresholds: tuple[float, ...]
    parts: tuple[str, ...]
    card: dict = field(compare=False, hash=False)


def read_bundle(uri: str) -> ModelBundle:
    """Read and check a bundle's texts.

    Raises:
        BundleError: a part is missing or malformed, or the weights are not those that `model.json` describes.
    """
    uri = os.fspath(uri)
    try:
        card = json.loads(_read(uri, MODEL_JSON))
        vocabulary = tuple(line.strip() for line in _read(uri, VOCABULARY).decode().splitlines() if line.strip())
        height, width = (int(n) for n in card["input_size"])
        stated = str(card["fingerprint"])
        by_tag = {str(tag): float(value) for tag, value in card.get(THRESHOLDS, {}).items()}
    except BundleError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{uri}: not a usable model bundle ({type(error).__name__}: {error}). A bundle holds {TFLITE} or "
            f"{SAVED_MODEL}/, {VOCABULARY}, and {MODEL_JSON} with 'input_size' and 'fingerprint'."
        ) from error
    if not vocabulary or len(set(vocabulary)) != len(vocabulary):
        raise BundleError(f"{uri}: {VOCABULARY} is empty or names a tag twice.")
    if min(height, width) < 1:
        raise BundleError(f"{uri}: input_size {height} x {width} in {MODEL_JSON} is not a picture's size.")
    if by_tag and (by_tag.keys() != set(vocabulary) or not all(0 <= value <= 1 for value in by_tag.values())):
        raise BundleError(f"{uri}: '{THRESHOLDS}' in {MODEL_JSON} must give each tag a probability from 0 to 1.")
    found = fingerprint(uri, card)
    if stated != found:
        raise BundleError(
            f"{uri}: the weights are not those {MODEL_JSON} describes (fingerprint {found[:12]}…, "
            f"stated {stated[:12]}…). Copy or export the bundle again."
        )
    return ModelBundle(
        uri,
        vocabulary,
        (height, width),
        found,
        tuple(by_tag.get(tag, 0.0) for tag in vocabulary),
        tuple(part for part in (TFLITE, SAVED_MODEL) if _files_of(uri, part)),
        card,
    )


def fingerprint(uri: str, card: dict) -> str:
    """SHA-256, in hex, of all that decides a bundle's answers.

    Over the names and bytes of `model.tflite` and of every file of the SavedModel, then the vocabulary, then what
    DECISIVE names of the card (what is in `model.json`), as JSON with sorted keys, if it is there.

    Raises:
        BundleError: there is no model.
    """
    files = [path for part in (TFLITE, SAVED_MODEL) for path in _files_of(uri, part)]
    if not files:
        raise BundleError(f"{uri}: has no {TFLITE} and no {SAVED_MODEL}/{SAVED_MODEL}.pb; is this a model bundle?")
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


def _files_of(uri: str, part: str) -> list[str]:
    """The files of a part of a bundle, in order; none where the bundle lacks it."""
    path = storage.join(uri, part)
    try:
        if part == TFLITE:
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
