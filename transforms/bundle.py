"""The model bundle: the one form in which a trained model is met.

A folder, local or on gs://, that holds

    saved_model/     TensorFlow SavedModel; signature `serving_default`: uint8 RGB [N, H, W, 3] -> float32 [N, tags]
    vocabulary.txt   one tag a line, in the order of the outputs
    model.json       input size, backbone, training data, measured accuracy, versions, fingerprint of the weights
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from dataclasses import dataclass, field

from apache_beam.io.filesystems import FileSystems

from movie_tags.transforms.storage import list_files, plain_errors, relative_to

SAVED_MODEL = "saved_model"
VOCABULARY = "vocabulary.txt"
MODEL_JSON = "model.json"


class BundleError(ValueError):
    """A folder is not a usable model bundle; the message names the folder and what is wrong with it."""


@dataclass(frozen=True)
class ModelBundle:
    """What a bundle says of itself, without its weights.

    Attributes:
        uri: the bundle's folder, local or gs://.
        vocabulary: the tags, in the order of the model's outputs.
        input_size: height and width in pixels to which pictures are brought before they are batched.
        fingerprint: SHA-256 of the weights and the vocabulary (`fingerprint`), in hex.
        card: all of `model.json`.
    """

    uri: str
    vocabulary: tuple[str, ...]
    input_size: tuple[int, int]
    fingerprint: str
    card: dict = field(compare=False, hash=False)

    @property
    def saved_model_uri(self) -> str:
        return FileSystems.join(self.uri, SAVED_MODEL)


def read_bundle(uri: str) -> ModelBundle:
    """Read and check a bundle's texts.

    Raises:
        BundleError: a part is missing or malformed, or the weights are not those that `model.json` describes.
    """
    try:
        card = json.loads(_read(uri, MODEL_JSON))
        vocabulary = tuple(line.strip() for line in _read(uri, VOCABULARY).decode().splitlines() if line.strip())
        height, width = (int(n) for n in card["input_size"])
        stated = str(card["fingerprint"])
    except BundleError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{uri}: not a usable model bundle ({type(error).__name__}: {error}). A bundle holds {SAVED_MODEL}/, "
            f"{VOCABULARY} and {MODEL_JSON} with 'input_size' and 'fingerprint'."
        ) from error
    if not vocabulary or len(set(vocabulary)) != len(vocabulary):
        raise BundleError(f"{uri}: {VOCABULARY} is empty or names a tag twice.")
    if min(height, width) < 1:
        raise BundleError(f"{uri}: input_size {height} x {width} in {MODEL_JSON} is not a picture's size.")
    found = fingerprint(uri)
    if stated != found:
        raise BundleError(
            f"{uri}: the weights are not those {MODEL_JSON} describes (fingerprint {found[:12]}…, "
            f"stated {stated[:12]}…). Copy or export the bundle again."
        )
    return ModelBundle(uri, vocabulary, (height, width), found, card)


def fingerprint(uri: str) -> str:
    """SHA-256, in hex, over the names and bytes of every file of the SavedModel, then the vocabulary."""
    folder = FileSystems.join(uri, SAVED_MODEL)
    digest = hashlib.sha256()
    try:
        names = sorted(relative_to(path, folder) for path in list_files(folder))
    except OSError as error:
        raise BundleError(f"{uri}: cannot list {SAVED_MODEL}/ ({error}). Is this a model bundle?") from error
    if SAVED_MODEL + ".pb" not in names:
        raise BundleError(f"{uri}: has no {SAVED_MODEL}/{SAVED_MODEL}.pb; is this a model bundle?")
    for name in names:
        data = _read(uri, posixpath.join(SAVED_MODEL, name))
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    digest.update(_read(uri, VOCABULARY))
    return digest.hexdigest()


def _read(uri: str, name: str) -> bytes:
    path = FileSystems.join(uri, name)
    try:
        with plain_errors(), FileSystems.open(path, compression_type="uncompressed") as stream:
            return stream.read()
    except OSError as error:
        raise BundleError(f"{uri}: cannot read {name} ({error}). Is this a model bundle?") from error
