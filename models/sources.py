"""Sources of our bundles: a head that is kept in the repository, and the registered backbones that it stands on."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from movie_tags.models.backbones.registry import BACKBONES
from movie_tags.models.bundle import (
    FEATURES_FINGERPRINT,
    HEAD,
    HEAD_CARD,
    MADE_FROM,
    MODEL_JSON,
    VIEWS,
    VOCABULARY,
    BundleError,
    fingerprint_of_sources,
    views_card,
)
from movie_tags.models.heads import PLAIN, LinearHead, kernel_and_bias
from movie_tags.models.views import CUTS, View, canvas_size

FEATURES = "features"
"""Where `model.json` of sources says which features the head takes: {"views": [{"backbone", "view", "size"}],
"combine", "scales"}. A backbone may stand there several times, with other views."""

CONCAT, MEAN = "concat", "mean"
RECIPE = 4
"""Goes up when the same sources are put together to another model."""


@dataclass(frozen=True)
class BackboneView:
    """One backbone of the registry, and the view that it is shown."""

    backbone: str
    view: View


@dataclass(frozen=True)
class Source:
    """The sources of a bundle.

    Attributes:
        vocabulary: the tags in the order of the outputs.
        inputs: what the features are made of.
        combine: CONCAT, features side by side in the order of the inputs, or MEAN.
        head: what is learned on them.
        card: `model.json` of the bundle to be, without what depends on the machine.
    """

    vocabulary: tuple[str, ...]
    inputs: tuple[BackboneView, ...]
    combine: str
    head: LinearHead
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
        data = (folder / HEAD).read_bytes()
        inputs = tuple(_input(view) for view in said[FEATURES]["views"])
        combine = said[FEATURES].get("combine", CONCAT)
        if not inputs or combine not in (CONCAT, MEAN):
            raise ValueError(f"'{FEATURES}' in {MODEL_JSON} must name views, and combine them by concat or mean")
        head = _head(data, inputs, combine, said)
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{folder}: no sources of a bundle ({type(error).__name__}: {error})") from error
    vocabulary = tuple(line.strip() for line in lines if line.strip())
    if len(head.bias) != len(vocabulary):
        raise BundleError(f"{folder}: {HEAD} gives {len(head.bias)} outputs for {len(vocabulary)} tags")
    return Source(vocabulary, inputs, combine, head, _card(said, inputs, head, hashlib.sha256(data).hexdigest()))


def _input(said: dict) -> BackboneView:
    name, cut = said["backbone"], said["view"]
    if name not in BACKBONES:
        raise ValueError(f"there is no backbone {name!r}; those known are {', '.join(BACKBONES)}")
    if cut not in CUTS:
        raise ValueError(f"there is no view {cut!r}; views are {', '.join(CUTS)}")
    height, width = said.get("size", (BACKBONES[name].size,) * 2)
    return BackboneView(name, View(cut, (int(height), int(width))))


def _head(data: bytes, inputs: tuple[BackboneView, ...], combine: str, said: dict) -> LinearHead:
    kernel, bias = kernel_and_bias(data)
    widths = tuple(BACKBONES[part.backbone].width for part in inputs)
    scales = tuple(said[FEATURES].get("scales", (PLAIN,)))
    return LinearHead(
        kernel, bias, widths[:1] if combine == MEAN else widths, scales, said.get("activation", "sigmoid")
    )


def _card(said: dict, inputs: tuple[BackboneView, ...], head: LinearHead, digest: str) -> dict:
    views = [part.view for part in inputs]
    weights = {part.backbone: weights_hash(part.backbone) for part in inputs}
    seen = {name: value for name, value in said[FEATURES].items() if name != "scales"}
    return {
        "input_size": list(canvas_size(views)),
        VIEWS: views_card(views),
        **said,
        HEAD_CARD: head.to_card(),
        FEATURES_FINGERPRINT: _digest_of({"recipe": RECIPE, FEATURES: seen, "weights": weights}),
        MADE_FROM: {"recipe": RECIPE, "head": digest, FEATURES: said[FEATURES], "weights": weights},
    }


def _digest_of(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def weights_hash(backbone: str) -> str:
    """SHA-256, in hex, of the file that holds a registered backbone's weights."""
    return BACKBONES[backbone].digest()
