"""The tables of results as frozen records, read film by film, local or remote."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import mmap
import os
import re
import tempfile
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Any

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.records import Failure, Film, KeyFrame, Span
from movie_tags.results import overlay
from movie_tags.results.corrections import Corrections, Held, Verdicts
from movie_tags.results.reading import (
    PARQUET,
    TABLES,
    OutputError,
    files_of,
    files_of_model,
    read_parquet,
    read_row,
    read_run,
    read_table,
    view_with_films,
)
from movie_tags.results.schema import RECORDS, SchemaError, from_row

RELEASED = 64 << 20
"""Bytes of a table that are looked through before the memory they are mapped to is given back."""
READERS = 16
"""Thumbnails that are fetched from a remote folder at a time."""


class ReportError(UserError):
    """A report that cannot be written, or a film that is not among the results by the name given."""


def slug(film: Film) -> str:
    """A name for a film's files: readable, of plain letters, and unlike any other film's."""
    plain = unicodedata.normalize("NFKD", film.title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].strip("-")
    return f"{words or 'film'}-{hashlib.sha256(film.id.encode(errors='surrogatepass')).hexdigest()[:10]}"


def _file_named(typed: str) -> str | None:
    """The identity of the file that a user names, where there is one."""
    try:
        address = storage.canonical(typed)
    except storage.AddressError:
        return None
    return storage.identity(address) if storage.is_remote(address) or os.path.exists(address) else None


class Results:
    """A folder of results, with people's corrections laid over the tables of runs.

    What is large, key frames and spans, is read film by film.

    All is of the view that is the latest at the beginning, whatever is published meanwhile.

    A context: remote tables that are read film by film are fetched once, and kept as long as it lasts.
    """

    def __init__(self, folder: str):
        """
        Raises:
            OutputError: the folder holds no results, or they cannot be read.
        """
        self.folder = folder
        self.view = view_with_films(folder)
        self._kept = contextlib.ExitStack()
        self._indices: dict[str, _Index] = {}
        self._reading = threading.Lock()

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    @cached_property
    def run(self) -> dict | None:
        """What run.json says; None where there is none, as while a run is being replaced."""
        return read_run(self.view)

    def films(self) -> Iterator[Film]:
        """The films, one after the other.

        Raises:
            OutputError: the table cannot be read; the message names the line.
        """
        for row in read_table(self.view, "tags"):
            film = self._record("tags", row)
            yield overlay.film(film, self.held.of(film.id, film.content))

    def film(self, name: str) -> Film:
        """A film by its id or any spelling of its address; by its title or the end of its address if one alone has it.

        Raises:
            ReportError: there is none, or several.
        """
        file, shown = _file_named(name), storage.same_text(name)
        found: list[Film] = []
        names: set[str] = set()
        for film in self.films():
            if film.id in (name, shown) or (file and storage.identity(film.uri) == file):
                return film
            names.update((film.id, film.title))
            if shown == storage.same_text(film.title) or storage.same_text(film.uri).endswith("/" + shown.lstrip("/")):
                found.append(film)
        if len(found) == 1:
            return found[0]
        if found:
            raise ReportError(
                f"{name}: {len(found)} films have that title; give an id: {', '.join(f.id for f in found[:5])}"
            )
        close = difflib.get_close_matches(name, names, 1, 0.5)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ReportError(f"{name}: no film of {self.folder} has that id or title{hint}")

    @cached_property
    def failures(self) -> tuple[Failure, ...]:
        """What failed, films and key frames.

        Raises:
            OutputError: the table cannot be read.
        """
        return tuple(self._record("errors", row) for row in read_table(self.view, "errors"))

    def key_frames(self, id: str, verdicts: Verdicts | None = None) -> tuple[KeyFrame, ...]:
        """The key frames of a film, in order of time.

        Args:
            id: of the film.
            verdicts: what people say of it; None: what they have said when this was first asked.

        Raises:
            OutputError: the table cannot be read.
        """
        frames = (self._record("key_frames", row) for row in self._index("key_frames").rows(id))
        verdicts = self._verdicts(id) if verdicts is None else verdicts
        return tuple(sorted((overlay.key_frame(frame, verdicts) for frame in frames), key=lambda frame: frame.time_s))

    def spans(self, id: str, verdicts: Verdicts | None = None) -> tuple[Span, ...]:
        """The spans of a film, in order of time. Args: as of `key_frames`.

        Raises:
            OutputError: the table cannot be read.
        """
        rows = [self._record("spans", row) for row in self._index("spans").rows(id)]
        spans = overlay.spans(rows, self._verdicts(id) if verdicts is None else verdicts)
        return tuple(span if span.id == id else replace(span, id=id) for span in spans)

    @cached_property
    def held(self) -> Held:
        """What people have said that holds."""
        return Held(Corrections(self.folder))

    def _verdicts(self, id: str) -> Verdicts:
        return self.held.of(id, self._contents.get(id, "")) if self.held else {}

    @cached_property
    def _contents(self) -> dict[str, str]:
        """The contents of films that may have corrections, by id."""
        films = (self._record("tags", row) for row in read_table(self.view, "tags"))
        return {film.id: film.content for film in films if self.held.of(film.id, film.content)}

    def thumbnail(self, frame: KeyFrame) -> bytes | None:
        """The JPEG file of a key frame; None where there is none that can be read, or it is no JPEG.

        The table's path is taken only where it stays in the folder.
        """
        if (
            not frame.thumbnail
            or frame.thumbnail.startswith(("/", "\\"))
            or ".." in re.split(r"[/\\]", frame.thumbnail)
        ):
            return None
        try:
            data = storage.read_bytes(storage.join(self.folder, *frame.thumbnail.split("/")))
        except OSError:
            return None
        return data if data.startswith(b"\xff\xd8\xff") else None

    def thumbnails(self, frames: Sequence[KeyFrame]) -> dict[float, bytes]:
        """The JPEG files of a film's key frames by their times, of those that have one that can be read."""
        if storage.is_remote(self.folder):
            with ThreadPoolExecutor(READERS) as readers:
                found = list(readers.map(self.thumbnail, frames))
        else:
            found = [self.thumbnail(frame) for frame in frames]
        return {frame.time_s: data for frame, data in zip(frames, found, strict=True) if data}

    def _record(self, table: str, row: Mapping[str, Any]) -> Any:
        try:
            return from_row(RECORDS[table], row)
        except SchemaError as error:
            raise OutputError(f"{self.folder}: {table}: a row {error}") from error

    def _index(self, table: str) -> _Index:
        with self._reading:
            if table not in self._indices:
                corrected = _Index(self._local(files_of_model(self.view, TABLES[0]))).places
                paths = self._local(files_of(self.view, table))
                self._indices[table] = _Index(paths, corrected, self._local(files_of_model(self.view, table)))
            return self._indices[table]

    def _local(self, paths: Iterable[str]) -> list[str]:
        """Local files of a table's rows as lines of JSON, as long as this is open."""
        try:
            return [self._kept.enter_context(_lines_of(path)) for path in paths]
        except OSError as error:
            raise OutputError(f"{self.folder}: the tables cannot be read: {storage.plainly(error)}") from error


