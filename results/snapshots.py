"""A folder of results: the parts of its runs, which never change, and the latest view of them all.

    runs/RUN_ID/begun.json             what the run is; written first
    runs/RUN_ID/PART/*.jsonl           the tables and the manifest of a part, in order of id
    runs/RUN_ID/PART/part.json         written last: a part is one that has it, all else is litter of a run that died
    runs/RUN_ID/run.json               how the run ended; written when its parts are in the latest view
    views/VIEW_ID/*                    the tables, the manifest and run.json of all that is known: one row for each
    latest                             a link to the latest view, replaced in one step (elsewhere than on a local disk:
                                       latest.json, an object that names it)
    tags.jsonl, …, run.json            links to latest/… (elsewhere: copies; run.json goes first and comes last)
    thumbnails/                        pictures named by their content, which the tables of any part may show

A run that dies at whatever instant leaves the latest view as it was, and its finished parts for the next run to put in.
The view before the latest is kept for those who are reading it.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO

from movie_tags import storage
from movie_tags.pipeline.tables import COUNTS, DUE, RAW
from movie_tags.records import GONE, TAGGED, Entry, Failure, Video, named
from movie_tags.results.manifest import (
    CATALOGUE,
    Due,
    after,
    entry_of,
    failed_entry,
    id_of,
)
from movie_tags.results.reading import (
    FORMATS,
    LATEST,
    LATEST_JSON,
    PARQUET,
    RUN_JSON,
    TABLES,
    VIEWS,
    OutputError,
    latest_view,
    read_json,
)
from movie_tags.results.schema import MANIFEST, to_line

RUNS = "runs"
BEGUN_JSON, PART_JSON, VIEW_JSON = "begun.json", "part.json", "view.json"
REPLACED = "replaced.txt"

SORTED_AT_ONCE = 64 << 20
"""Bytes of lines that are sorted in memory."""
REPLACED_AT_ONCE = 100_000
"""Names of pictures that are held in memory."""
MERGED_AT_ONCE = 50
"""Parts whose files are open at the same time."""


# Lines in order

Key = Callable[[bytes], tuple]


def key_of(line: bytes) -> tuple:
    """The order of a table's rows: by id, then time, then name."""
    row = json.loads(line)
    return row["id"], row.get("time_s", row.get("start_s", 0)), row.get("tag", row.get("reason", ""))


def in_order(sources: Iterable[str], key: Key, scratch: str, at_once: int = SORTED_AT_ONCE) -> Iterator[bytes]:
    """The lines of files in order of their keys, of which `at_once` bytes are held in memory at a time.

    Args:
        sources: the files' addresses.
        key: of a line.
        scratch: a local folder for what does not fit.
    """
    spilled: list[str] = []
    held: list[tuple[tuple, bytes]] = []
    size = 0
    for source in sources:
        with storage.plain_errors(), storage.open_stream(source) as lines:
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


# Parts


def run_folder(output: str, run_id: str) -> str:
    """The folder of a run."""
    return storage.join(output, RUNS, run_id)


def commit_part(part: str, due: str | None, about: dict) -> dict:
    """Put a part's written tables in order and declare it finished. Done again, it changes nothing.

    A video that is due and of which nothing came back becomes a failure of its own.

    Args:
        part: its folder, with the tables as `WriteTables` writes them.
        due: the list of its videos, where it is not among those.
        about: what part.json says besides counts; `run_id`, `method_key` and `at` are those of failures found here.

    Returns:
        What part.json says.
    """
    done = read_json(storage.join(part, PART_JSON))
    if done is not None:
        return done
    counts = read_counts(part)
    with tempfile.TemporaryDirectory(prefix="movie-tags-") as scratch:
        lists = [due] if due is not None else raw_files(part, DUE)
        lost = list(_lost(lists, raw_files(part, MANIFEST), scratch))
        if lost:
            failure = Failure("accounting", "nothing of it came back; run again", retryable=True)
            entries = [failed_entry(v, failure, about["method_key"], about["run_id"], about["at"]) for v in lost]
            storage.write_bytes(
                storage.join(part, f"{RAW}{MANIFEST}-lost.jsonl"), b"".join(to_line(entry) for entry in entries)
            )
            storage.write_bytes(
                storage.join(part, f"{RAW}errors-lost.jsonl"), b"".join(to_line(named(failure, v)) for v in lost)
            )
            counts["videos_lost"] += len(lost)
        for name in (*TABLES, MANIFEST):
            with storage.create(storage.join(part, f"{name}.jsonl")) as out:
                out.writelines(in_order(raw_files(part, name), key_of, scratch))
    storage.settle(part)
    said = {**about, "counts": dict(counts)}
    storage.write_text(storage.join(part, PART_JSON), json.dumps(said, ensure_ascii=False) + "\n")
    storage.settle(part)
    storage.remove(storage.list_folder(part, f"{RAW}*"))
    return said


