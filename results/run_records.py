"""Records of runs, of their parts and of snapshots: what run.json, part.json and view.json say."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from movie_tags import storage

DONE, INTERRUPTED, FAILED, DIED = "done", "interrupted", "failed", "died"
"""How a run ended."""
OF_TAG = "of_tag"
"""In a run's `work`: that of the last `movie-tags tag` before it."""


def iso(seconds: float) -> str:
    """A time of the epoch as UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def seconds_of(text: str) -> float:
    """Such a time as seconds of the epoch."""
    return datetime.fromisoformat(text).timestamp()


@dataclass(frozen=True)
class _Written:
    """A record that is a file of one JSON object."""

    @classmethod
    def of(cls, said: dict) -> Self:
        """The record of a JSON object; what it does not know is passed over."""
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in said.items() if name in known})

    @property
    def said(self) -> dict[str, Any]:
        """The JSON object."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def write(self, path: str) -> None:
        """Write it, whole or not at all."""
        storage.write_text(path, json.dumps(self.said, indent=2, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class RunRecord(_Written):
    """run.json: what a run is and, from `counters` on, how it ended; begun.json is the same of one that has not ended.

    Attributes:
        run_id: unlike any other's.
        begun: when (UTC).
        inputs: as the user named them.
        format: of the tables.
        method_key, seen_key, method, work, model, versions: with what.
        counters: the pipeline's own.
        state: how it ended.
        ended: when (UTC).
        wall_s: seconds it took.
        due: how many videos were, by reason.
        counts: of inputs, videos, key frames.
        parts: how many were done.
        left: videos that it left due.
        totals: of the snapshot: videos by status, seconds of film.
    """

    run_id: str
    begun: str = ""
    inputs: list[str] = field(default_factory=list)
    format: str = "jsonl"
    method_key: str = ""
    seen_key: str = ""
    method: dict = field(default_factory=dict)
    work: dict = field(default_factory=dict)
    model: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    state: str = ""
    ended: str = ""
    wall_s: float = 0.0
    due: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    parts: int = 0
    left: int = 0
    totals: dict = field(default_factory=dict)

    @property
    def work_of_tag(self) -> dict:
        """`work` of the last `movie-tags tag`, which `movie-tags retag` passes on beside its own."""
        return self.work.get(OF_TAG, self.work)


@dataclass(frozen=True)
class PartRecord(_Written):
    """part.json: a part is finished.

    Attributes:
        run_id, method_key: of its run.
        at: when it was finished (UTC).
        counters: the pipeline's own.
        counts: of videos and key frames.
    """

    run_id: str
    method_key: str
    at: str
    counters: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SnapshotRecord(_Written):
    """view.json: a snapshot of all that is known.

    Attributes:
        view: its name.
        before: the name of the one that it replaced.
        totals: videos by status, seconds of film.
        of_catalogue: failures of the catalogue itself, which each run finds anew.
        layout: `reading.LAYOUT` of the version that wrote it.
        corrections: of what people said that lies on its tables (`Held.fingerprint`); "" where nothing does.
        corrected: on how many films' rows it lies.
    """

    view: str
    before: str | None = None
    totals: dict = field(default_factory=dict)
    of_catalogue: int = 0
    layout: int = 0
    corrections: str = ""
    corrected: int = 0
