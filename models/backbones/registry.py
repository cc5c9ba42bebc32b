"""The registry of backbones: networks known by name, each with its weights. Training and building bundles share it.

A new backbone is a module of this folder that gives `load` and the digest of its weights, a line in BACKBONES and a
test. Any network of keras.applications needs no line: `movie_tags.models.backbones.applications`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from movie_tags.errors import UserError
from movie_tags.models.backbones import compact, efficientnet_lite

if TYPE_CHECKING:
    from movie_tags.models.backbones.frozen import FrozenNetwork
    from movie_tags.models.backbones.low_level import LowLevel


class BackboneError(UserError):
    """A backbone or its weights that cannot be had; the message says what to do."""


@dataclass(frozen=True)
class RegisteredBackbone:
    """A backbone that is known by name.

    Attributes:
        name: as `model.json` and `--backbone` spell it.
        size: side, in pixels, of the pictures that it is shown unless another is asked for.
        width: how many features it gives a picture.
        digest: gives the SHA-256, in hex, of its weights; raises UserError where they are known to be missing.
        half: whether its weights are numbers of 16 bits, so that LiteRT may keep them so.
        load: loads the network, and imports TensorFlow; raises UserError where its weights are not there.
    """

    name: str
    size: int
    width: int
    digest: Callable[[], str]
    load: Callable[[], FrozenNetwork | LowLevel]
    half: bool = False


LOW_LEVEL = b"low_level 1"
"""Goes up when the numbers of `low_level` become others: they have no weights to tell them by."""


def _low_level_digest() -> str:
    return hashlib.sha256(LOW_LEVEL).hexdigest()


def _low_level() -> LowLevel:
    from movie_tags.models.backbones.low_level import LowLevel

    return LowLevel()


BACKBONES = {
    backbone.name: backbone
    for backbone in (
        RegisteredBackbone("compact", 192, efficientnet_lite.FEATURES, compact.digest, compact.load, True),
        RegisteredBackbone("low_level", 112, 120, _low_level_digest, _low_level, True),
        *(
            RegisteredBackbone(
                name,
                variant.size,
                efficientnet_lite.FEATURES,
                partial(getattr, variant, "sha256"),
                partial(efficientnet_lite.load_frozen, name),
                True,
            )
            for name, variant in efficientnet_lite.VARIANTS.items()
        ),
    )
}


def plain_name(name: str) -> str:
    """A backbone's name without case, hyphens and underscores: `EfficientNet-Lite0` -> `efficientnetlite0`."""
    return name.lower().replace("_", "").replace("-", "")


def registered(name: str) -> RegisteredBackbone | None:
    """The registered backbone of that name, in any spelling; None where there is none."""
    return {plain_name(known): backbone for known, backbone in BACKBONES.items()}.get(plain_name(name))