def raw_files(part: str, name: str) -> list[str]:
    """The files of a table that a pipeline has written and nobody has put in order yet."""
    return storage.list_folder(part, f"{RAW}{name}[-.]*jsonl")


def read_counts(part: str) -> Counter:
    """The counts of a part that is written but not yet finished."""
    counts: Counter = Counter()
    for path in raw_files(part, COUNTS):
        for line in storage.read_text(path).splitlines():
            row = json.loads(line)
            counts[row["name"]] += row["n"]
    return counts


def _lost(lists: Sequence[str], manifests: Sequence[str], scratch: str) -> Iterator[Video]:
    """The videos of lists that no manifest names."""

    def by_id(line: bytes) -> tuple:
        return (json.loads(line)["id"],)

    named = (id_of(line) for line in in_order(manifests, by_id, scratch))
    seen = next(named, None)
    for line in in_order(lists, by_id, scratch):
        due_id = json.loads(line)["id"]
        while seen is not None and seen < due_id:
            seen = next(named, None)
        if seen != due_id:
            yield Due.of(line).video


def finished_parts(output: str, run_id: str) -> list[str]:
    """The folders of a run's finished parts, in order."""
    folder = run_folder(output, run_id)
    parts = [storage.join(folder, name) for name in storage.list_folders(folder)]
    return [part for part in parts if storage.exists(storage.join(part, PART_JSON))]


def unfinished_runs(output: str) -> list[str]:
    """The ids of runs that have not ended, the oldest first: under a lock, runs that died."""
    folder = storage.join(output, RUNS)
    return [name for name in storage.list_folders(folder) if not storage.exists(storage.join(folder, name, RUN_JSON))]


# The view


@dataclass
class Totals:
    """What a view holds: videos by status, failures by stage and reason, seconds of film."""

    by_status: Counter = field(default_factory=Counter)
    film_s: float = 0.0
    of_catalogue: int = 0

    def add(self, entry: Entry) -> None:
        """Count a line of the manifest."""
        self.by_status[entry.status] += 1
        self.film_s += entry.film_s
        self.of_catalogue += entry.stage == CATALOGUE

    def said(self) -> dict:
        """What run.json says of them."""
        return {**dict(sorted(self.by_status.items())), "film_s": round(self.film_s, 3)}


class _Cursor:
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


def merge(
    folders: Sequence[str | None], target: str, max_attempts: int, reread: bool, scratch: str, mark: str | None = None
) -> Totals:
    """Write the tables of a view: of each video what the last of several folders says that knows it.

    A video that failed for what may pass keeps the results that it had, beside its failure.

    Args:
        folders: a view, or None, and parts, in order; all sorted by id.
        target: a folder, which is made.
        max_attempts: failures that may pass are quarantined from so many on.
        reread: the first folder's failures of the catalogue are found anew in the others, and so dropped.
        scratch: a local folder.
        mark: what replaced thumbnails are listed in.
    """
    while len(folders) > MERGED_AT_ONCE + 1:
        joined = tempfile.mkdtemp(dir=scratch)
        merge([None, *folders[1 : MERGED_AT_ONCE + 1]], joined, max_attempts, False, scratch)
        folders = [folders[0], joined, *folders[MERGED_AT_ONCE + 1 :]]
    totals = Totals()
    storage.make_folder(target)
    with contextlib.ExitStack() as stack:
        tables = {
            name: [_Cursor(stack.enter_context(_lines(folder, name, scratch))) for folder in folders] for name in TABLES
        }
        manifests = [
            _placed(place, stack.enter_context(_lines(folder, MANIFEST, scratch)))
            for place, folder in enumerate(folders)
        ]
        out = {
            name: stack.enter_context(storage.create(storage.join(target, f"{name}.jsonl")))
            for name in (*TABLES, MANIFEST)
        }
        replaced = stack.enter_context(storage.create(storage.join(target, mark))) if mark else None
        for video_id, found in itertools.groupby(heapq.merge(*manifests), key=lambda item: item[0]):
            entries: dict[int, Entry] = {}  # by the folders' places, which come in order
            entry = None
            for _, place, line in found:
                if place not in entries:  # an id given to several videos failed for each
                    entry = after(entry, entry_of(line), max_attempts) if place else entry_of(line)
                    entries[place] = entry
            last = max(entries)
            errors, results = last, _owner_of_results(entries)
            if entry.status == GONE or (last == 0 and reread and entry.stage == CATALOGUE):
                errors = results = None
            else:
                totals.add(entry)
                out[MANIFEST].write(to_line(entry))
            for name in TABLES:
                owner = errors if name == "errors" else results
                kept = tables[name][owner].take(video_id) if owner is not None else []
                out[name].writelines(kept)
                if name == "key_frames" and replaced is not None and owner != 0:
                    _write_replaced(replaced, tables[name][0].take(video_id), kept)
    return totals


