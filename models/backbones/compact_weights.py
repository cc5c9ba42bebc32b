"""The weights of the compact network, ours, as they are kept in the repository: arrays in 16 bits."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

BODY = Path(__file__).resolve().parents[1] / "compact" / "body.npz"


def write_body(path: Path, weights: list[np.ndarray]) -> None:
    """Write a network's weights, in Keras' order; matrices and convolutions as float16."""
    # Few numbers are saved by the small ones, and the scales of normalisation may be out of float16's range.
    kept = [array.astype(np.float16) if array.ndim > 1 else array.astype(np.float32) for array in weights]
    named: dict[str, Any] = {f"{i:03}": array for i, array in enumerate(kept)}
    np.savez_compressed(path, **named)


def read_body(path: Path = BODY) -> list[np.ndarray]:
    """A network's weights, float32, in Keras' order."""
    with np.load(path, allow_pickle=False) as arrays:
        return [arrays[name].astype(np.float32) for name in sorted(arrays.files)]


def digest(path: Path = BODY) -> str:
    """SHA-256, in hex, of the file of weights."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
