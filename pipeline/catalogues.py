"""Catalogues: .csv, .tsv and .jsonl lists of videos, as spreadsheets and people write them -> rows.

A catalogue is read as a stream, so that its length does not matter; a first pass finds out how it is encoded.
"""

from __future__ import annotations

import csv
import io
import json
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE, getincrementaldecoder
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.storage.suffixes import is_video

SUFFIXES = (".csv", ".tsv", ".jsonl")
OTHER_LISTS = (".xlsx", ".xls", ".ods", ".txt", ".json", ".m3u", ".m3u8", ".xml")
"""What people keep lists in that is not read here."""
ADDRESSES = ("uri", "url", "path", "file", "filename", "filepath", "address", "location", "video")
"""Names of the column with the addresses, the first that is there wins; in any case of letters."""
_BOMS = {  # the longer first: UTF-32's begins as UTF-16's does
    BOM_UTF32_LE: "utf-32",
    BOM_UTF32_BE: "utf-32",
    BOM_UTF8: "utf-8-sig",
    BOM_UTF16_LE: "utf-16",
    BOM_UTF16_BE: "utf-16",
}
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_BLOCK = 1 << 20
WESTERN = "cp1252"


class InputError(UserError):
    """An input that names nothing, or a catalogue without a usable form."""


@dataclass(frozen=True)
class Row:
    """A row of a catalogue: the address as written, an id and a title where given; or what is wrong with it."""

    where: str
    uri: str = ""
    id: str = ""
    title: str = ""
    wrong: str = ""


def is_catalogue(address: str) -> bool:
    """Whether an address is a catalogue's, by its suffix."""
    return address.lower().endswith(SUFFIXES)


def read_rows(address: str, notes: list[str]) -> Iterator[Row]:
    """The rows of a catalogue.

    A .csv or .tsv has a first line that names its columns, of which one is in ADDRESSES, and optionally `id` and
    `title`; it is delimited by commas, semicolons, tabs or bars. A .jsonl has an object with these names a line. UTF-8,
    UTF-16 and UTF-32 with a byte order mark, or Windows-1252.

    Args:
        address: a canonical one.
        notes: a sentence is added where the encoding was guessed.

    Raises:
        InputError: it cannot be read, or has no column of addresses.
    """
    try:
        encoding = encoding_of(address)
        if encoding == WESTERN:
            notes.append(f"{address}: is not UTF-8, and was read as Windows-1252 (Western European)")
        with storage.open_seekable(address) as stream:
            text = io.TextIOWrapper(stream, encoding, newline="")
            yield from _json_rows(text, address) if address.lower().endswith(".jsonl") else _csv_rows(text, address)
    except (OSError, UnicodeError, csv.Error) as error:
        raise InputError(f"{address}: the catalogue cannot be read: {storage.plainly(error)}") from error


def encoding_of(address: str) -> str:
    """How a catalogue is encoded: by its byte order mark, else UTF-8 if all of it is, else Windows-1252 if it can be.

    Raises:
        InputError: it is none of these.
        OSError: it cannot be read.
    """
    with storage.open_stream(address) as stream:
        block = stream.read(_BLOCK)
        for mark, encoding in _BOMS.items():
            if block.startswith(mark):
                return encoding
        if block[1:2] == b"\0" or block[:1] == b"\0":
            return "utf-16-le" if block[1:2] == b"\0" else "utf-16-be"
        decoders = {name: getincrementaldecoder(name)() for name in ("utf-8", WESTERN)}
        while block and decoders:
            _drop_what_fails(decoders, block)
            block = stream.read(_BLOCK)
        _drop_what_fails(decoders, b"", final=True)
    if not decoders:
        raise InputError(f"{address}: is neither UTF-8 nor UTF-16 with a byte order mark; save it as UTF-8")
    return next(iter(decoders))


