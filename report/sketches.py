"""Sketches of the key frames of a part, kept in the cache folder: made once, for a part's features never change.

CACHE/sketches/FOLDER/PART/sketches.npy    [rows, bytes], of `nearest.sketch`, in the order of the files of features
CACHE/sketches/FOLDER/PART/rows.npy        ROW [rows]
CACHE/sketches/FOLDER/PART/part.json       the films, and the files with how many rows each has

Where features are those of several models side by side, the columns of one are sketched by themselves: another FOLDER.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.machine import cache
from movie_tags.models.quantised import restore_all
from movie_tags.report.nearest import SEED, SKETCH, sketch
from movie_tags.results import features
from movie_tags.results.reading import read_table

Columns = tuple[int, int]
"""The first of some columns of the features, and the one behind the last."""

ROW = np.dtype([("film", "<i4"), ("time_s", "<f8"), ("shot_start_s", "<f8"), ("shot_end_s", "<f8")])
"""Of a key frame: which of the part's films, and its times."""


@dataclass(frozen=True)
class PartSketches:
    """What is kept of a part.

    Attributes:
        part: its folder of results.
        films: their ids.
        files: of features, by name: how many rows each has.
        rows: ROW [N].
        sketches: of `nearest.sketch`, mapped from the file.
    """

    part: str
    films: tuple[str, ...]
    files: dict[str, int]
    rows: np.ndarray
    sketches: np.ndarray

    def vectors(self, places: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(places, their features float32 [n, F]) piece by piece, of rows in ascending order.

        Raises:
            OSError, ValueError: the features cannot be read.
        """
        begin = 0
        for name, rows in self.files.items():
            here = places[(places >= begin) & (places < begin + rows)]
            if len(here):
                for found, vectors in _vectors(storage.join(self.part, name), here - begin):
                    yield found + begin, vectors
            begin += rows


def _vectors(path: str, places: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """As `PartSketches.vectors`, of one file; of its groups those that hold the rows are read."""
    import pyarrow.parquet as pq

    with storage.plain_errors(), storage.open_seekable(path) as stream, pq.ParquetFile(stream) as file:
        ends = np.cumsum([file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)])
        groups = np.searchsorted(ends, places, "right")
        for group in np.unique(groups):
            here = places[groups == group]
            column = file.read_row_group(int(group), columns=["features"])["features"]
            first = int(ends[group]) - len(column)
            yield here, restore_all(column.take(here - first).to_pylist())


def open_sketches(folder: str, part: str, columns: Columns | None = None) -> PartSketches:
    """The sketches of a part, made where there are none.

    Args:
        folder: of results.
        part: a path in it.
        columns: of the features that are sketched; None: all.

    Raises:
        UserError: they cannot be kept.
        OSError, OutputError, ValueError: the part cannot be read.
    """
    kept = place(folder, columns) / _name(part)
    address = storage.join(folder, part)
    if not kept.is_dir():
        _keep(address, kept, columns)
    said = json.loads((kept / "part.json").read_text("utf-8"))
    rows, sketches = np.load(kept / "rows.npy"), np.load(kept / "sketches.npy", mmap_mode="r")
    return PartSketches(address, tuple(said["films"]), said["files"], rows, sketches)


def is_kept(folder: str, part: str, columns: Columns | None = None) -> bool:
    """Whether the sketches of a part are there."""
    return (place(folder, columns) / _name(part)).is_dir()


def place(folder: str, columns: Columns | None = None) -> Path:
    """Where the sketches of a folder of results are kept."""
    address = storage.identity(storage.canonical(folder))
    of = "" if columns is None else "{}-{} ".format(*columns)
    return cache() / "sketches" / _name(f"{SEED} {SKETCH} {of}{address}")


def forget(folder: str, needed: Collection[str], columns: Columns | None = None) -> None:
    """Remove the sketches of parts that are not needed any more."""
    names = set(map(_name, needed))
    with contextlib.suppress(FileNotFoundError):
        for kept in place(folder, columns).iterdir():
            if kept.name not in names and not kept.name.startswith(_UNFINISHED):
                shutil.rmtree(kept, ignore_errors=True)


_UNFINISHED = "unfinished-"


def _name(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:20]


def _keep(part: str, kept: Path, columns: Columns | None) -> None:
    """Make the sketches of a part, and put them in their place at once: atomic."""
    made = _make(part, columns)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=kept.parent))
        try:
            np.save(unfinished / "rows.npy", made.rows)
            np.save(unfinished / "sketches.npy", made.sketches)
            said = json.dumps({"films": made.films, "files": made.files})
            (unfinished / "part.json").write_text(said, "utf-8")
            _rename(unfinished, kept)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"{kept.parent}: what finds pictures alike cannot be kept there ({storage.plainly(error)}); "
            "MOVIE_TAGS_CACHE names another place"
        ) from error


def _rename(unfinished: Path, kept: Path) -> None:
    try:
        os.rename(unfinished, kept)
    except OSError:
        if not kept.is_dir():  # another process was as fast
            raise


def _make(part: str, columns: Columns | None) -> PartSketches:
    """The sketches of a part, in memory."""
    shots = {
        (row["id"], row["time_s"]): (row["shot_start_s"], row["shot_end_s"]) for row in read_table(part, "key_frames")
    }
    films: dict[str, int] = {}
    rows, sketches, files = [np.empty(0, ROW)], [], {}
    for path in features.files_of(part):
        count = 0
        for ids, times, vectors in features.batches(path):
            frames = [
                (films.setdefault(id, len(films)), time_s, *shots.get((id, time_s), (time_s, time_s)))
                for id, time_s in zip(ids, times, strict=True)
            ]
            rows.append(np.array(frames, ROW))
            sketches.append(sketch(restore_all(vectors)[:, slice(*columns or (None,))]))
            count += len(frames)
        files[storage.base_name(path)] = count
    together = np.concatenate(sketches) if sketches else np.empty((0, SKETCH), np.int8)
    return PartSketches(part, tuple(films), files, np.concatenate(rows), together)
