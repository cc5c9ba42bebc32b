"""Snapshots: one consistent set of tables of all that is known, replaced in one atomic step.

    views/VIEW_ID/*        the tables, the manifest and run.json: one row for each video; people's corrections laid over
    views/VIEW_ID/model/*  of films with corrections, the rows as the model says them
    latest                 a link to the latest snapshot (elsewhere than on a local disk: latest.json, which names it)
    tags.jsonl, …, run.json    links to latest/… (elsewhere: copies; run.json goes first and comes last)
    thumbnails/            pictures named by their content, which the tables of any part may show

A run that dies at whatever instant leaves the latest snapshot as it was, and its finished parts for the next run to put
in. The snapshot before the latest is kept for those who are reading it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import tempfile
from collections.abc import Sequence

from movie_tags import storage
from movie_tags.results.corrections import Corrections, Held
from movie_tags.results.merge import merge
from movie_tags.results.parts import Part
from movie_tags.results.reading import (
    CORRECTED,
    FORMATS,
    LATEST,
    LATEST_JSON,
    LAYOUT,
    MODEL,
    PARQUET,
    RUN_JSON,
    TABLES,
    VIEW_JSON,
    VIEWS,
    files_of_model,
    latest_view,
    read_json,
)
from movie_tags.results.run_records import RunRecord, SnapshotRecord
from movie_tags.results.schema import MANIFEST

REPLACED = "replaced.txt"
REPLACED_AT_ONCE = 100_000
"""Names of pictures that are held in memory."""


def publish(
    folder: str, name: str, run: RunRecord, parts: Sequence[Part], max_attempts: int, reread: bool
) -> RunRecord:
    """Make a snapshot of the latest one and parts, corrections laid over, and put it in its place. Idempotent.

    Args:
        folder: of results.
        name: of the snapshot, unlike any other's.
        run: what run.json says, less `totals`.
        parts: finished ones.
        max_attempts: retryable failures are quarantined from so many on.
        reread: the catalogue was read again, and what was wrong with it is among the parts.

    Returns:
        What run.json says.
    """
    target = storage.join(folder, VIEWS, name)
    before = latest_view(folder)
    if before is not None and storage.base_name(before) == name:  # done before; what follows may not have been
        put_in_front(folder, before)
        return RunRecord.of(read_json(storage.join(before, RUN_JSON)) or run.said)
    storage.remove_folder(target)  # of an attempt that died
    storage.make_folder(target)
    held = Held(Corrections(folder))  # what comes later is laid over by whoever reads, and comes in with the next
    record = _write_tables(before, parts, target, run.format, max_attempts, reread, held)
    run = dataclasses.replace(run, totals=record.totals)
    record.write(storage.join(target, VIEW_JSON))
    run.write(storage.join(target, RUN_JSON))
    if record.corrected:
        storage.settle(storage.join(target, MODEL))
    storage.settle(target)
    _point(folder, name)
    put_in_front(folder, target)
    return run


def record_of(snapshot: str) -> SnapshotRecord | None:
    """What view.json says; None where there is none."""
    said = read_json(storage.join(snapshot, VIEW_JSON))
    return None if said is None else SnapshotRecord.of(said)


def _write_tables(
    before: str | None,
    parts: Sequence[Part],
    target: str,
    table_format: str,
    max_attempts: int,
    reread: bool,
    held: Held,
) -> SnapshotRecord:
    """Write a snapshot's tables; those of the one before are copied where neither parts nor people change anything."""
    known = record_of(before) if before else None
    stale = reread and known is not None and known.of_catalogue  # failures of the catalogue, which was read anew
    corrections = held.fingerprint
    news = stale or any(part.says_something for part in parts)
    news = news or (known is not None and known.corrections != corrections)
    record = SnapshotRecord(
        storage.base_name(target), before and storage.base_name(before), layout=LAYOUT, corrections=corrections
    )
    if before is not None and known is not None and not news:
        for name in (*TABLES, MANIFEST):
            storage.copy(storage.join(before, f"{name}.jsonl"), storage.join(target, f"{name}.jsonl"))
        _copy_rows_of_model(before, target)
        record = dataclasses.replace(
            record, totals=known.totals, of_catalogue=known.of_catalogue, corrected=known.corrected
        )
    else:
        folders = [before, *(part.address for part in parts)]
        with tempfile.TemporaryDirectory(prefix="movie-tags-") as scratch:
            found = merge(folders, target, max_attempts, reread, scratch, REPLACED, held)
        record = dataclasses.replace(
            record, totals=found.said(), of_catalogue=found.of_catalogue, corrected=found.corrected
        )
    if table_format != FORMATS[0]:
        _write_parquet(target, None if news else before)
    return record