def _drop_what_fails(decoders: dict, block: bytes, final: bool = False) -> None:
    for name, decoder in list(decoders.items()):
        try:
            decoder.decode(block, final)
        except UnicodeDecodeError:
            del decoders[name]


def _csv_rows(text: TextIO, address: str) -> Iterator[Row]:
    lines = iter(text)
    first = next((line for line in lines if line.strip()), None)
    number = 1
    if first is not None and first.lower().startswith("sep=") and len(first.strip()) == 5:  # Excel's own first line
        first, number = next(lines, None), 2
    if first is None:
        return
    delimiter = delimiter_of(first)
    header = next(csv.reader([first], delimiter=delimiter, strict=True))
    columns = columns_of(header)
    if "uri" not in columns:
        raise InputError(f"{address}: {_no_addresses(first, header, delimiter)}")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield _csv_row(cells, columns, len(header), f"{address}, line {number + reader.line_num}")
    except csv.Error as error:
        where = f"{address}, line {number + reader.line_num}"
        raise InputError(
            f"{where}: cannot be read, nor what follows: {error}; a quote may not be closed, or be in the middle of a "
            "cell without being doubled"
        ) from error


def delimiter_of(line: str) -> str:
    """What delimits the columns that a line names: what gives a known column first, else the most frequent."""
    for delimiter in _DELIMITERS:
        if "uri" in columns_of(next(csv.reader([line], delimiter=delimiter))):
            return delimiter
    return max(_DELIMITERS, key=line.count)


def columns_of(header: Sequence[str]) -> dict[str, int]:
    """Where `uri`, `id` and `title` stand in a header, as far as they do."""
    names = [name.strip().casefold() for name in header]
    found: dict[str, int] = {name: names.index(name) for name in ("id", "title") if name in names}
    address = next((name for name in ADDRESSES if name in names), None)
    return found if address is None else {**found, "uri": names.index(address)}


def _no_addresses(line: str, header: Sequence[str], delimiter: str) -> str:
    """Why a catalogue has no addresses, and what was found in their place."""
    if any(storage.is_remote(cell.strip()) or is_video(cell.strip()) for cell in header):
        return f"its first line, {line.strip()[:80]!r}, is a video and names no columns; write a line 'uri' above it"
    found = ", ".join(repr(name.strip()) for name in header[:8])
    by = f", delimited by {_DELIMITERS[delimiter]}" if len(header) > 1 else ""
    return f"has no column 'uri': its first line names {found}{by}; name the column of the addresses 'uri'"


def _csv_row(cells: Sequence[str], columns: dict[str, int], width: int, where: str) -> Row:
    if any(cell.strip() for cell in cells[width:]):
        wrong = f"has {len(cells)} cells where the first line names {width}; put quotes around what holds a delimiter"
        return Row(where, wrong=wrong)
    given = {name: cells[at] for name, at in columns.items() if at < len(cells)}
    return _row(given, where)


def _json_rows(lines: Iterable[str], address: str) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{address}, line {number}"
        if number == 1 and line.lstrip().startswith("["):
            raise InputError(f"{address}: is a JSON array; a .jsonl has one object a line (jq -c '.[]' makes it one)")
        try:
            row = json.loads(line)
        except ValueError as error:
            yield Row(where, wrong=f"not a JSON object ({error})")
            continue
        if not isinstance(row, dict):
            yield Row(where, wrong="not a JSON object")
            continue
        columns = columns_of(list(row))
        values = list(row.values())
        yield _row({name: values[at] for name, at in columns.items()}, where)


def _row(given: dict, where: str) -> Row:
    uri = given.get("uri")
    if not isinstance(uri, str) or not uri.strip():
        return Row(where, wrong="the row has no 'uri'")
    if "\n" in uri.strip() or "\r" in uri.strip():
        return Row(where, wrong="its address holds a line break; is a quote not closed?")
    texts = {name: "" if given.get(name) is None else str(given[name]).strip() for name in ("id", "title")}
    return Row(where, uri.strip(), texts["id"], texts["title"])
