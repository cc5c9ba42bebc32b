"""A folder of results as an object: its lock, the parts of its runs, publishing, and reading what is latest."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from movie_tags import storage
from movie_tags.records import GONE, Entry
from movie_tags.results import features, lock
from movie_tags.results.owner import Held
from movie_tags.results.parts import PLAN, Part, RunFolder, sweep
from movie_tags.results.reading import (
    FORMATS,
    LATEST,
    RUN_JSON,
    RUNS,
    TABLES,
    THUMBNAILS,
    OutputError,
    latest_view,
    read_json,
    read_records,
    view_of,
)
from movie_tags.results.run_records import DIED, DONE, PartRecord, RunRecord, iso, seconds_of
from movie_tags.results.schema import MANIFEST, from_row, to_line
from movie_tags.results.snapshots import collect_garbage, is_linked, publish
from movie_tags.results.sort import lines_of

COUNTED = ("inputs_read", "inputs_merged", "videos_tagged", "videos_failed", "key_frames_tagged", "key_frames_failed")
"""What is counted even where it did not occur."""
PRUNED = "pruned"
"""How a run ends that removes results, and the part that says which."""
DUE_COUNT = "due: "
"""What the names of counts of due videos begin with."""


@dataclass(frozen=True)
class ResultsFolder:
    """A folder of results, local or remote.

    Attributes:
        address: of the folder.
    """

    address: str

    def __str__(self) -> str:
        return self.address

    @property
    def is_remote(self) -> bool:
        """Whether it is on a remote storage."""
        return storage.is_remote(self.address)

    def path(self, *names: str) -> str:
        """The address of something in it."""
        return storage.join(self.address, *names)

    # Reading

    @property
    def latest(self) -> str | None:
        """The latest snapshot's folder; None where nothing was published.

        Raises:
            OSError: the storage does not say.
            OutputError: another version of movie-tags wrote it, or it cannot be read.
        """
        return latest_view(self.address)

    @property
    def manifest(self) -> str | None:
        """The latest manifest's address; None where nothing was published."""
        latest = self.latest
        return None if latest is None else storage.join(latest, f"{MANIFEST}.jsonl")

    def read(self, table: str) -> Iterator[Any]:
        """The records of a table of the latest snapshot.

        Raises:
            OutputError: it cannot be read.
        """
        yield from read_records(self.address, table)

    @property
    def last_run(self) -> RunRecord | None:
        """What run.json says of the last run that was published; None where there is none.

        Raises:
            OutputError: it cannot be read.
        """
        said = read_json(storage.join(view_of(self.address), RUN_JSON))
        return None if said is None else RunRecord.of(said)

    # Before a run

    def check(self) -> None:
        """Check it before any work is done; it is made where there is none.

        Raises:
            OutputError: it cannot be written to, or holds what this version of movie-tags did not write.
        """
        try:
            latest = self.latest
            names = {storage.base_name(path) for path in storage.list_folder(self.address)}
        except OSError as error:
            raise OutputError(f"{self.address}: cannot be listed: {storage.plainly(error)}") from error
        self._refuse_foreign(names, latest)
        try:
            storage.make_folder(self.address)
        except OSError as error:
            reason = storage.plainly(error)
            raise OutputError(f"{self.address}: cannot be made a folder for results: {reason}") from error
        if not storage.is_remote(self.address) and not os.access(self.address, os.W_OK):
            raise OutputError(f"{self.address}: may not be written to")

    def _refuse_foreign(self, names: set[str], latest: str | None) -> None:
        """Refuse files of our names that we did not write: they would be lost."""
        ours = {f"{name}.{kind}" for name in TABLES for kind in FORMATS} | {f"{MANIFEST}.jsonl", RUN_JSON}
        there = sorted(names & (ours | {LATEST}))
        if latest is not None:
            links = is_linked(self.address)
            there = [name for name in there if links and not os.path.islink(self.path(name))]
        elif self.unfinished_runs():  # its tables may have come in front, and then nothing more
            there = []
        if there:
            raise OutputError(
                f"{self.path(there[0])}: was not written by this version of movie-tags and would be lost; choose "
                "another folder for the results, or move it away"
            )

    def locked(self, run_id: str, break_lock: bool = False) -> AbstractContextManager[None]:
        """Hold it for this process, as long as the context.

        Raises:
            LockError: another run holds it.
        """
        return lock.locked(self.address, run_id, break_lock)

    def held(self) -> Held | None:
        """Who holds it; None where nobody does.

        Raises:
            OSError: the storage does not say.
        """
        return lock.held(self.address)

    # Runs

    def run(self, run_id: str) -> RunFolder:
        """What a run has left."""
        return RunFolder(self.path(RUNS, run_id))

    def runs(self) -> list[RunFolder]:
        """Those of all runs, the oldest first."""
        return [self.run(run_id) for run_id in storage.list_folders(self.path(RUNS))]

    def unfinished_runs(self) -> list[RunFolder]:
        """Those of runs that have not ended, the oldest first: under a lock, runs that died."""
        return [run for run in self.runs() if not storage.exists(storage.join(run.address, RUN_JSON))]

    def finish(self, run: RunRecord, state: str, max_attempts: int) -> RunRecord:
        """Publish a run's finished parts, and close the run. Idempotent.

        Args:
            run: what run.json says, less how it ended.
            state: how it ended.
            max_attempts: retryable failures are quarantined from so many on.

        Returns:
            What run.json says.
        """
        left = self.run(run.run_id)
        if left.ended is not None:
            return left.ended
        parts = left.finished_parts()
        planned = any(part.name == PLAN for part in parts)
        run = _summed_up(run, state, parts)
        if state != DONE and not any(part.says_something for part in parts if part.name != PLAN):  # nothing is done
            self.forget(left)
            return dataclasses.replace(run, totals=self.totals())
        run = publish(self.address, run.run_id, run, parts, max_attempts, reread=planned)
        left.close(run)
        left.clear_litter()
        collect_garbage(self.address)
        return run

    def forget(self, run: RunFolder) -> None:
        """Remove what a run has left that has done nothing."""
        run.remove()
        if latest_view(self.address) is None:
            storage.remove_folder(self.path(THUMBNAILS))

    def prune(self, run: RunRecord, gone: Iterable[str]) -> int:
        """Under the lock: remove what belongs to some videos, as a run of its own; returns how many they are.

        Args:
            run: the run, less how it ended.
            gone: the videos' ids.
        """
        left = self.run(run.run_id)
        part = left.part(PRUNED)
        storage.make_folder(part.address)
        part.write(MANIFEST, (to_line(Entry(id, status=GONE)) for id in gone))
        removed = sum(1 for _ in lines_of(part.raw_files(MANIFEST)))
        if not removed:
            self.forget(left)
            return 0
        part.finish(PartRecord(run.run_id, "", iso(time.time())))
        # What run.json says of the last tagging run goes on being said.
        publish(self.address, run.run_id, self.last_run or run, [part], sys.maxsize, reread=False)
        ended = time.time()
        wall_s = round(ended - seconds_of(run.begun), 3)
        counts = {"removed": removed}
        left.close(dataclasses.replace(run, state=PRUNED, ended=iso(ended), wall_s=wall_s, counts=counts))
        collect_garbage(self.address)
        features.collect_garbage(self.address, self.parts_with_features())
        return removed

    def parts_with_features(self) -> set[str]:
        """The parts whose features some film's entry names, as paths in this folder."""
        lines = lines_of([self.manifest] if self.manifest else [])
        return {entry.features for entry in (from_row(Entry, json.loads(line)) for line in lines)} - {""}

    def totals(self) -> dict:
        """Of the latest snapshot: videos by status, seconds of film; empty where nothing was published."""
        return self.last_run.totals if self.last_run else {}

    def adopt(self, max_attempts: int) -> list[str]:
        """Under the lock: publish what runs that died have finished; returns their ids."""
        sweep(self.address)
        died = self.unfinished_runs()
        for run in died:
            begun = run.begun
            if begun is None:
                storage.remove_folder(run.address)
            else:
                self.finish(begun, DIED, max_attempts)
        return [run.run_id for run in died]