def _copy_rows_of_model(before: str, target: str) -> None:
    """Copy what a snapshot has of corrected films as the model says it."""
    paths = [path for name in CORRECTED for path in files_of_model(before, name)]
    if paths:
        storage.make_folder(storage.join(target, MODEL))
    for path in paths:
        storage.copy(path, storage.join(target, MODEL, storage.base_name(path)))


def _write_parquet(target: str, same: str | None) -> None:
    """Write a snapshot's tables as Parquet; args: its folder; one with the same tables, which has them already."""
    from movie_tags.results import parquet

    for name in TABLES:
        path = f"{name}{PARQUET}"
        if same and storage.exists(storage.join(same, path)):
            storage.copy(storage.join(same, path), storage.join(target, path))
            continue
        with storage.open_stream(storage.join(target, f"{name}.jsonl")) as lines:
            parquet.write_rows(name, map(json.loads, lines), storage.join(target, path))


def _point(folder: str, snapshot: str) -> None:
    """Make a snapshot the latest: atomic."""
    if not storage.is_remote(folder):
        try:
            _link(f"{VIEWS}/{snapshot}", os.path.join(folder, LATEST))
            storage.settle(folder)
            return
        except OSError:
            pass  # a file system without links
    storage.write_text(storage.join(folder, LATEST_JSON), json.dumps({"view": f"{VIEWS}/{snapshot}"}) + "\n")
    storage.settle(folder)


def _link(to: str, name: str) -> None:
    staged = f"{name}.unfinished"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    os.symlink(to, staged)
    os.replace(staged, name)


def is_linked(folder: str) -> bool:
    """Whether a folder's own names are links, as on local disks."""
    return not storage.is_remote(folder) and os.path.islink(os.path.join(folder, LATEST))


def put_in_front(folder: str, snapshot: str) -> None:
    """Have the folder's own names lead to a snapshot's files. Idempotent."""
    as_parquet = storage.exists(storage.join(snapshot, f"{TABLES[0]}{PARQUET}"))
    suffix, other = (PARQUET, ".jsonl") if as_parquet else (".jsonl", PARQUET)
    names = [*(f"{name}{suffix}" for name in TABLES), f"{MANIFEST}.jsonl"]
    gone = [storage.join(folder, f"{name}{other}") for name in TABLES]
    if is_linked(folder):
        for name in (*names, RUN_JSON):
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                _link(f"{LATEST}/{name}", path)
        storage.remove(gone)
        return
    front = storage.join(folder, RUN_JSON)
    if storage.exists(front) and storage.read_bytes(front) == storage.read_bytes(storage.join(snapshot, RUN_JSON)):
        return
    storage.remove([front])
    for name in (*names, RUN_JSON):
        storage.copy(storage.join(snapshot, name), storage.join(folder, name))
    storage.remove(path for path in gone if storage.exists(path))


def collect_garbage(folder: str) -> None:
    """Garbage collection: remove snapshots but the latest and the one before, and pictures only older ones show."""
    latest = latest_view(folder)
    if latest is None:
        return
    snapshots = storage.join(folder, VIEWS)
    record = record_of(latest)
    others = [name for name in storage.list_folders(snapshots) if name != storage.base_name(latest)]
    for name in others:
        _remove_replaced(folder, storage.join(snapshots, name), latest)
        if record is None or name != record.before:
            storage.remove_folder(storage.join(snapshots, name))


def _remove_replaced(folder: str, snapshot: str, latest: str) -> None:
    """Remove the thumbnails that a snapshot replaced, but for those that the latest shows, of whatever video."""
    path = storage.join(snapshot, REPLACED)
    if not storage.exists(path):
        return
    with storage.plain_errors(), storage.open_stream(path) as lines:
        while batch := {line.decode().rstrip("\n") for line in itertools.islice(lines, REPLACED_AT_ONCE)}:
            with storage.open_stream(storage.join(latest, "key_frames.jsonl")) as rows:
                for row in rows:
                    batch.discard(json.loads(row).get("thumbnail"))
            storage.remove(storage.join(folder, name) for name in batch)
    storage.remove([path])
