"""Features of key frames, kept: what was seen of a film, so that another head can say something else of it undecoded.

A part's features lie in its folder, beside its tables; the manifest says which part has a film's. They never change,
and go where no film needs a part's any more (`collect_garbage`, after a pruning).
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import BinaryIO

from movie_tags import storage
from movie_tags.records import KeyFrameFeatures
from movie_tags.results.reading import RUNS

FEATURES = "features"
"""What the names of a part's files of them begin with."""
ROWS = 1024
"""Rows that are read at a time, of a few narrow columns."""
ROW_GROUP = 64
"""Rows of a group of Parquet: a few key frames are read without the others of their file. Whole rows, too, are read so
many at a time, which costs less than more."""


def files_of(part: str) -> list[str]:
    """The files of features in a part's folder.

    Raises:
        OSError: the storage does not say.
    """
    return storage.list_folder(part, f"{FEATURES}*.parquet")


def read(part: str, wanted: Collection[str] | None = None) -> Iterator[KeyFrameFeatures]:
    """The features in a part's folder, in no order; of some videos alone, or of all.

    Raises:
        OSError: they cannot be read.
    """
    for path in files_of(part):
        with storage.plain_errors(), storage.open_seekable(path) as file:
            yield from _read(file, wanted)


def _read(file: BinaryIO, wanted: Collection[str] | None) -> Iterator[KeyFrameFeatures]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(file).iter_batches(ROW_GROUP):
        ids = batch["id"].to_pylist()
        for start, end in _stretches(ids, wanted):
            rows = batch.slice(start, end - start)
            columns = ids[start:end], rows["time_s"].to_pylist(), rows["features"].to_pylist()
            for id, time_s, features in zip(*columns, strict=True):
                yield KeyFrameFeatures(time_s, features, id=id)


def _stretches(ids: Sequence[str], wanted: Collection[str] | None) -> Iterator[tuple[int, int]]:
    """Where rows that are wanted follow each other: what others there are is not made objects of."""
    start = 0
    for is_wanted, run in itertools.groupby(ids, key=lambda id: wanted is None or id in wanted):
        end = start + sum(1 for _ in run)
        if is_wanted:
            yield start, end
        start = end


def batches(path: str, columns: Sequence[str]) -> Iterator[list[list]]:
    """Columns of a file of features, some rows at a time, in the file's order: times in seconds, features as bytes.

    Raises:
        OSError: it cannot be read.
    """
    import pyarrow.parquet as pq

    with storage.plain_errors(), storage.fetch(path) as local, pq.ParquetFile(local) as file:
        for batch in file.iter_batches(ROWS, columns=list(columns)):
            yield [batch[name].to_pylist() for name in columns]


def collect_garbage(folder: str, needed: Iterable[str]) -> int:
    """Garbage collection: remove the features of parts that no film's entry in the manifest names; how many files.

    Args:
        folder: of results.
        needed: what entries name, addresses relative to the folder.

    Raises:
        OSError: the storage does not say, or does not remove them.
    """
    kept = set(needed)
    removed = 0
    runs = storage.join(folder, RUNS)
    for run in storage.list_folders(runs):
        for part in storage.list_folders(storage.join(runs, run)):
            if f"{RUNS}/{run}/{part}" not in kept:
                files = files_of(storage.join(runs, run, part))
                storage.remove(files)
                removed += len(files)
    return removed
