"""What finds key frames alike, kept part by part in the cache folder: made once, for a part's features never change.

CACHE/sketches/FOLDER/PART/part.json       the films, and the files of features with how many rows each has
CACHE/sketches/FOLDER/PART/rows.npy        ROW [rows], in the order of the files of features
CACHE/sketches/FOLDER/PART/features.bin    the rows' features as they are kept, uncompressed: where all are compared
CACHE/sketches/FOLDER/PART/sketches*.npy   [rows, bytes], of `nearest.sketch`: where sketches find candidates

Where features are those of several models side by side, the columns of one are sketched by themselves: another file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.machine import cache
from movie_tags.models import quantised
from movie_tags.report.nearest import SEED, SKETCH, compare, sketch
from movie_tags.results import features
from movie_tags.results.reading import OutputError, read_table

Columns = tuple[int, int]
"""The first of some columns of the features, and the one behind the last."""

ROW = np.dtype([("film", "<i4"), ("time_s", "<f8"), ("shot_start_s", "<f8"), ("shot_end_s", "<f8")])
"""Of a key frame: which of the part's films, and its times."""


FEATURES = "features.bin"
READ = 1024
"""Rows of features that are read at a time."""


@dataclass(frozen=True)
class Part:
    """A part, ready to be looked through.

    Attributes:
        address: its folder of results.
        place: its folder in the cache.
        films: their ids.
        files: of features, by name: how many rows each has.
        rows: ROW [N].
    """

    address: str
    place: Path
    films: tuple[str, ...]
    files: dict[str, int]
    rows: np.ndarray

    def lacks(self, exact: bool, columns: Columns | None = None) -> bool:
        """Whether what `products` goes by has still to be made."""
        return not (self.place / (FEATURES if exact else _sketches_of(columns))).exists()

    def products(self, directions: np.ndarray, columns: Columns | None, exact: bool) -> np.ndarray:
        """The products of all features, at length 1, with directions.

        Args:
            directions: float32 [F, K].
            columns: of the features that count, F of them; None: all.
            exact: by the features themselves; else about, by their sketches.

        Returns:
            float32 [N, K].

        Raises:
            UserError: what it goes by cannot be kept.
            OSError, OutputError, ValueError: the features cannot be read, or are not as wide.
        """
        if not exact:
            name = _sketches_of(columns)
            self._keep(name, lambda out: self._write_sketches(out, columns))
            return compare(np.load(self.place / name, mmap_mode="r"), directions)
        self._keep(FEATURES, self._write_features)
        found, done = np.empty((len(self.rows), directions.shape[1]), np.float32), 0
        with open(self.place / FEATURES, "rb") as file:
            width, odd = divmod(os.fstat(file.fileno()).st_size, len(found) or 1)
            if odd:
                raise ValueError("they are of several widths")
            while done < len(found):
                data = np.fromfile(file, np.uint8, READ * width).reshape(-1, width)
                found[done : done + len(data)] = quantised.products(data, directions, columns)
                done += len(data)
        return found

    def _write_features(self, out: IO[bytes]) -> None:
        for found in self._batches():
            out.write(b"".join(found))

    def _write_sketches(self, out: IO[bytes], columns: Columns | None) -> None:
        """As `np.save` would, a piece at a time."""
        for k, found in enumerate(self._batches()):
            made = sketch(quantised.restore_all(found)[:, slice(*columns or (None,))])
            if not k:
                kind = np.lib.format.dtype_to_descr(made.dtype)
                shape = (len(self.rows), made.shape[1])
                np.lib.format.write_array_header_1_0(out, {"descr": kind, "fortran_order": False, "shape": shape})
            out.write(made.tobytes())

    def _batches(self) -> Iterator[list[bytes]]:
        try:
            for name in self.files:
                for (found,) in features.batches(storage.join(self.address, name), ["features"]):
                    yield found
        except OSError as error:
            raise OutputError(f"{self.address}: features cannot be read: {storage.plainly(error)}") from error

    def _keep(self, name: str, write: Callable[[IO[bytes]], None]) -> None:
        """Make a file where there is none, atomic; what is looked through otherwise is needed no more."""
        if (self.place / name).exists():
            return
        with _kept_in(self.place), storage.create(str(self.place / name)) as out:
            write(out)
        for other in self.place.glob(_sketches_of(None, "*") if name == FEATURES else FEATURES):
            other.unlink(missing_ok=True)

    def vectors(self, places: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(places, their features float32 [n, F]) piece by piece, of rows in ascending order.

        Raises:
            OSError, ValueError: the features cannot be read.
        """
        begin = 0
        for name, rows in self.files.items():
            here = places[(places >= begin) & (places < begin + rows)]
            if len(here):
                for found, vectors in _vectors(storage.join(self.address, name), here - begin):
                    yield found + begin, vectors
            begin += rows


def _vectors(path: str, places: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """As `Part.vectors`, of one file; of its groups those that hold the rows are read."""
    import pyarrow.parquet as pq

    with storage.plain_errors(), storage.open_seekable(path) as stream, pq.ParquetFile(stream) as file:
        ends = np.cumsum([file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)])
        groups = np.searchsorted(ends, places, "right")
        for group in np.unique(groups):
            here = places[groups == group]
            column = file.read_row_group(int(group), columns=["features"])["features"]
            first = int(ends[group]) - len(column)
            yield here, quantised.restore_all(column.take(here - first).to_pylist())


def _sketches_of(columns: Columns | None, rest: str = "") -> str:
    return "sketches{}.npy".format(rest if columns is None else "-{}-{}".format(*columns))


def open_part(folder: str, part: str) -> Part:
    """A part; what says which rows it has is made where it is not there.

    Args:
        folder: of results.
        part: a path in it.

    Raises:
        UserError: it cannot be kept.
        OSError, OutputError, ValueError: the part cannot be read.
    """
    kept = place(folder) / _name(part)
    address = storage.join(folder, part)
    if not kept.is_dir():
        _keep_rows(address, kept)
    said = json.loads((kept / "part.json").read_text("utf-8"))
    return Part(address, kept, tuple(said["films"]), said["files"], np.load(kept / "rows.npy"))


def is_kept(folder: str, part: str) -> bool:
    """Whether there is anything of a part."""
    return (place(folder) / _name(part)).is_dir()


def place(folder: str) -> Path:
    """Where what is kept of a folder of results lies."""
    address = storage.identity(storage.canonical(folder))
    return cache() / "sketches" / _name(f"{SEED} {SKETCH} {address}")


def forget(folder: str, needed: Collection[str]) -> None:
    """Remove what is kept of parts that are not needed any more."""
    names = set(map(_name, needed))
    with contextlib.suppress(FileNotFoundError):
        for kept in place(folder).iterdir():
            if kept.name not in names and not kept.name.startswith(_UNFINISHED):
                shutil.rmtree(kept, ignore_errors=True)


_UNFINISHED = "unfinished-"


def _name(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:20]


def _keep_rows(part: str, kept: Path) -> None:
    """Make the folder of a part, and put it in its place at once: atomic."""
    rows, said = _rows_of(part)
    with _kept_in(kept.parent):
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=kept.parent))
        try:
            np.save(unfinished / "rows.npy", rows)
            (unfinished / "part.json").write_text(json.dumps(said), "utf-8")
            _rename(unfinished, kept)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


@contextlib.contextmanager
def _kept_in(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{place}: what finds pictures alike cannot be kept there ({storage.plainly(error)}); "
            "MOVIE_TAGS_CACHE names another place"
        ) from error


def _rename(unfinished: Path, kept: Path) -> None:
    try:
        os.rename(unfinished, kept)
    except OSError:
        if not kept.is_dir():  # another process was as fast
            raise


def _rows_of(part: str) -> tuple[np.ndarray, dict]:
    """The rows of a part, ROW [N]; its films, and its files with how many rows each has."""
    shots = {
        (row["id"], row["time_s"]): (row["shot_start_s"], row["shot_end_s"]) for row in read_table(part, "key_frames")
    }
    films: dict[str, int] = {}
    rows, files = [np.empty(0, ROW)], {}
    for path in features.files_of(part):
        count = 0
        for ids, times in features.batches(path, ["id", "time_s"]):
            frames = [
                (films.setdefault(id, len(films)), time_s, *shots.get((id, time_s), (time_s, time_s)))
                for id, time_s in zip(ids, times, strict=True)
            ]
            rows.append(np.array(frames, ROW))
            count += len(frames)
        files[storage.base_name(path)] = count
    return np.concatenate(rows), {"films": list(films), "files": files}
