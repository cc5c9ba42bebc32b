"""Nearest neighbours by cosine, on arrays: sketches find candidates, the vectors themselves put them in order.

Vectors of up to WHOLE numbers, at length 1, are rotated at random, which spreads them evenly over all numbers, and kept
in half a byte a number: the product with any direction of length 1 has a standard error of about 0.11 / sqrt(numbers),
small enough to tell pictures that fit a text from those that do not. Longer ones are projected at random (Johnson and
Lindenstrauss 1984) to fewer numbers, of length 1 and in bytes: their cosines have a standard error of about
(1 - cosine squared) / sqrt(SKETCH), least where vectors are alike.
"""

from __future__ import annotations

import functools

import numpy as np

WHOLE = 1536
"""The most numbers of a vector that is kept whole: embeddings of pictures and words have fewer."""
SKETCH = 256
"""Numbers of a projection: twice as many double what is scanned, half as many lose every thirtieth neighbour."""
SEED = 21
_STEP = 0.335
"""Between the sixteen values of half a byte, in standard deviations: the least error of normal numbers (Max 1960)."""
_MIDDLE = 7.5
_SCALE = 381.0
"""Steps of a byte for 1: a number beyond a third, more than five standard deviations, is clipped."""
BLOCK = 2**18
"""Numbers that are compared at a time: as floats they fit into a core's cache."""


@functools.lru_cache(maxsize=2)
def projection(width: int) -> np.ndarray:
    """The random projection, float32 [width, SKETCH]: the same on every machine (RandomState's stream is frozen)."""
    return np.random.RandomState(SEED).standard_normal((width, SKETCH)).astype(np.float32)


@functools.lru_cache(maxsize=2)
def rotation(width: int) -> np.ndarray:
    """The random rotation, float32 [width, width], orthogonal: the same on every machine but for rounding."""
    return np.linalg.qr(np.random.RandomState(SEED).standard_normal((width, width)))[0].astype(np.float32)


def sketch(vectors: np.ndarray) -> np.ndarray:
    """The sketches of vectors, float32 [N, F]: int8 [N, SKETCH], or of up to WHOLE numbers uint8 [N, F / 2 upwards].

    Half a byte holds a number of the first half of the rotated ones, the other half, the low one, of the second.
    """
    width = vectors.shape[1]
    if width > WHOLE:
        return np.rint(unit(vectors @ projection(width)) * _SCALE).clip(-127, 127).astype(np.int8)
    spread = unit(vectors) @ rotation(width) * np.float32(np.sqrt(width))
    codes = np.rint(spread / _STEP + _MIDDLE).clip(0, 15).astype(np.uint8)
    first, second = _halves(codes)
    return (first << 4) | second


def _halves(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns [N, F] in two parts of equal width, with a column of nought at the end of an odd number."""
    even = np.pad(columns, ((0, 0), (0, columns.shape[1] % 2)))
    half = even.shape[1] // 2
    return even[:, :half], even[:, half:]


def compare(sketches: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """About the products of vectors that were sketched, at length 1, with directions.

    Args:
        sketches: of `sketch`; may be mapped from a file.
        directions: float32 [F, K], of any length.

    Returns:
        float32 [N, K].
    """
    whole = sketches.dtype == np.uint8
    weights, offset = _of_rotated(directions) if whole else _of_projected(directions)
    found = np.empty((len(sketches), directions.shape[1]), np.float32)
    stored, rows = sketches.shape[1], max(1, BLOCK // len(weights))
    block, high = np.empty((rows, len(weights)), np.float32), np.empty((rows, stored), np.uint8)
    for begin in range(0, len(sketches), rows):
        part = sketches[begin : begin + rows]
        here = block[: len(part)]
        np.copyto(here[:, :stored], part)
        if whole:
            np.copyto(here[:, stored:], np.right_shift(part, 4, out=high[: len(part)]))
        np.matmul(here, weights, out=found[begin : begin + len(part)])
    return found + offset


def _of_projected(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What bytes of a projection are multiplied by, float32 [SKETCH, K], and what is added, float32 [K]."""
    projected = unit(directions.T @ projection(len(directions))).T
    lengths = np.linalg.norm(directions, axis=0)
    return projected * (lengths / np.float32(_SCALE)), np.zeros(len(lengths), np.float32)


def _of_rotated(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What bytes, and then their higher halves, are multiplied by, float32 [about F, K]; what is added, float32 [K]."""
    width = len(directions)
    rotated = (directions.T @ rotation(width)) * np.float32(_STEP / np.sqrt(width))
    first, second = _halves(rotated)
    # A byte is 16 · high + low, so that low · second + high · first is byte · second + high · (first - 16 · second).
    return np.concatenate([second, first - 16 * second], 1).T.copy(), rotated.sum(1) * np.float32(-_MIDDLE)


def products(vectors: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The products of vectors, float [N, F], brought to length 1, with directions, float [F, K]: float64 [N, K].

    Nought stays nought.
    """
    return unit(vectors.astype(np.float64)) @ directions


def largest(scores: np.ndarray, count: int) -> np.ndarray:
    """The places of the largest scores, int64 [at most count], in order of place; those of -inf are passed over."""
    if count < len(scores):
        places = np.sort(np.argpartition(scores, len(scores) - count)[len(scores) - count :])
    else:
        places = np.arange(len(scores))
    return places[scores[places] > -np.inf]


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows, float [N, F], brought to length 1; nought stays nought."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, lengths.dtype.type(1))
