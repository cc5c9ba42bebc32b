"""Batches: what is due, cut into pieces that are tagged and published one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from movie_tags import storage
from movie_tags.results.manifest import Due, read_due
from movie_tags.results.sort import lines_of

BATCH_BYTES = 2 << 30
"""Of film files a worker process in one batch: some minutes of work."""
BATCH_VIDEOS = 500
STARTS = 3
"""A batch whose worker died is begun anew twice, then halved."""


@dataclass(frozen=True)
class Batch:
    """A piece of a run: the name of its part, the list of its videos, how many, and how often it has been begun."""

    name: str
    due: str
    videos: int
    begun: int = 0

    def begun_again(self) -> Batch:
        """The same, begun once more."""
        return dataclasses.replace(self, begun=self.begun + 1)


def cut(due: str, folder: str, videos: int | None, workers: int) -> list[Batch]:
    """Cut what is due into batches, in its order.

    Args:
        due: a list of `Due` lines.
        folder: where each batch's own list goes.
        videos: in a batch at most; None: by their bytes, and BATCH_VIDEOS at most.
        workers: processes that work at the same time.
    """
    batches: list[Batch] = []
    for lines in _pieces(due, videos or BATCH_VIDEOS, None if videos else BATCH_BYTES * max(1, workers)):
        name = f"part-{len(batches):05}"
        path = storage.join(folder, f"{name}.jsonl")
        # The largest first: what is begun last is then soon done, and no worker waits long for another.
        storage.write_bytes(path, b"".join(line for _, line in sorted(lines, key=lambda one: -one[0])))
        batches.append(Batch(name, path, len(lines)))
    return batches


def _pieces(due: str, most: int, most_bytes: int | None) -> Iterator[list[tuple[int, bytes]]]:
    """(size in bytes, line) of each piece's videos."""
    held: list[tuple[int, bytes]] = []
    size = 0
    for line in lines_of([due]):
        if held and (len(held) == most or (most_bytes is not None and size > most_bytes)):
            yield held
            held, size = [], 0
        bytes_of_it = Due.of(line).size
        held.append((bytes_of_it, line))
        size += bytes_of_it
    if held:
        yield held


def halve(batch: Batch) -> list[Batch]:
    """Two batches in place of one, each begun as often as it may be but for one time."""
    items = list(read_due(batch.due))
    halves = []
    for letter, half in zip("ab", (items[: len(items) // 2], items[len(items) // 2 :]), strict=True):
        due = f"{batch.due.removesuffix('.jsonl')}{letter}.jsonl"
        storage.write_bytes(due, b"".join(item.line() for item in half))
        halves.append(Batch(batch.name + letter, due, len(half), STARTS - 1))
    return halves
