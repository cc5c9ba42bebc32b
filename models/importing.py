"""Importing classifiers of others, as ONNX files, to bundles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from movie_tags import storage
from movie_tags.models.bundle import ONNX, BundleError, write_card, write_vocabulary
from movie_tags.models.runtimes.onnx_model import (
    CARD_KEY,
    Preprocessing,
    check_takes_pictures,
    classify,
    open_session,
)
from movie_tags.wording import number


def import_onnx(
    file: str, vocabulary: Sequence[str], size: tuple[int, int], preprocessing: Preprocessing, folder: str, card: dict
) -> None:
    """Make a bundle of an ONNX classifier, once it has answered to a picture.

    Args:
        file: the model, local or remote.
        vocabulary: the tags in the order of its outputs.
        size: height and width, in pixels, to which pictures are squeezed.
        preprocessing: how it takes pictures.
        folder: the bundle, local or remote.
        card: what `model.json` is to say besides.

    Raises:
        BundleError: it cannot be read, or run so, or does not give one probability, 0 to 1, for each tag.
        OSError: the bundle cannot be written.
    """
    try:
        data = storage.read_bytes(file)
    except OSError as error:
        raise BundleError(f"{file}: the model cannot be read: {storage.plainly(error)}") from error
    session = open_session(data, file)
    check_takes_pictures(session, file)
    try:
        found = classify(session, np.full((*size, 3), 128, np.uint8), preprocessing)
    except Exception as error:  # ONNX Runtime's errors have no class in common
        raise BundleError(f"{file}: does not run on pictures taken so ({str(error).splitlines()[0][:300]})") from error
    if found.shape != (len(vocabulary),):
        raise BundleError(
            f"{file}: gives {number(found.size, 'output')}, but the vocabulary has {number(len(vocabulary), 'tag')}"
        )
    if not (np.isfinite(found).all() and (found >= 0).all() and (found <= 1).all()):
        raise BundleError(f"{file}: its outputs are no probabilities; add --sigmoid or --softmax")
    storage.make_folder(folder)
    storage.write_bytes(storage.join(folder, ONNX), data)
    write_vocabulary(folder, vocabulary)
    write_card(folder, {"input_size": list(size), **card, CARD_KEY: preprocessing.to_card()})