def _placed(place: int, lines: Iterable[bytes]) -> Iterator[tuple[str, int, bytes]]:
    for line in lines:
        yield id_of(line), place, line


def _owner_of_results(entries: dict[int, Entry]) -> int | None:
    """Whose results of a video stand: the last's; a failure that may pass has none to replace earlier ones with."""
    for place in sorted(entries, reverse=True):
        entry = entries[place]
        if place == 0 or entry.status == TAGGED:
            return place
        if not entry.retryable:
            return None
    return None


def _write_replaced(out: IO[bytes], before: Sequence[bytes], now: Sequence[bytes]) -> None:
    pictures = [{json.loads(line).get("thumbnail") for line in lines} - {None} for lines in (before, now)]
    out.writelines(f"{picture}\n".encode() for picture in sorted(pictures[0] - pictures[1]))


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


def publish(
    output: str,
    view_id: str,
    parts: Sequence[str],
    said: dict,
    max_attempts: int,
    reread: bool,
    table_format: str = FORMATS[0],
) -> dict:
    """Make a view of the latest one and parts, and put it in its place. Done again, it gives what doing it once gives.

    Args:
        output: the folder of results.
        view_id: the name of the view, unlike any other's.
        parts: folders of finished parts.
        said: what run.json says, less `totals`.
        max_attempts: failures that may pass are quarantined from so many on.
        reread: the catalogue was read again, and what was wrong with it is among the parts.
        table_format: of FORMATS, that of the tables in front; lines of JSON are in the view in any case.

    Returns:
        What run.json says.
    """
    target = storage.join(output, VIEWS, view_id)
    before = latest_view(output)
    if before is not None and storage.base_name(before) == view_id:  # done before; what follows may not have been
        _put_in_front(output, before)
        return read_json(storage.join(before, RUN_JSON)) or said
    known = (before and read_json(storage.join(before, VIEW_JSON))) or {}
    storage.remove_folder(target)  # of an attempt that died
    storage.make_folder(target)
    stale = reread and known.get("of_catalogue")  # failures of the catalogue, which has been read anew
    same = bool(known) and not stale and not any(map(_says_something, parts))
    if same:
        for name in (*TABLES, MANIFEST):
            storage.copy(storage.join(before, f"{name}.jsonl"), storage.join(target, f"{name}.jsonl"))
        totals, of_catalogue = known["totals"], known["of_catalogue"]
    else:
        with tempfile.TemporaryDirectory(prefix="movie-tags-") as scratch:
            found = merge([before, *parts], target, max_attempts, reread, scratch, REPLACED)
        totals, of_catalogue = found.said(), found.of_catalogue
    if table_format != FORMATS[0]:
        from movie_tags.results import parquet

        for name in TABLES:
            path = f"{name}{PARQUET}"
            if same and storage.exists(storage.join(before, path)):
                storage.copy(storage.join(before, path), storage.join(target, path))
                continue
            with storage.open_stream(storage.join(target, f"{name}.jsonl")) as lines:
                parquet.write_rows(name, map(json.loads, lines), storage.join(target, path))
    said = {**said, "totals": totals}
    about = {"view": view_id, "before": before and storage.base_name(before), "totals": totals}
    storage.write_text(
        storage.join(target, VIEW_JSON), json.dumps({**about, "of_catalogue": of_catalogue}, ensure_ascii=False) + "\n"
    )
    storage.write_text(storage.join(target, RUN_JSON), _pretty(said))
    storage.settle(target)
    _point(output, view_id)
    _put_in_front(output, target)
    return said


def _says_something(part: str) -> bool:
    """Whether a part has anything to say of any video: the manifest names each that its tables do."""
    return storage.about(storage.join(part, f"{MANIFEST}.jsonl")).size > 0


