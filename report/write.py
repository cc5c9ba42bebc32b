"""The report of a folder of results: a page a film and the catalogue, written into a folder, local or remote."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from movie_tags import storage
from movie_tags.records import Failure, Film
from movie_tags.report.index import Entry, catalogue_page
from movie_tags.report.markup import smaller
from movie_tags.report.page import FilmView, Notice, film_notices, film_page, held_in_page
from movie_tags.report.summary import choose, looks
from movie_tags.report.watch import Queue, watched
from movie_tags.results.film_tables import ReportError, Results, slug

FOLDER, FILMS, PICTURES, INDEX, WATCH = "report", "films", "pictures", "index.html", "watch.html"
CARD_SIDE, CARD_QUALITY = 256, 72
WRITERS = 16
"""Files that are on their way to a remote folder at a time."""
_OUR_STILLS = re.compile(r"watch(?:-\d+)?\.html\Z")
_OURS = re.compile(r"[a-z0-9-]+-[0-9a-f]{10}\.(?:html|jpg)\Z")


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Attributes:
        index: the address of its first page.
        films, failures: how many.
        watch: the address of the queue of stills, where one was asked for.
    """

    index: str
    films: int
    failures: int
    watch: str | None = None


def sources_of(film: Film, pages: str) -> tuple[list[str], Notice | None]:
    """Where a browser can play a film from.

    Args:
        film: the film.
        pages: the folder its page is written into.

    Returns:
        Addresses, tried one after the other, and what to tell the viewer where there is none.
    """
    scheme = storage.scheme_of(film.uri)
    if scheme in ("http", "https"):
        return [film.uri], None
    if scheme is not None:
        said = f"The film is at {film.uri}, which a browser cannot open: a click copies the timecode instead."
        return [], Notice("plain", said)
    path = os.path.abspath(film.uri)
    if not os.path.isfile(path):
        where = "" if os.path.isabs(film.uri) else f", seen from {os.getcwd()}, where this page was made"
        said = (
            f"The film is no longer at {film.uri}{where}: a click copies the timecode instead of playing it from there."
        )
        return [], Notice("", said)
    absolute = Path(path).as_uri()
    if storage.is_remote(pages):
        return [absolute], None
    # As long as film and report keep their places to each other, they may move, or be served, together.
    relative = os.path.relpath(path, os.path.abspath(pages)).replace(os.sep, "/")
    return [quote(os.fsencode(relative)), absolute], None


def write_report(
    folder: str,
    output: str | None = None,
    tell: Callable[[int], None] = lambda done: None,
    watch: Sequence[str] = (),
) -> Report:
    """Write the report of a folder of results.

    Args:
        folder: of results, local or remote.
        output: where to; `report` in the folder of results by default. Pages there of films that are no longer in the
            results are removed.
        tell: called with the number of films that are done.
        watch: tags of which a queue of stills is written, too (`report.watch`).

    Raises:
        ReportError: the report cannot be written.
        OutputError: the folder holds no results, or they cannot be read.
        UserError: a word of `watch` names no tag.
    """
    output = output or storage.join(folder, FOLDER)
    with Results(folder) as results:
        queue = Queue(watched(watch, results.run), results.run) if watch else None
        try:
            return _Writing(results, output, queue, tell).write()
        except OSError as error:
            raise ReportError(f"{output}: the report cannot be written: {storage.plainly(error)}") from error


class _Writing:
    """One report on its way: its files are written beside each other where the folder is remote."""

    def __init__(self, results: Results, output: str, queue: Queue | None, tell: Callable[[int], None]):
        self.results, self.output, self.queue, self.tell = results, output, queue, tell
        self.written: set[str] = set()
        self.pending: list[Future] = []
        self.failures: dict[str, list[Failure]] = {}
        for failure in results.failures:
            self.failures.setdefault(failure.id, []).append(failure)

    def write(self) -> Report:
        for sub in (FILMS, PICTURES):
            storage.make_folder(storage.join(self.output, sub))
        entries = []
        with ThreadPoolExecutor(WRITERS if storage.is_remote(self.output) else 1) as self.writers:
            for film in self.results.films():
                entries.append(self.film(film))
                self.tell(len(entries))
            tagged = {entry.film.id for entry in entries}
            failed = [f for f in self.results.failures if not (f.of_key_frame and f.id in tagged)]
            links = self.finish_queue(len(failed))
            self.put((INDEX,), catalogue_page(entries, failed, self.results.run, links).encode(errors="replace"))
            self.wait()
        self.remove_old()
        index, watch = (storage.join(self.output, name) for name in (INDEX, WATCH))
        return Report(index, len(entries), len(failed), watch if self.queue else None)

    def put(self, names: Sequence[str], data: bytes) -> None:
        """Write a file of the report, now or soon."""
        path = storage.join(self.output, *names)
        self.written.add(path)
        self.pending.append(self.writers.submit(storage.write_bytes, path, data))
        if len(self.pending) >= 4 * WRITERS:
            self.wait()

    def wait(self) -> None:
        for done in self.pending:
            done.result()
        self.pending.clear()

    def film(self, film: Film) -> Entry:
        """Write a film's files. Returns its entry in the catalogue."""
        frames = self.results.key_frames(film.id)
        listed = sum(bool(frame.thumbnail) for frame in frames)
        pictures = self.results.thumbnails(frames)
        seen = {time_s: look for time_s, data in pictures.items() if (look := looks(data)) is not None}
        pictures = {time_s: data for time_s, data in pictures.items() if time_s in seen}
        choice = choose(film, frames, [seen.get(frame.time_s) for frame in frames])
        name = slug(film)
        failures = self.failures.get(film.id, ())
        notices = film_notices(film, failures, len(frames), len(pictures), listed)
        sources, moved = sources_of(film, storage.join(self.output, FILMS))
        addresses, ratio = held_in_page(pictures)
        view = FilmView(
            film,
            frames,
            self.results.spans(film.id),
            addresses,
            ratio,
            choice,
            self.results.run,
            notices + ([moved] if moved else []),
            sources,
            f"../{INDEX}",
        )
        page = film_page(view)
        self.put((FILMS, f"{name}.html"), page.encode(errors="replace"))  # a file's name may be no text
        first = pictures.get(choice.first.time_s) if choice.first else None
        if first:
            self.put((PICTURES, f"{name}.jpg"), smaller(first, CARD_SIDE, CARD_QUALITY))
        if self.queue:
            for page_name, text in self.queue.add(film, f"{FILMS}/{name}.html", frames, pictures):
                self.put((page_name,), text.encode(errors="replace"))
        return Entry(film, name, bool(first), bool(film.warnings or failures))

    def finish_queue(self, failed: int) -> list[tuple[str, str]]:
        """Write what is left of the queue of stills. Returns what leads to it from the catalogue.

        Args:
            failed: how many films have no result.
        """
        if not self.queue:
            return []
        for name, text in self.queue.finish(failed):
            self.put((name,), text.encode(errors="replace"))
        tags = ", ".join(one.tag for one in self.queue.tags)
        return [(WATCH, f"Stills to look at: {tags} ({self.queue.total:,})")]

    def remove_old(self) -> None:
        """Remove pages of an earlier report that this one has not written anew."""
        for folder in ((FILMS,), (PICTURES,), ()):
            paths = storage.list_folder(storage.join(self.output, *folder))
            ours = _OURS if folder else _OUR_STILLS
            storage.remove(p for p in paths if p not in self.written and ours.match(storage.base_name(p)))
