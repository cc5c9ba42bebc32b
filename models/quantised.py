"""Features quantised: a vector as few bytes, from which it comes back close enough for a head to say the same.

By square roots to nine bits a number, which changes the tags of about one key frame in a thousand or fewer
(`benchmarks/features.py`); Parquet's compression brings them to some 2.4 kB.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

BLOCK = 640
"""Numbers that share a scale."""
_HEADER = struct.Struct("<HB")
_LEVELS = {False: 511, True: 255}
"""Of numbers none of which is below 0, and of those some of which are: either way they fill nine bits."""
AT_ONCE = 64
"""Vectors that are compared at a time: as floats they fit into a core's cache."""


def quantise(features: np.ndarray) -> bytes:
    """A vector, float32 [F] with F below 65,536, as bytes: its width, scales and codes.

    Raises:
        ValueError: it has a number that is not finite.
    """
    values = np.asarray(features, np.float32)
    if not np.isfinite(values).all():
        raise ValueError("a feature is not finite")
    signed = bool((values < 0).any())
    scales = np.array([np.abs(block).max() for block in _blocks(values)], "<f4")
    relative = np.abs(values) / np.repeat(np.where(scales, scales, 1), BLOCK)[: len(values)]
    codes = np.rint(np.sign(values) * np.sqrt(relative) * _LEVELS[signed]).astype(np.int16)
    codes = (codes + _LEVELS[signed] if signed else codes).astype(np.uint16)
    low = np.packbits((codes & 1).astype(np.uint8))
    return (
        _HEADER.pack(len(values), signed) + scales.tobytes() + (codes >> 1).astype(np.uint8).tobytes() + low.tobytes()
    )


def _blocks(values: np.ndarray) -> list[np.ndarray]:
    return np.split(values, range(BLOCK, len(values), BLOCK))


def restore(data: bytes) -> np.ndarray:
    """The vector that bytes stand for, float32 [F].

    Raises:
        ValueError: they stand for none.
    """
    return restore_all([data])[0]


def restore_all(rows: Sequence[bytes]) -> np.ndarray:
    """The vectors that rows of bytes stand for, float32 [N, F]: all as wide as each other; without rows [0, 0].

    Raises:
        ValueError: a row stands for no vector, or for one of another width.
    """
    if not rows:
        return np.zeros((0, 0), np.float32)
    if len({len(row) for row in rows}) > 1:
        raise ValueError("these bytes are no features")
    data = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), len(rows[0]))
    width = width_of(data)
    values = _roots(data, width)
    values /= np.where(data[:, 2, None], np.float32(_LEVELS[True]), np.float32(_LEVELS[False]))
    values *= np.abs(values)
    values *= np.repeat(_scales(data, width), BLOCK, 1)[:, :width]
    return values


def width_of(data: np.ndarray) -> int:
    """The width F of the vectors that rows of bytes, uint8 [N, B], stand for; 0 without rows.

    Raises:
        ValueError: they stand for none, or for vectors of several widths.
    """
    if not len(data):
        return 0
    if data.shape[1] >= _HEADER.size and not (data[:, :2] != data[0, :2]).any():
        width = int.from_bytes(data[0, :2].tobytes(), "little")
        if data.shape[1] == _codes_at(width) + width + -(-width // 8):
            return width
    raise ValueError("these bytes are no features")


def products(data: np.ndarray, directions: np.ndarray, columns: tuple[int, int] | None = None) -> np.ndarray:
    """The products of the vectors that rows of bytes stand for, at length 1, with directions; none is restored.

    Args:
        data: uint8 [N, B], each row as of `quantise`.
        directions: float32 [F, K].
        columns: of the vectors that count, the first and the one behind the last, F of them; None: all.

    Returns:
        float32 [N, K]; of nought it is 0.

    Raises:
        ValueError: a row stands for no vector, or for one of another width.
    """
    found = np.zeros((len(data), directions.shape[1]), np.float32)
    for begin in range(0, len(data), AT_ONCE):
        rows = data[begin : begin + AT_ONCE]
        width = width_of(rows)
        first, end = columns or (0, width)
        if end > width or end - first != len(directions):
            raise ValueError("these bytes are no features of that width")
        values, scales = _roots(rows, width), _scales(rows, width)
        values *= np.abs(values) if rows[:, 2].any() else values
        here, squares = np.zeros((len(rows), directions.shape[1]), np.float32), np.zeros(len(rows), np.float32)
        for k in range(first // BLOCK, -(-end // BLOCK)):
            left, right = max(first, k * BLOCK), min(end, (k + 1) * BLOCK)
            block, scale = values[:, left:right], scales[:, k]
            here += scale[:, None] * (block @ directions[left - first : right - first])
            squares += scale * scale * np.einsum("ij,ij->i", block, block)
        lengths = np.sqrt(squares)[:, None]
        np.divide(here, lengths, out=found[begin : begin + AT_ONCE], where=lengths > 0)
    return found


def _scales(data: np.ndarray, width: int) -> np.ndarray:
    """float32 [N, blocks]."""
    return np.ascontiguousarray(data[:, _HEADER.size : _codes_at(width)]).view("<f4")


def _codes_at(width: int) -> int:
    """Where in a row the codes begin."""
    return _HEADER.size + 4 * -(-width // BLOCK)


def _roots(data: np.ndarray, width: int) -> np.ndarray:
    """The square roots of vectors with their signs, in steps, float32 [N, width]."""
    begin = _codes_at(width)
    codes = np.left_shift(data[:, begin : begin + width], 1, dtype=np.uint16)
    codes |= np.unpackbits(data[:, begin + width :], axis=1, count=width)
    values = codes.astype(np.float32)
    signed = data[:, 2, None].astype(bool)
    if signed.any():
        values -= np.where(signed, np.float32(_LEVELS[True]), np.float32(0))
    return values
