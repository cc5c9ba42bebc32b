"""The tables of results, read: names of their files, rows, and run.json; imports nothing heavy."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.results.schema import RECORDS, SchemaError, from_row, without_omitted
from movie_tags.results.sort import in_place

TABLES = ("tags", "key_frames", "spans", "errors")
CORRECTED = ("tags", "key_frames", "spans")
"""Those on whose rows people's corrections lie."""
LAYOUT = 2
"""Of the folder and its columns; one of another number is not read."""
RUN_JSON, VIEW_JSON = "run.json", "view.json"
VIEWS, RUNS, THUMBNAILS = "views", "runs", "thumbnails"
LATEST, LATEST_JSON = "latest", "latest.json"
MODEL = "model"
"""The folder in a snapshot with the rows of corrected films as the model says them, in order of id, as JSON lines."""
PARQUET = ".parquet"
FORMATS = ("jsonl", "parquet")
OURS = re.compile(rf"({'|'.join(TABLES)})(?:-\d+-of-\d+)?\.(?:{'|'.join(FORMATS)})\Z")


class OutputError(UserError):
    """An output folder that cannot be written to, or results that cannot be read."""


def latest_view(output: str) -> str | None:
    """The folder that holds the latest snapshot of a folder of results; None where there is none.

    Whoever reads several tables of one snapshot finds it once and gives it to the others here in place of `output`.

    Raises:
        OSError: the storage does not say.
        OutputError: what names it cannot be read, or another version of movie-tags wrote it.
    """
    link = os.path.join(output, LATEST)
    if not storage.is_remote(output) and os.path.islink(link):
        snapshot = storage.join(output, os.readlink(link))
    else:
        named = read_json(storage.join(output, LATEST_JSON))
        if named is None:
            return None
        snapshot = storage.join(output, named["view"])
    said = read_json(storage.join(snapshot, VIEW_JSON))
    if said is not None and said.get("layout") != LAYOUT:
        raise OutputError(f"{output}: was written by another version of movie-tags; tag anew, into another folder")
    return snapshot


def read_json(path: str) -> dict | None:
    """What a file of JSON says; None where there is none.

    Raises:
        OutputError: it cannot be read.
    """
    try:
        return json.loads(storage.read_bytes(path)) if storage.exists(path) else None
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read: {error}") from error


def view_of(output: str) -> str:
    """The folder to read: the latest snapshot, or the folder itself where it has none, being a snapshot or a part.

    Raises:
        OutputError: it cannot be read.
    """
    try:
        return latest_view(output) or output
    except OSError as error:
        raise OutputError(f"{output}: cannot be listed: {storage.plainly(error)}") from error


def view_with_films(output: str) -> str:
    """The folder to read, where it holds results.

    Raises:
        OutputError: it holds none, or cannot be read.
    """
    view = view_of(output)
    if not files_of(view, "tags"):
        raise no_results(output)
    return view


def no_results(output: str) -> OutputError:
    """That a folder holds no results, and whether there is one, or anything in it."""
    why = "holds no results (no tags.jsonl)"
    if not storage.is_remote(output) and not os.path.lexists(output):
        why = "there is no such folder, so it holds no results"
    elif not storage.is_remote(output) and os.path.isdir(output) and not os.listdir(output):
        why = "is empty and holds no results yet"
    return OutputError(f"{output}: {why}; name a folder that `movie-tags tag … --output` has filled")


def read_run(output: str) -> dict | None:
    """What run.json says of the latest run; None where there is none.

    Raises:
        OutputError: it cannot be read.
    """
    return read_json(storage.join(view_of(output), RUN_JSON))


def files_of(output: str, name: str) -> list[str]:
    """The files of a table of results, of JSON lines or Parquet: one, shards, or none.

    Raises:
        OutputError: the folder cannot be listed.
    """
    return _files_in(view_of(output), name)


def files_of_model(view: str, name: str) -> list[str]:
    """The file of a table that has, of the films whose rows in a snapshot are corrected, those of the model, or none.

    Raises:
        OutputError: the folder cannot be listed.
    """
    return _files_in(storage.join(view, MODEL), name)


def _files_in(folder: str, name: str) -> list[str]:
    try:
        found = {path: OURS.match(storage.base_name(path)) for path in storage.list_folder(folder, f"{name}*")}
    except OSError as error:
        raise OutputError(f"{folder}: cannot be listed: {storage.plainly(error)}") from error
    files = [path for path, match in found.items() if match and match.group(1) == name]
    # A snapshot whose tables were asked for as Parquet has both.
    return [path for path in files if path.endswith(PARQUET)] or files


def read_table(output: str, name: str) -> Iterator[dict]:
    """The rows of a table of results as the model says them: of the latest snapshot, or of a snapshot or a part itself.

    Where people's corrections were laid over a film's rows when they were published, the model's own stand in their
    place: what people say now is laid over those (`results.overlay`).

    Raises:
        OutputError: a file cannot be read, or holds what is no row; the message names the line.
    """
    view = view_of(output)
    rows = _rows_of(_files_in(view, name))
    own = files_of_model(view, TABLES[0]) if name in CORRECTED else []
    corrected = {str(row.get("id")) for row in _rows_of(own)}
    if corrected:
        rows = in_place(rows, _rows_of(files_of_model(view, name)), corrected, lambda row: str(row.get("id")))
    yield from rows


def _rows_of(files: Iterable[str]) -> Iterator[dict]:
    for path in files:
        try:
            if path.endswith(PARQUET):
                yield from read_parquet(path)
            else:
                for number, line in _lines(path):
                    yield read_row(line, path, number)
        except OSError as error:
            raise OutputError(f"{path}: cannot be read: {error}") from error


def read_records(output: str, name: str) -> Iterator[Any]:
    """The rows of a table of results as records.

    Raises:
        OutputError: a file cannot be read, or holds what is no row of this version.
    """
    for row in read_table(output, name):
        try:
            yield from_row(RECORDS[name], row)
        except SchemaError as error:
            raise OutputError(f"{output}: {name}: a row {error}") from error


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    with storage.plain_errors(), storage.open_stream(path) as stream:
        yield from enumerate(stream, 1)


def read_parquet(path: str) -> Iterator[dict]:
    """The rows of a file of Parquet, in its order, less what is null in them.

    Raises:
        OSError: it cannot be read, or is no Parquet.
    """
    import pyarrow.parquet as pq  # only those who have such tables pay for it

    table = OURS.match(storage.base_name(path))
    less_nulls = without_omitted(RECORDS[table.group(1)]) if table else dict
    with storage.plain_errors(), storage.open_seekable(path) as stream, pq.ParquetFile(stream) as file:
        for batch in file.iter_batches(batch_size=1000):
            for row in batch.to_pylist():
                yield less_nulls({name: value for name, value in row.items() if value is not None})


def read_row(line: bytes, path: str, number: int) -> dict:
    """A line of a table.

    Raises:
        OutputError: it is no JSON object.
    """
    try:
        row = json.loads(line)
    except ValueError as error:
        raise OutputError(f"{path}, line {number}: not a row of JSON ({error})") from error
    if not isinstance(row, dict):
        raise OutputError(f"{path}, line {number}: not a row of JSON (no object)")
    return row
