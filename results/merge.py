"""Merge: the tables of a snapshot and of parts, sorted by id, as one; of each video what the last of them says."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from movie_tags import storage
from movie_tags.records import GONE, TAGGED, Entry
from movie_tags.results.corrected_rows import CorrectedRows
from movie_tags.results.corrections import Held
from movie_tags.results.manifest import CATALOGUE, after, entry_of, id_of
from movie_tags.results.reading import CORRECTED, TABLES, files_of_model
from movie_tags.results.schema import MANIFEST, to_line
from movie_tags.results.sort import in_place, lines_of

MERGED_AT_ONCE = 50
"""Parts whose files are open at the same time."""


@dataclass
class Totals:
    """What a snapshot holds: videos by status, failures of the catalogue, seconds of film, films with corrections."""

    by_status: Counter = field(default_factory=Counter)
    film_s: float = 0.0
    of_catalogue: int = 0
    corrected: int = 0

    def add(self, entry: Entry) -> None:
        """Count a row of the manifest."""
        self.by_status[entry.status] += 1
        self.film_s += entry.film_s
        self.of_catalogue += entry.stage == CATALOGUE

    def said(self) -> dict:
        """What run.json says of them."""
        return {**dict(sorted(self.by_status.items())), "film_s": round(self.film_s, 3)}


_THUMBNAIL = re.compile(rb'"thumbnail": "(?:[^"\\]|\\.)*"')
"""In a row of key frames, which need not be taken apart otherwise; in a text there its quotes would be escaped."""


class Cursor:
    """A table's lines in order of id, taken id by id, in order."""

    def __init__(self, lines: Iterable[bytes]):
        self.lines = iter(lines)
        self.next = next(self.lines, None)

    def take(self, wanted: str) -> list[bytes]:
        """The lines of an id; those of ids before it are passed over."""
        taken = []
        while self.next is not None and (found := id_of(self.next)) <= wanted:
            if found == wanted:
                taken.append(self.next)
            self.next = next(self.lines, None)
        return taken


@dataclass(frozen=True)
class _Owners:
    """Of a video: its entry in the end, and which folder's failures and results stand; None: no folder's."""

    entry: Entry
    errors: int | None
    results: int | None

    @classmethod
    def of(cls, entries: dict[int, Entry], reread: bool) -> _Owners:
        """Args: the entries by the folders' places, in order; as of `merge`."""
        last = max(entries)
        entry = entries[last]
        if entry.status == GONE or (last == 0 and reread and entry.stage == CATALOGUE):
            return cls(entry, None, None)
        return cls(entry, last, _owner_of_results(entries))

    def of_table(self, name: str) -> int | None:
        """Whose rows of a table stand."""
        return self.errors if name == "errors" else self.results


def merge(
    folders: Sequence[str | None],
    target: str,
    max_attempts: int,
    reread: bool,
    scratch: str,
    mark: str | None = None,
    held: Held = Held(()),
) -> Totals:
    """Write the tables of a snapshot: of each video what the last of several folders says that knows it.

    A video with a transient failure keeps the results that it had, beside its failure.

    Args:
        folders: a snapshot, or None, and parts, in order; all sorted by id.
        target: a folder, which is made.
        max_attempts: retryable failures are quarantined from so many on.
        reread: the first folder's failures of the catalogue are found anew in the others, and so dropped.
        scratch: a local folder.
        mark: what replaced thumbnails are listed in.
        held: what people say, which is laid over the rows.
    """
    while len(folders) > MERGED_AT_ONCE + 1:
        some = tempfile.mkdtemp(dir=scratch)
        merge([None, *folders[1 : MERGED_AT_ONCE + 1]], some, max_attempts, False, scratch)
        folders = [folders[0], some, *folders[MERGED_AT_ONCE + 1 :]]
    totals = Totals()
    storage.make_folder(target)
    with contextlib.ExitStack() as stack:
        lines = {name: [stack.enter_context(_lines(folder, name, scratch)) for folder in folders] for name in TABLES}
        if folders[0] is not None:
            lines |= _as_the_model_says(lines, folders[0])
        tables = {name: [Cursor(one) for one in found] for name, found in lines.items()}
        corrected = stack.enter_context(CorrectedRows(held, target))
        out = {
            name: stack.enter_context(storage.create(storage.join(target, f"{name}.jsonl")))
            for name in (*TABLES, MANIFEST)
        }
        replaced = stack.enter_context(storage.create(storage.join(target, mark))) if mark else None
        manifests = [
            _placed(place, stack.enter_context(_lines(folder, MANIFEST, scratch)))
            for place, folder in enumerate(folders)
        ]
        for video_id, entries in _entries(manifests, max_attempts):
            owners = _Owners.of(entries, reread)
            if owners.errors is not None:
                totals.add(owners.entry)
                out[MANIFEST].write(to_line(owners.entry))
            kept: dict[str, list[bytes]] = {}
            for name in TABLES:
                owner = owners.of_table(name)
                kept[name] = tables[name][owner].take(video_id) if owner is not None else []
                if name == "key_frames" and replaced is not None and owner != 0:
                    write_replaced(replaced, tables[name][0].take(video_id), kept[name])
            for name, rows in corrected.laid_over(kept).items():
                out[name].writelines(rows)
        totals.corrected = corrected.films
    return totals


