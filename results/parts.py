"""Parts: what a run has written piece by piece, each finished by an atomic step and never changed after it.

runs/RUN_ID/begun.json             what the run is; written first
runs/RUN_ID/PART/*.jsonl           the tables and the manifest of a part, in order of id
runs/RUN_ID/PART/part.json         written last: a part is one that has it, all else is litter of a run that died
runs/RUN_ID/run.json               how the run ended; written when its parts are in the latest snapshot
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from movie_tags import storage
from movie_tags.records import Failure, Video, named
from movie_tags.results.manifest import Due, failed_entry, id_of
from movie_tags.results.reading import RUN_JSON, TABLES, read_json
from movie_tags.results.run_records import PartRecord, RunRecord
from movie_tags.results.schema import MANIFEST, to_line
from movie_tags.results.sort import in_order, key_of, lines_of

BEGUN_JSON, PART_JSON = "begun.json", "part.json"
PLAN = "plan"
"""The part that holds what is wrong with the catalogue."""
RAW = "raw-"
"""What the names of a part's tables begin with until they are in order."""
DUE, COUNTS = "due", "counts"


@dataclass(frozen=True)
class Part:
    """A part of a run: its folder."""

    address: str

    @property
    def name(self) -> str:
        """Of the folder."""
        return storage.base_name(self.address)

    @property
    def results(self) -> str:
        """The folder of results that it is in."""
        return self.address.removesuffix("/").rsplit("/", 3)[0]

    @property
    def record(self) -> PartRecord | None:
        """What part.json says; None of one that is not finished."""
        said = read_json(storage.join(self.address, PART_JSON))
        return None if said is None else PartRecord.of(said)

    @property
    def says_something(self) -> bool:
        """Whether, when finished, it has anything to say of any video: the manifest names each that its tables do."""
        return storage.about(storage.join(self.address, f"{MANIFEST}.jsonl")).size > 0

    def raw(self, table: str) -> str:
        """What the names of a table's files begin with, before the part is finished."""
        return storage.join(self.address, f"{RAW}{table}")

    def raw_files(self, table: str) -> list[str]:
        """The files of a table that are written and not yet in order."""
        return storage.list_folder(self.address, f"{RAW}{table}[-.]*jsonl")

    def write(self, table: str, lines: Iterable[bytes], suffix: str = "") -> None:
        """Write a file of a table, in any order."""
        with storage.create(f"{self.raw(table)}{suffix}.jsonl") as out:
            out.writelines(lines)

    def write_counts(self, counts: Mapping[str, int]) -> None:
        """Write what is to be counted."""
        lines = (json.dumps({"name": name, "n": n}) + "\n" for name, n in counts.items())
        self.write(COUNTS, (line.encode() for line in lines))

    def counts(self) -> Counter:
        """What has been counted, before the part is finished."""
        counts: Counter = Counter()
        for row in map(json.loads, lines_of(self.raw_files(COUNTS))):
            counts[row["name"]] += row["n"]
        return counts

    def finish(self, record: PartRecord, due: str | None = None) -> PartRecord:
        """Put its tables in order and declare it finished. Idempotent.

        Args:
            record: less counts.
            due: the list of its videos; one of which nothing came back becomes a failure. None: all that is written
                is all there is.

        Returns:
            What part.json says.
        """
        if self.record is not None:
            return self.record
        counts = self.counts()
        with tempfile.TemporaryDirectory(prefix="movie-tags-") as scratch:
            if due is not None:
                counts["videos_lost"] += self._write_lost(list(self._lost(due, scratch)), record)
            for name in (*TABLES, MANIFEST):
                with storage.create(storage.join(self.address, f"{name}.jsonl")) as out:
                    out.writelines(in_order(lines_of(self.raw_files(name)), key_of, scratch))
        storage.settle(self.address)
        said = dataclasses.replace(record, counts=dict(+counts))
        said.write(storage.join(self.address, PART_JSON))
        storage.settle(self.address)
        storage.remove(storage.list_folder(self.address, f"{RAW}*"))
        return said

    def _write_lost(self, lost: list[Video], record: PartRecord) -> int:
        if lost:
            failure = Failure("accounting", "nothing of it came back; run again", retryable=True)
            entries = [failed_entry(video, failure, record.method_key, record.run_id, record.at) for video in lost]
            self.write(MANIFEST, map(to_line, entries), "-lost")
            self.write("errors", (to_line(named(failure, video)) for video in lost), "-lost")
        return len(lost)

    def _lost(self, due: str, scratch: str) -> Iterator[Video]:
        """The videos of a list that the manifest does not name."""
        entries = (id_of(line) for line in in_order(lines_of(self.raw_files(MANIFEST)), _by_id, scratch))
        seen = next(entries, None)
        for line in in_order(lines_of([due]), _by_id, scratch):
            (due_id,) = _by_id(line)
            while seen is not None and seen < due_id:
                seen = next(entries, None)
            if seen != due_id:
                yield Due.of(line).video


def _by_id(line: bytes) -> tuple:
    return (json.loads(line)["id"],)


@dataclass(frozen=True)
class RunFolder:
    """What a run has left: its folder."""

    address: str

    @property
    def run_id(self) -> str:
        """The run's."""
        return storage.base_name(self.address)

    @property
    def begun(self) -> RunRecord | None:
        """What the run is; None where it died before it could say."""
        return self._record(BEGUN_JSON)

    @property
    def ended(self) -> RunRecord | None:
        """How the run ended; None of one that has not."""
        return self._record(RUN_JSON)

    def _record(self, name: str) -> RunRecord | None:
        said = read_json(storage.join(self.address, name))
        return None if said is None else RunRecord.of(said)

    def begin(self, run: RunRecord) -> None:
        """Write down what the run is."""
        storage.make_folder(self.address)
        run.write(storage.join(self.address, BEGUN_JSON))

    def close(self, run: RunRecord) -> None:
        """Write down how the run ended, now that its parts are in the latest snapshot."""
        storage.make_folder(self.address)
        run.write(storage.join(self.address, RUN_JSON))

    def part(self, name: str) -> Part:
        """A part of it; its folder may not be there yet."""
        return Part(storage.join(self.address, name))

    def finished_parts(self) -> list[Part]:
        """Its finished parts, in order of their names."""
        parts = [self.part(name) for name in storage.list_folders(self.address)]
        return [part for part in parts if storage.exists(storage.join(part.address, PART_JSON))]

    def clear_litter(self) -> None:
        """Remove what a run that died has left besides its finished parts."""
        sweep(self.address)
        finished = set(self.finished_parts())
        for name in storage.list_folders(self.address):
            if self.part(name) not in finished:
                storage.remove_folder(self.part(name).address)

    def remove(self) -> None:
        """Remove it, as if the run had not been."""
        storage.remove_folder(self.address)
        if not storage.is_remote(self.address):
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(self.address))


def sweep(folder: str) -> None:
    """Under the lock: remove files that somebody died over writing; on remote storages there are none."""
    if not storage.is_remote(folder):
        with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".unfinished"):
                    os.unlink(entry.path)
