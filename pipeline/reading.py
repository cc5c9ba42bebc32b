"""The tables of results, read: names of their files, rows, and run.json; imports nothing heavy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from movie_tags import storage
from movie_tags.errors import UserError

TABLES = ("tags", "key_frames", "spans", "errors")
RUN_JSON = "run.json"
OURS = re.compile(rf"(?:{'|'.join(TABLES)})(?:-\d+-of-\d+)?\.jsonl\Z")


class OutputError(UserError):
    """An output folder that cannot be written to, or results that cannot be read."""


def read_run(output: str) -> dict | None:
    """What run.json says; None where there is none.

    Raises:
        OutputError: it cannot be read.
    """
    path = storage.join(output, RUN_JSON)
    try:
        return json.loads(storage.read_bytes(path)) if storage.exists(path) else None
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read: {error}") from error


def files_of(output: str, name: str) -> list[str]:
    """The files of a table of results: one, shards, or none.

    Raises:
        OutputError: the folder cannot be listed.
    """
    try:
        return [path for path in storage.list_folder(output, f"{name}*.jsonl") if OURS.match(storage.base_name(path))]
    except OSError as error:
        raise OutputError(f"{output}: cannot be listed: {storage.plainly(error)}") from error


def read_table(output: str, name: str) -> Iterator[dict]:
    """The rows of a table of results, of one file or of shards.

    Raises:
        OutputError: a file cannot be read, or holds what is no row; the message names the line.
    """
    for path in files_of(output, name):
        try:
            with storage.plain_errors(), storage.open_stream(path) as stream:
                for number, line in enumerate(stream, 1):
                    yield read_row(line, path, number)
        except OSError as error:
            raise OutputError(f"{path}: cannot be read: {error}") from error


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