def _entries(
    manifests: Sequence[Iterator[tuple[str, int, bytes]]], max_attempts: int
) -> Iterator[tuple[str, dict[int, Entry]]]:
    """(id, entries by the folders' places, which come in order), with attempts counted on from folder to folder."""
    for video_id, found in itertools.groupby(heapq.merge(*manifests), key=lambda item: item[0]):
        entries: dict[int, Entry] = {}
        entry = None
        for _, place, line in found:
            if place not in entries:  # an id given to several videos failed for each
                entry = after(entry, entry_of(line), max_attempts) if place else entry_of(line)
                entries[place] = entry
        yield video_id, entries


def _placed(place: int, lines: Iterable[bytes]) -> Iterator[tuple[str, int, bytes]]:
    for line in lines:
        yield id_of(line), place, line


def _owner_of_results(entries: dict[int, Entry]) -> int | None:
    """Whose results of a video stand: the last's; a transient failure has none to replace earlier ones with."""
    for place in sorted(entries, reverse=True):
        entry = entries[place]
        if place == 0 or entry.status == TAGGED:
            return place
        if not entry.retryable:
            return None
    return None


def write_replaced(out: IO[bytes], before: Sequence[bytes], now: Sequence[bytes]) -> None:
    """List the thumbnails of a film's key frames that are none any more. Args: its rows, before and now."""
    pictures = [{found[0] for line in lines for found in [_THUMBNAIL.search(line)] if found} for lines in (before, now)]
    replaced = (json.loads(b"{" + found + b"}")["thumbnail"] for found in pictures[0] - pictures[1])
    out.writelines(f"{picture}\n".encode() for picture in sorted(replaced))


def _as_the_model_says(
    lines: Mapping[str, Sequence[Iterable[bytes]]], snapshot: str
) -> dict[str, list[Iterable[bytes]]]:
    """The lines of tables, those of a snapshot, which are the first, as the model says them; parts have no others."""
    ids = set(map(id_of, lines_of(files_of_model(snapshot, TABLES[0]))))
    return {
        name: [in_place(lines[name][0], lines_of(files_of_model(snapshot, name)), ids, id_of), *lines[name][1:]]
        for name in (CORRECTED if ids else ())
    }


@contextlib.contextmanager
def _lines(folder: str | None, name: str, scratch: str) -> Iterator[Iterable[bytes]]:
    """A table's lines; a remote one is fetched first, for many are read side by side."""
    if folder is None:
        yield ()
        return
    path = storage.join(folder, f"{name}.jsonl")
    if not storage.is_remote(folder):
        with open(path, "rb") as lines:
            yield lines
        return
    descriptor, copy = tempfile.mkstemp(dir=scratch)
    with open(descriptor, "wb") as out, storage.plain_errors(), storage.open_stream(path) as lines:
        out.writelines(lines)
    with open(copy, "rb") as lines:
        yield lines
    os.unlink(copy)
