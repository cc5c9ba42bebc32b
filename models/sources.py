"""What a bundle of ours is put together from: a head that is kept in the repository, on backbones whose weights are."""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from movie_tags.models.backbones.compact_weights import BODY
from movie_tags.models.backbones.efficientnet_lite import VARIANTS
from movie_tags.models.bundle import MADE_FROM, MODEL_JSON, VIEWS, VOCABULARY, BundleError, fingerprint_of_sources
from movie_tags.models.views import CUTS, View, canvas_size

HEAD = "head.npz"
FEATURES = "features"
"""Where `model.json` says which features the head takes: {"views": [{"backbone", "view", "size"}], "combine",
"scales"}."""

COMPACT, COMPACT_SIZE = "compact", 128
CONCAT, MEAN = "concat", "mean"
PLAIN, ROOT4, UNIT = "plain", "root4", "unit"
"""How a head takes a feature: as it is; its fourth root, 0 for what is below 0; divided by the root mean square of its
backbone's."""
RECIPE = 1
"""Goes up when the same sources are put together to another model."""

ANSWERS = ("sigmoid", "softmax")


@dataclass(frozen=True)
class Look:
    """One backbone, and the view that it is shown."""

    backbone: str
    view: View


@dataclass(frozen=True)
class Source:
    """The sources of a bundle.

    Attributes:
        vocabulary: the tags in the order of the outputs.
        looks: what the features are made of.
        combine: CONCAT, features side by side in the order of the looks, or MEAN.
        scales: how the head takes the features: the kernel has rows for all of them in the first way, in the second …
        kernel: float32 [width, tags].
        bias: float32 [tags].
        answer: what turns features · kernel + bias into probabilities, of ANSWERS.
        card: `model.json` of the bundle to be, without what depends on the machine.
    """

    vocabulary: tuple[str, ...]
    looks: tuple[Look, ...]
    combine: str
    scales: tuple[str, ...]
    kernel: np.ndarray
    bias: np.ndarray
    answer: str
    card: dict

    @property
    def fingerprint(self) -> str:
        """That of the bundle to be, on any machine."""
        return fingerprint_of_sources(self.card, self.vocabulary)


def read_source(folder: str | os.PathLike) -> Source:
    """Read and check a folder of sources: HEAD, `vocabulary.txt` and `model.json`.

    Raises:
        BundleError: a part is missing or malformed, or they do not go together.
    """
    folder = Path(folder)
    try:
        said = json.loads((folder / MODEL_JSON).read_text("utf-8"))
        lines = (folder / VOCABULARY).read_text("utf-8").splitlines()
        head = (folder / HEAD).read_bytes()
        with np.load(io.BytesIO(head), allow_pickle=False) as arrays:
            kernel, bias = (np.asarray(arrays[name], np.float32) for name in ("kernel", "bias"))
        looks = tuple(_look(view) for view in said[FEATURES]["views"])
        combine, scales = said[FEATURES].get("combine", CONCAT), tuple(said[FEATURES].get("scales", (PLAIN,)))
        answer = said.get("activation", "sigmoid")
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{folder}: no sources of a bundle ({type(error).__name__}: {error})") from error
    vocabulary = tuple(line.strip() for line in lines if line.strip())
    known = scales and {PLAIN, ROOT4, UNIT}.issuperset(scales)
    if not looks or combine not in (CONCAT, MEAN) or not known or answer not in ANSWERS:
        raise BundleError(
            f"{folder}: '{FEATURES}' in {MODEL_JSON} must name views, combine them by concat or mean, and take them "
            "as plain, root4 or unit"
        )
    if kernel.ndim != 2 or kernel.shape[1:] != (len(vocabulary),) or bias.shape != (len(vocabulary),):
        raise BundleError(
            f"{folder}: {HEAD} has a kernel {list(kernel.shape)} and a bias {list(bias.shape)} for "
            f"{len(vocabulary)} tags"
        )
    views = [look.view for look in looks]
    card = {
        "input_size": list(canvas_size(views)),
        VIEWS: [{"view": view.cut, "size": list(view.size)} for view in views],
        **said,
        MADE_FROM: {
            "recipe": RECIPE,
            "head": hashlib.sha256(head).hexdigest(),
            FEATURES: said[FEATURES],
            "activation": answer,
            "weights": {look.backbone: weights_hash(look.backbone) for look in looks},
        },
    }
    return Source(vocabulary, looks, combine, scales, kernel, bias, answer, card)


def _look(said: dict) -> Look:
    backbone, cut = said["backbone"], said["view"]
    own = COMPACT_SIZE if backbone == COMPACT else VARIANTS[backbone].size
    height, width = said.get("size", (own, own))
    if cut not in CUTS:
        raise ValueError(f"there is no view {cut!r}; views are {', '.join(CUTS)}")
    return Look(backbone, View(cut, (int(height), int(width))))


def weights_hash(backbone: str) -> str:
    """SHA-256, in hex, of the file that holds a backbone's weights."""
    return hashlib.sha256(BODY.read_bytes()).hexdigest() if backbone == COMPACT else VARIANTS[backbone].sha256
