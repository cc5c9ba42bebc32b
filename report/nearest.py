"""Nearest neighbours by cosine, on arrays: sketches find candidates, the vectors themselves put them in order.

A sketch is a random projection (Johnson and Lindenstrauss 1984) to fewer numbers, of length 1 and in bytes. Its cosines
are those of the vectors with a standard error of about (1 - cosine squared) / sqrt(SKETCH): least where it matters.
"""

from __future__ import annotations

import functools

import numpy as np

SKETCH = 256
"""Numbers of a sketch: twice as many double what is scanned, half as many lose every thirtieth neighbour."""
SEED = 21
_SCALE = 381.0
"""Steps of a byte for 1: a number beyond a third, more than five standard deviations, is clipped."""
BLOCK = 1024
"""Sketches that are compared at a time: as floats they fit into a core's cache."""


@functools.lru_cache(maxsize=2)
def projection(width: int) -> np.ndarray:
    """The random projection, float32 [width, SKETCH]: the same on every machine (RandomState's stream is frozen)."""
    return np.random.RandomState(SEED).standard_normal((width, SKETCH)).astype(np.float32)


def project(vectors: np.ndarray) -> np.ndarray:
    """Vectors, float32 [N, F], projected and brought to length 1, float32 [N, SKETCH]; nought stays nought."""
    return _unit(vectors @ projection(vectors.shape[1]))


def sketch(vectors: np.ndarray) -> np.ndarray:
    """The sketches of vectors, float32 [N, F] -> int8 [N, SKETCH]."""
    return np.rint(project(vectors) * _SCALE).clip(-127, 127).astype(np.int8)


def compare(sketches: np.ndarray, query: np.ndarray) -> np.ndarray:
    """About the cosines of a vector with those that were sketched.

    Args:
        sketches: int8 [N, SKETCH]; may be mapped from a file.
        query: float32 [F].

    Returns:
        float32 [N].
    """
    projected = project(query[None])[0] / np.float32(_SCALE)
    found = np.empty(len(sketches), np.float32)
    block = np.empty((BLOCK, SKETCH), np.float32)
    for begin in range(0, len(sketches), BLOCK):
        rows = sketches[begin : begin + BLOCK]
        np.copyto(block[: len(rows)], rows)
        np.matmul(block[: len(rows)], projected, out=found[begin : begin + len(rows)])
    return found


def cosines(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The cosines of a vector, float32 [F], with others, float32 [N, F]: float32 [N]; with nought it is 0."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors)) * np.float32(np.linalg.norm(query))
    return vectors @ query / np.where(lengths > 0, lengths, np.float32(1))


def largest(scores: np.ndarray, count: int) -> np.ndarray:
    """The places of the largest scores, int64 [at most count], in order of place; those of -inf are passed over."""
    if count < len(scores):
        places = np.sort(np.argpartition(scores, len(scores) - count)[len(scores) - count :])
    else:
        places = np.arange(len(scores))
    return places[scores[places] > -np.inf]


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, np.float32(1))