def iso(seconds: float) -> str:
    """A time of the epoch as UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _pretty(said: dict) -> str:
    return json.dumps(said, indent=2, ensure_ascii=False) + "\n"


def _point(output: str, view_id: str) -> None:
    """Make a view the latest, in one step."""
    if not storage.is_remote(output):
        try:
            _link(f"{VIEWS}/{view_id}", os.path.join(output, LATEST))
            storage.settle(output)
            return
        except OSError:
            pass  # a file system without links
    storage.write_text(storage.join(output, LATEST_JSON), json.dumps({"view": f"{VIEWS}/{view_id}"}) + "\n")
    storage.settle(output)


def _link(to: str, name: str) -> None:
    staged = f"{name}.unfinished"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    os.symlink(to, staged)
    os.replace(staged, name)


def _put_in_front(output: str, view: str) -> None:
    """Have the folder's own names lead to a view's files."""
    as_parquet = storage.exists(storage.join(view, f"{TABLES[0]}{PARQUET}"))
    suffix, other = (PARQUET, ".jsonl") if as_parquet else (".jsonl", PARQUET)
    names = [*(f"{name}{suffix}" for name in TABLES), f"{MANIFEST}.jsonl"]
    gone = [storage.join(output, f"{name}{other}") for name in TABLES]
    if not storage.is_remote(output) and os.path.islink(os.path.join(output, LATEST)):
        for name in (*names, RUN_JSON):
            path = os.path.join(output, name)
            if not os.path.islink(path):
                _link(f"{LATEST}/{name}", path)
        storage.remove(gone)
        return
    front = storage.join(output, RUN_JSON)
    if storage.exists(front) and storage.read_bytes(front) == storage.read_bytes(storage.join(view, RUN_JSON)):
        return
    storage.remove([front])
    for name in (*names, RUN_JSON):
        storage.copy(storage.join(view, name), storage.join(output, name))
    storage.remove(path for path in gone if storage.exists(path))


def close_run(output: str, said: dict) -> None:
    """Write down how a run ended, now that its parts are in the latest view."""
    folder = run_folder(output, said["run_id"])
    storage.make_folder(folder)
    storage.write_text(storage.join(folder, RUN_JSON), _pretty(said))


def tidy(output: str) -> None:
    """Remove what nobody needs: views but the latest and the one before, pictures that only those before it show."""
    latest = latest_view(output)
    if latest is None:
        return
    folder = storage.join(output, VIEWS)
    about = read_json(storage.join(latest, VIEW_JSON)) or {}
    current, before = storage.base_name(latest), about.get("before")
    others = [name for name in storage.list_folders(folder) if name != current]
    for name in others:
        _remove_replaced(output, storage.join(folder, name), latest)
        if name != before:
            storage.remove_folder(storage.join(folder, name))


def _remove_replaced(output: str, view: str, latest: str) -> None:
    """Remove the thumbnails that a view replaced, but for those that the latest shows, of whatever video."""
    path = storage.join(view, REPLACED)
    if not storage.exists(path):
        return
    with storage.plain_errors(), storage.open_stream(path) as lines:
        while batch := {line.decode().rstrip("\n") for line in itertools.islice(lines, REPLACED_AT_ONCE)}:
            with storage.open_stream(storage.join(latest, "key_frames.jsonl")) as rows:
                for row in rows:
                    batch.discard(json.loads(row).get("thumbnail"))
            storage.remove(storage.join(output, name) for name in batch)
    storage.remove([path])


def clear_litter(output: str, run_id: str) -> None:
    """Remove what a run that died has left besides its finished parts."""
    folder = run_folder(output, run_id)
    sweep(folder)
    finished = set(finished_parts(output, run_id))
    for name in storage.list_folders(folder):
        if storage.join(folder, name) not in finished:
            storage.remove_folder(storage.join(folder, name))


def sweep(folder: str) -> None:
    """Under the lock: remove files that somebody died over writing; on remote storages there are none."""
    if not storage.is_remote(folder):
        with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".unfinished"):
                    os.unlink(entry.path)


def check_output(output: str, force: bool) -> None:
    """Check a folder of results before any work is done; it is made where there is none.

    Raises:
        OutputError: it cannot be written to, or holds results of an earlier version and `force` is not set.
    """
    try:
        names = {storage.base_name(path) for path in storage.list_folder(output)}
        old = RUN_JSON in names and latest_view(output) is None
    except OSError as error:
        raise OutputError(f"{output}: cannot be listed: {storage.plainly(error)}") from error
    if old and not force:
        raise OutputError(
            f"{output}: holds results of an earlier version of movie-tags, to which none can be added; choose another "
            "folder, or add --force to replace them"
        )
    try:
        storage.make_folder(output)
    except OSError as error:
        raise OutputError(f"{output}: cannot be made a folder for results: {storage.plainly(error)}") from error
    if not storage.is_remote(output) and not os.access(output, os.W_OK):
        raise OutputError(f"{output}: may not be written to")
