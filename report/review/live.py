"""The catalogue in memory: the latest view of a folder of results with what people say, followed as either changes."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.records import Film, KeyFrame, Span
from movie_tags.results import overlay
from movie_tags.results.corrections import Correction, Corrections, Held, Verdicts
from movie_tags.results.film_tables import Results, slug
from movie_tags.results.reading import read_table, view_of
from movie_tags.results.schema import reader_of


@dataclass(frozen=True)
class Catalogue:
    """One view of a folder of results, and what people say of it.

    Attributes:
        results: the view's tables.
        rows: the films as the run wrote them, by the names of their pages.
        held: what people say.
        version: unlike that of any other state of this folder.
        corrected: films with what people say of them, by the names of their pages: with what was said.
    """

    results: Results
    rows: dict[str, Film]
    held: Held
    version: tuple
    corrected: dict[str, tuple[Verdicts, Film]] = field(default_factory=dict)

    def verdicts(self, film: Film) -> Verdicts:
        """What people say of a film."""
        return self.held.of(film.id, film.content)

    def film(self, name: str) -> Film:
        """A film by the name of its page, with what people say.

        Raises:
            KeyError: there is none.
        """
        row = self.rows[name]
        verdicts = self.verdicts(row)
        if not verdicts:
            return row
        if name not in self.corrected or self.corrected[name][0] is not verdicts:
            self.corrected[name] = verdicts, overlay.film(row, verdicts)
        return self.corrected[name][1]

    def films(self) -> dict[str, Film]:
        """All films, by the names of their pages."""
        return {name: self.film(name) for name in self.rows} if self.held else self.rows

    def names(self) -> dict[str, str]:
        """The names of the films' pages, by the films' ids."""
        return {film.id: name for name, film in self.rows.items()}

    def key_frames(self, film: Film) -> tuple[KeyFrame, ...]:
        """The key frames of a film, with what people say."""
        return self.results.key_frames(film.id, self.verdicts(film))

    def spans(self, film: Film) -> tuple[Span, ...]:
        """The spans of a film, with what people say."""
        return self.results.spans(film.id, self.verdicts(film))

    def picture(self, frame: KeyFrame) -> bytes | None:
        """The JPEG file of a key frame; None where there is none inside the folder of results, links followed."""
        if not storage.is_remote(self.results.folder):
            path = os.path.realpath(os.path.join(self.results.folder, frame.thumbnail))
            if not path.startswith(os.path.realpath(self.results.folder) + os.sep):
                return None
        return self.results.thumbnail(frame)


class Live:
    """The catalogue as it is now; what has not changed is not read again."""

    def __init__(self, folder: str):
        """
        Raises:
            OutputError: the folder holds no results, or they cannot be read.
        """
        self.folder = folder
        self.corrections = Corrections(folder)
        self._said: list[Correction] = []
        self._folded: Held | None = None
        self._position = 0
        self._lock = threading.Lock()
        self._work: Callable[[Catalogue], None] = lambda _: None
        self._now = self._read()

    def prepare(self, work: Callable[[Catalogue], None]) -> None:
        """Do some work beside others for the view that is the latest now, and for each that will be."""
        with self._lock:
            self._work = work
            self._begin()

    def _begin(self) -> None:
        threading.Thread(target=_quietly, args=(self._work, self._now), daemon=True).start()

    def now(self) -> Catalogue:
        """The latest view, with all that has been said.

        Raises:
            OutputError: it cannot be read.
        """
        with self._lock:
            seen = self.corrections.changed()
            if view_of(self.folder) != self._now.results.view:
                self._now = self._read()
                self._begin()
            elif self._now.version[1] != seen:
                self._now = replace(self._now, held=self._held(), version=(self._now.results.view, seen))
            return self._now

    def _read(self) -> Catalogue:
        seen = self.corrections.changed()
        results = Results(self.folder)
        read = reader_of(Film)
        rows = {slug(film): film for film in map(read, read_table(results.view, "tags"))}
        if gc.get_freeze_count():  # of the view before, and what has gone since
            gc.unfreeze()
            gc.collect()
        gc.freeze()  # records in no cycles, hundreds of thousands of them: collections need not look through them
        return Catalogue(results, rows, self._held(), (results.view, seen))

    def _held(self) -> Held:
        if storage.is_remote(self.folder):
            return Held(self.corrections)
        more, self._position = self.corrections.since(self._position)
        self._said += more
        if self._folded is not None:
            self._folded = self._folded.and_then(more)
        if self._folded is None:
            self._folded = Held(self._said)
        return self._folded


def _quietly(work: Callable[[Catalogue], None], now: Catalogue) -> None:
    with contextlib.suppress(UserError, OSError):  # said to whoever asks for the same
        work(now)
