"""External sort: the lines of tables in order, whatever fits into memory."""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, TypeVar

from movie_tags import storage

AT_ONCE = 64 << 20
"""Bytes of lines that are sorted in memory."""

Key = Callable[[bytes], tuple]
Row = TypeVar("Row")


def key_of(line: bytes) -> tuple:
    """The order of a table's rows: by id, then time, then name."""
    row = json.loads(line)
    return row["id"], row.get("time_s", row.get("start_s", 0)), row.get("tag", row.get("reason", ""))


def lines_of(sources: Iterable[str]) -> Iterator[bytes]:
    """The lines of files, local or remote, one file after the other."""
    for source in sources:
        with storage.plain_errors(), storage.open_stream(source) as lines:
            yield from lines


def in_order(lines: Iterable[bytes], key: Key, scratch: str, at_once: int = AT_ONCE) -> Iterator[bytes]:
    """Lines in order of their keys, of which `at_once` bytes are held in memory at a time.

    Args:
        lines: in any order, each with its end.
        key: of a line.
        scratch: a local folder for what does not fit.
    """
    spilled: list[str] = []
    held: list[tuple[tuple, bytes]] = []
    size = 0
    for line in lines:
        held.append((key(line), line))
        size += len(line)
        if size >= at_once:
            spilled.append(_spill(held, scratch))
            held, size = [], 0
    held.sort()
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(path, "rb")) for path in spilled]
        streams = [((key(line), line) for line in file) for file in files]
        yield from (line for _, line in heapq.merge(*streams, held))
    for path in spilled:
        os.unlink(path)


def _spill(held: list[tuple[tuple, bytes]], scratch: str) -> str:
    held.sort()
    descriptor, path = tempfile.mkstemp(dir=scratch)
    with open(descriptor, "wb") as out:
        out.writelines(line for _, line in held)
    return path


def joined(
    left: Iterable[tuple[str, Any]], right: Iterable[tuple[str, Any]]
) -> Iterator[tuple[str, list[Any], list[Any]]]:
    """Merge join: (key, its values left, its values right) for each key of two streams in order of their keys."""
    both = heapq.merge(((key, 0, value) for key, value in left), ((key, 1, value) for key, value in right), key=_place)
    current: str | None = None
    values: tuple[list, list] = [], []
    for key, side, value in both:
        if key != current:
            if current is not None:
                yield current, *values
            current, values = key, ([], [])
        values[side].append(value)
    if current is not None:
        yield current, *values


def in_place(
    rows: Iterable[Row], others: Iterable[Row], ids: Collection[str], id_of: Callable[[Row], str]
) -> Iterator[Row]:
    """Rows with others in place of those of some ids; all in order of ids.

    Args:
        rows: to be read.
        others: in place of those of `ids`, of which there may be more or fewer of an id, or none.
        ids: whose rows are passed over.
        id_of: of a row.
    """
    waiting = iter(others)
    other = next(waiting, None)
    for row in rows:
        id = id_of(row)
        while other is not None and id_of(other) <= id:
            yield other
            other = next(waiting, None)
        if id not in ids:
            yield row
    while other is not None:
        yield other
        other = next(waiting, None)


def _place(item: tuple[str, int, Any]) -> tuple[str, int]:
    return item[0], item[1]
