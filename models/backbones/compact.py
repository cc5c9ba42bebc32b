"""The compact network: EfficientNet-Lite0, of which we tuned all but the first blocks on film.

The first blocks have the published weights (`efficientnet_lite`). The convolutions from block FIRST on were learned
further by `recipes/tune_compact.py`; normalisations are folded into them, and they are kept in 16 bits. Keras is
imported when the network is built.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from movie_tags.models.backbones import efficientnet_lite
from movie_tags.models.backbones.efficientnet_lite import WeightsError

if TYPE_CHECKING:
    import keras

    from movie_tags.models.backbones.frozen import FrozenNetwork

PUBLISHED = "efficientnet_lite0"
FIRST = 5
"""The first block of ours, of 16: with it the fourth stage begins. What is below tells edges and textures."""
SIZE = (160, 224)
"""Height and width, in pixels, of the pictures it was tuned on."""
BODY = Path(__file__).resolve().parents[1] / "compact" / "body.npz"


def is_tuned(layer: str) -> bool:
    """Whether the network's layer of that name is one of those that were tuned."""
    return layer.startswith("head") or (layer.startswith("block") and int(layer[5:].split("_")[0]) >= FIRST)


def write_body(path: Path, model: keras.Model) -> None:
    """Write what was tuned of a network, which is folded in place: by layer a kernel, or a normalisation's offset."""
    efficientnet_lite.fold_in_half(model)
    layers = [layer for layer in model.layers if layer.weights and is_tuned(layer.name)]
    kept = {layer.name: layer.get_weights()[_place(layer.name)].astype(np.float16) for layer in layers}
    np.savez_compressed(path, **kept)


def _place(layer: str) -> int:
    """Which of a layer's weights is not that of any folded network: of a normalisation its offset."""
    return 1 if layer.endswith("_bn") else 0


def digest(path: Path = BODY) -> str:
    """SHA-256, in hex, of all its weights: those of the package and ours."""
    ours = hashlib.sha256(path.read_bytes()).hexdigest()
    return hashlib.sha256(f"{efficientnet_lite.VARIANTS[PUBLISHED].sha256} {FIRST} {ours}".encode()).hexdigest()


def load(path: Path = BODY) -> FrozenNetwork:
    """The compact network, for pictures of any size.

    Raises:
        WeightsError: the package of the published weights is not installed, or weights are not as they should be.
    """
    from movie_tags.models.backbones.frozen import FrozenNetwork

    model = efficientnet_lite.load(PUBLISHED)
    efficientnet_lite.fold_in_half(model)
    try:
        with np.load(path, allow_pickle=False) as ours:
            set_tuned(model, {name: ours[name].astype(np.float32) for name in ours.files})
    except (EOFError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path}: not the weights of this version; install movie-tags anew ({error})") from error
    return FrozenNetwork(model)


def set_tuned(model: keras.Model, ours: Mapping[str, np.ndarray]) -> None:
    """Put tuned weights into a folded network.

    Raises:
        ValueError: those of a layer are missing, left over or of another shape.
    """
    wanted = {layer.name: layer for layer in model.layers if layer.weights and is_tuned(layer.name)}
    if wanted.keys() != ours.keys():
        raise ValueError(f"weights of {sorted(wanted.keys() ^ ours.keys())[0]} are there or wanted, not both")
    for name, layer in wanted.items():
        values = layer.get_weights()
        values[_place(name)] = ours[name]
        layer.set_weights(values)