@contextlib.contextmanager
def _lines_of(path: str) -> Iterator[str]:
    """A local file of a table's rows as lines of JSON, as long as the context lasts."""
    if not path.endswith(PARQUET):
        with storage.fetch(path) as local:
            yield local
        return
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", prefix="movie-tags-", encoding="utf-8") as lines:
        for row in read_parquet(path):
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
        lines.flush()
        yield lines.name


class _Index:
    """Where the rows of each film stand in the local files of a table; of some films, in others in their place."""

    def __init__(self, paths: Iterable[str], elsewhere: Iterable[str] = (), others: Iterable[str] = ()):
        """Args: the files; ids whose rows are in other files; these."""
        self.paths: list[str] = []
        self.places: dict[str, list[list[int]]] = {}
        self._add(paths)
        for id in elsewhere:
            self.places.pop(id, None)
        self._add(others)

    def _add(self, paths: Iterable[str]) -> None:
        for path in paths:
            self.paths.append(path)
            try:
                self._read(len(self.paths) - 1, path)
            except OSError as error:
                raise OutputError(f"{path}: cannot be read: {storage.plainly(error)}") from error

    def _read(self, number: int, path: str) -> None:
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                released = 0
                for id, begin, end in _stretches(data, path):
                    if begin - released > RELEASED:  # or a file larger than memory would seem to be in it
                        data.madvise(mmap.MADV_DONTNEED, 0, begin)
                        released = begin
                    places = self.places.setdefault(id, [])
                    if places and places[-1][0] == number and places[-1][2] == begin:
                        places[-1][2] = end
                    else:
                        places.append([number, begin, end])

    def rows(self, id: str) -> Iterator[dict]:
        for number, begin, end in self.places.get(id, ()):
            with open(self.paths[number], "rb") as file:
                file.seek(begin)
                for line in file.read(end - begin).splitlines():
                    yield read_row(line, self.paths[number], 0)


_BEGINS = re.compile(rb'\{"id": ("(?:[^"\\]|\\.)*")')


def _stretches(data: mmap.mmap, path: str) -> Iterator[tuple[str, int, int]]:
    """Lines that follow each other and are of one film: its id, and where they begin and end."""
    begin = 0
    while begin < len(data):
        found = _BEGINS.match(data, begin)  # as the pipeline writes it; the rest need not be read then
        if found:
            change = re.compile(rb"\n(?!" + re.escape(found.group()) + rb")").search(data, found.end())
            end = change.end() if change else len(data)
            yield json.loads(found.group(1)), begin, end
        else:
            end = data.find(b"\n", begin) + 1 or len(data)
            yield str(read_row(data[begin:end], path, data[:begin].count(b"\n") + 1).get("id", "")), begin, end
        begin = end
