"""Corrections in the tables of a snapshot: rows laid over, the model's own kept beside them for whoever reads anew.

A snapshot's tables have what people said until it was published. The house itself reads the model's rows
(`reading.read_table`) and lays over what holds now: nothing is laid over twice, and nothing that was taken back since.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import IO, Any

from movie_tags import storage
from movie_tags.records import Film, KeyFrame, Span
from movie_tags.results import overlay
from movie_tags.results.corrections import Held, Verdicts
from movie_tags.results.reading import CORRECTED, MODEL
from movie_tags.results.schema import from_row, to_line

Lines = Mapping[str, Sequence[bytes]]
"""A film's lines by table."""


class CorrectedRows:
    """What people say, laid over films' rows as they come into a snapshot. A context.

    Attributes:
        films: of how many films rows were laid over.
    """

    def __init__(self, held: Held, target: str):
        """Args: what people say that holds; the snapshot's folder."""
        self.films = 0
        self._held = held
        self._said = bool(held)
        self._folder = storage.join(target, MODEL)
        self._files = contextlib.ExitStack()
        self._own: dict[str, IO[bytes]] = {}

    def __enter__(self) -> CorrectedRows:
        return self

    def __exit__(self, *raised: Any) -> bool | None:
        return self._files.__exit__(*raised)

    def laid_over(self, lines: Lines) -> Lines:
        """A film's lines with what people say of it; the model's own are written down.

        Args:
            lines: by table, the model's.
        """
        if not self._said or not lines["tags"]:
            return lines
        row = json.loads(lines["tags"][0])
        verdicts = self._held.of(row["id"], row.get("content", ""))
        if not verdicts:
            return lines
        self._keep(lines)
        return {**lines, **{name: [*map(to_line, found)] for name, found in corrected(lines, verdicts).items()}}

    def _keep(self, lines: Lines) -> None:
        if not self.films:
            storage.make_folder(self._folder)
            for name in CORRECTED:
                path = storage.join(self._folder, f"{name}.jsonl")
                self._own[name] = self._files.enter_context(storage.create(path))
        self.films += 1
        for name, out in self._own.items():
            out.writelines(lines[name])


def corrected(lines: Lines, verdicts: Verdicts) -> dict[str, list]:
    """A film's records by table, with what people say of them. Args: the model's lines; what holds of the film."""
    (film,) = _records(Film, lines["tags"])
    frames = [overlay.key_frame(frame, verdicts) for frame in _records(KeyFrame, lines["key_frames"])]
    spans = overlay.spans(list(_records(Span, lines["spans"])), verdicts)
    return {
        "tags": [overlay.film(film, verdicts)],
        "key_frames": frames,
        "spans": [replace(span, id=film.id) for span in spans],
    }


def _records(record: type, lines: Sequence[bytes]) -> Iterator[Any]:
    return (from_row(record, json.loads(line)) for line in lines)
