"""Features quantised: a vector as few bytes, from which it comes back close enough for a head to say the same.

By square roots to nine bits a number, which changes the tags of about one key frame in a thousand or fewer
(`benchmarks/features.py`); Parquet's compression brings them to some 2.4 kB.
"""

from __future__ import annotations

import struct

import numpy as np

BLOCK = 640
"""Numbers that share a scale."""
_HEADER = struct.Struct("<HB")
_LEVELS = {False: 511, True: 255}
"""Of numbers none of which is below 0, and of those some of which are: either way they fill nine bits."""


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
    try:
        width, signed = _HEADER.unpack_from(data)
        blocks = -(-width // BLOCK)
        scales = np.frombuffer(data, "<f4", blocks, _HEADER.size)
        begin = _HEADER.size + scales.nbytes
        high = np.frombuffer(data, np.uint8, width, begin)
        low = np.unpackbits(np.frombuffer(data, np.uint8, -(-width // 8), begin + width))[:width]
    except (struct.error, ValueError) as error:
        raise ValueError("these bytes are no features") from error
    levels = _LEVELS[bool(signed)]
    codes = (high.astype(np.int16) * 2 + low - (levels if signed else 0)).astype(np.float32) / levels
    return np.sign(codes) * np.square(codes) * np.repeat(scales, BLOCK)[:width]
