"""Tagging anew on this machine what was seen already, without Beam, whose start alone costs more than most of it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from movie_tags import storage
from movie_tags.models.ensemble import Ensemble
from movie_tags.pipeline.batches import Batch
from movie_tags.pipeline.film_rows import counts_of, entries_of
from movie_tags.pipeline.method import Method
from movie_tags.pipeline.seen import Teller, read_seen
from movie_tags.pipeline.summing_up import film_rule, summed_up
from movie_tags.progress import report_progress
from movie_tags.records import Failure, Film, Video, named
from movie_tags.results.features import FEATURES
from movie_tags.results.manifest import Due, read_due
from movie_tags.results.parts import Part
from movie_tags.results.reading import TABLES
from movie_tags.results.run_records import RunRecord
from movie_tags.results.schema import MANIFEST, to_row
from movie_tags.results.sort import in_order, lines_of

FILMS = 200
"""Of a batch, at most: their features are held in memory."""
TAGS, _, _, ERRORS = TABLES


@dataclass(frozen=True)
class Split:
    """What is due, parted.

    Attributes:
        seen: batches of what need not be opened, each of films that one part keeps.
        opened: the list of what must be opened, in its order; its films are `films`.
    """

    seen: Sequence[Batch]
    opened: str
    films: int


def split(due: str, folder: str, scratch: str) -> Split:
    """Part what is due by whether it must be opened.

    Args:
        due: a list of `Due` lines.
        folder: where each batch's own list goes.
        scratch: a local folder.
    """
    opened, films = os.path.join(scratch, "opened.jsonl"), 0
    batches: list[Batch] = []
    with open(opened, "wb") as out:
        for line in lines_of([due]):
            if not Due.of(line).video.seen:
                out.write(line)
                films += 1
    seen = (line for line in lines_of([due]) if Due.of(line).video.seen)
    for lines in _pieces(in_order(seen, _by_part, scratch)):
        name = f"anew-{len(batches):05}"
        path = storage.join(folder, f"{name}.jsonl")
        storage.write_bytes(path, b"".join(lines))
        batches.append(Batch(name, path, len(lines)))
    return Split(batches, opened, films)


def _by_part(line: bytes) -> tuple[str, str]:
    video = Due.of(line).video
    return video.seen, video.id


def _pieces(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    """Lines in order of their parts, some of a part at a time."""
    for _, of_part in itertools.groupby(lines, key=lambda line: _by_part(line)[0]):
        while piece := list(itertools.islice(of_part, FILMS)):
            yield piece


class RetagHere:
    """Tags batches anew, one after the other, into parts."""

    def __init__(self, models: Ensemble, method: Method, run: RunRecord, told: Callable[[], bool] = lambda: False):
        """
        Args:
            models, method: of the run.
            run: of which run it is.
            told: whether the run is told to end: the film in hand is the last.

        Raises:
            BundleError: a bundle has no head, or none that can be read.
        """
        self.method, self.run, self.told = method, run, told
        self.teller, self.rule = Teller(models, method), film_rule(models, method)

    def tag(self, batch: Batch, part: Part) -> dict[str, int]:
        """Write the tables of a part, not yet finished; returns our counters."""
        storage.make_folder(part.address)
        counters: Counter = Counter()
        due = list(read_due(batch.due))
        with contextlib.ExitStack() as stack:
            out = {name: stack.enter_context(storage.create(f"{part.raw(name)}.jsonl")) for name in (*TABLES, MANIFEST)}
            rows = _Rows(out, part.name, self.run)
            for item, seen in read_seen(part.results, due[0].video.seen, due):
                video, known = self.teller.known(item, seen)
                counters["key_frames_tagged_anew"] += len(known["key_frames"])
                records = summed_up(known, self.rule, self.method)
                counters["videos_tagged" if records[TAGS] else "videos_failed"] += 1
                rows.write(video, records)
                report_progress(films_anew=1)
                if self.told():
                    break
        part.write_counts(rows.counts)
        return dict(sorted(counters.items()))


class _Rows:
    """Writes films' records as rows of a part."""

    def __init__(self, out: Mapping[str, IO[bytes]], part: str, run: RunRecord):
        self.out, self.part, self.run = out, part, run
        self.counts: Counter = Counter()

    def write(self, video: Video, records: Mapping[str, Sequence[Any]]) -> None:
        for name, found in records.items():
            for record in found if name != FEATURES else ():  # which stay where they are
                whole = named(record, video)
                row = to_row(whole)
                for counted, n in counts_of(name, row):
                    self.counts[counted] += n
                self.out[name].write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
                if isinstance(record, Film | Failure):
                    for entry in entries_of((video, whole), self.run, self.part):
                        self.out[MANIFEST].write(f"{entry}\n".encode())
