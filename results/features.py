"""Features of key frames, kept: what was seen of a film, so that another head can say something else of it undecoded.

A vector is quantised by square roots to nine bits a number, which changes the tags of about one key frame in ten
thousand; in Parquet it takes some 2.4 kB. A part's features lie in its folder and never change; the manifest says
which part has a film's.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from movie_tags import storage

FEATURES = "features"
"""What the names of a part's files of them begin with."""
BLOCK = 640
"""Numbers that share a scale."""
_HEADER = struct.Struct("<HB")
_LEVELS = {False: 511, True: 255}
"""Of numbers none of which is below 0, and of those some of which are: either way they fill nine bits."""


@dataclass(frozen=True)
class KeyFrameFeatures:
    """A row of features.

    Attributes:
        id: of the video.
        time_s: of the key frame, seconds after the video's first frame.
        features: as `quantise` gives them.
    """

    id: str
    time_s: float
    features: bytes


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


def parquet_schema():
    """The columns of a file of features."""
    import pyarrow as pa

    return pa.schema([("id", pa.string()), ("time_s", pa.float64()), ("features", pa.binary())])


def read(part: str, wanted: Collection[str] | None = None) -> Iterator[KeyFrameFeatures]:
    """The features in a part's folder, in no order; of some videos alone, or of all.

    Raises:
        OSError: they cannot be read.
    """
    for path in storage.list_folder(part, f"{FEATURES}*.parquet"):
        with storage.open_seekable(path) as file:
            yield from _read(file, wanted)


def _read(file, wanted: Collection[str] | None) -> Iterator[KeyFrameFeatures]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(file).iter_batches(1024):
        for row in batch.to_pylist():
            if wanted is None or row["id"] in wanted:
                yield KeyFrameFeatures(**row)


def matrix(rows: Iterable[KeyFrameFeatures]) -> np.ndarray:
    """Features as float32 [N, F]."""
    return np.stack([restore(row.features) for row in rows])
