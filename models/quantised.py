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
_SQUARES = np.square(np.arange(512, dtype=np.float32) / np.float32(_LEVELS[False]))
"""What the codes of numbers none of which is below 0 stand for."""


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
    try:
        width, _ = _HEADER.unpack_from(rows[0])
        data = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), len(rows[0]))
        if len({len(row) for row in rows}) > 1 or (data[:, :2] != data[0, :2]).any():
            raise ValueError
        starts = np.cumsum([_HEADER.size, 4 * -(-width // BLOCK), width, -(-width // 8)])
        if starts[-1] != data.shape[1]:
            raise ValueError
    except (struct.error, ValueError) as error:
        raise ValueError("these bytes are no features") from error
    _, scales, high, low, _ = np.split(data, starts, 1)
    signed = data[:, 2].astype(bool)[:, None]
    codes = (high.astype(np.int16) << 1) | np.unpackbits(low, axis=1, count=width)
    scales = np.repeat(np.ascontiguousarray(scales).view("<f4"), BLOCK, 1)[:, :width]
    if not signed.any():
        return _SQUARES[codes] * scales
    levels = np.where(signed, _LEVELS[True], _LEVELS[False]).astype(np.int16)
    values = (codes - levels * signed).astype(np.float32) / levels.astype(np.float32)
    return np.sign(values) * np.square(values) * scales