def _summed_up(run: RunRecord, state: str, parts: Sequence[Part]) -> RunRecord:
    """A run's record with what the records of its finished parts add up to."""
    counts: Counter = Counter(dict.fromkeys(COUNTED, 0))
    counters: Counter = Counter()
    done = 0
    times = [seconds_of(run.begun)]
    for part in parts:
        record = part.record or PartRecord(run.run_id, "", run.begun)
        counts.update(record.counts)
        counters.update(record.counters)
        times.append(seconds_of(record.at))
        if part.name != PLAN:  # whose failures were not due
            done += sum(record.counts.get(name, 0) for name in ("videos_tagged", "videos_failed", "videos_lost"))
    due = {name.removeprefix(DUE_COUNT): counts.pop(name) for name in sorted(counts) if name.startswith(DUE_COUNT)}
    ended = max(times) if state == DIED else time.time()
    return dataclasses.replace(
        run,
        counters=dict(sorted(counters.items())),
        state=state,
        ended=iso(ended),
        wall_s=round(ended - times[0], 3),
        due=due,
        counts=dict(counts),
        parts=sum(part.name != PLAN for part in parts),
        left=max(0, sum(due.values()) - done),
    )


@contextlib.contextmanager
def scratch_results() -> Iterator[ResultsFolder]:
    """A folder of results that lasts as long as the context."""
    with tempfile.TemporaryDirectory(prefix="movie-tags-") as scratch:
        yield ResultsFolder(scratch)
