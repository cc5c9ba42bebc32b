"""The report of a folder of results: a page a film and the catalogue, written into a folder, local or remote."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from movie_tags import storage
from movie_tags.records import Failure, Film
from movie_tags.report.index import Entry, catalogue_page
from movie_tags.report.page import Notice, film_notices, film_page, smaller
from movie_tags.report.summary import choose, looks
from movie_tags.results.tables import ReportError, Results, slug

FOLDER, FILMS, PICTURES, INDEX = "report", "films", "pictures", "index.html"
CARD_SIDE, CARD_QUALITY = 256, 72
WRITERS = 16
"""Files that are on their way to a remote folder at a time."""
_OURS = re.compile(r"[a-z0-9-]+-[0-9a-f]{10}\.(?:html|jpg)\Z")


@dataclass(frozen=True)
class Report:
    """A report that was written. Attributes: the address of its first page; how many films; how many failures."""

    index: str
    films: int
    failures: int


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


def write_report(folder: str, output: str | None = None, tell: Callable[[int], None] = lambda done: None) -> Report:
    """Write the report of a folder of results.

    Args:
        folder: of results, local or remote.
        output: where to; `report` in the folder of results by default. Pages there of films that are no longer in the
            results are removed.
        tell: called with the number of films that are done.

    Raises:
        ReportError: the folder holds no results, or the report cannot be written.
        OutputError: the results cannot be read.
    """
    output = output or storage.join(folder, FOLDER)
    with Results(folder) as results:
        failures: dict[str, list[Failure]] = {}
        for failure in results.failures:
            failures.setdefault(failure.id, []).append(failure)
        entries: list[Entry] = []
        written: set[str] = set()
        try:
            for sub in (FILMS, PICTURES):
                storage.make_folder(storage.join(output, sub))
            with ThreadPoolExecutor(WRITERS if storage.is_remote(output) else 1) as writers:
                pending = []
                for film in results.films():
                    entry, files = _film(results, film, failures.get(film.id, ()), output)
                    entries.append(entry)
                    written.update(files)
                    pending += [writers.submit(storage.write_bytes, path, data) for path, data in files.items()]
                    if len(pending) >= 4 * WRITERS:
                        for done in pending:
                            done.result()
                        pending.clear()
                    tell(len(entries))
                for done in pending:
                    done.result()
            tagged = {entry.id for entry in entries}
            failed = [f for f in results.failures if not (f.of_key_frame and f.id in tagged)]
            index = storage.join(output, INDEX)
            storage.write_text(index, catalogue_page(entries, failed, results.run))
            storage.remove(
                path
                for sub in (FILMS, PICTURES)
                for path in storage.list_folder(storage.join(output, sub))
                if path not in written and _OURS.match(storage.base_name(path))
            )
        except OSError as error:
            raise ReportError(f"{output}: the report cannot be written: {storage.plainly(error)}") from error
        return Report(index, len(entries), len(failed))


def _film(results: Results, film: Film, failures: Sequence[Failure], output: str) -> tuple[Entry, dict[str, bytes]]:
    """A film's entry in the catalogue, and its files by their addresses."""
    frames = results.key_frames(film.id)
    pictures = results.thumbnails(frames)
    seen = [looks(pictures[frame.time_s]) if frame.time_s in pictures else None for frame in frames]
    pictures = {f.time_s: pictures[f.time_s] for f, look in zip(frames, seen, strict=True) if look is not None}
    choice = choose(film, frames, seen)
    name = slug(film)
    pages = storage.join(output, FILMS)
    sources, moved = sources_of(film, pages)
    listed = sum(bool(frame.thumbnail) for frame in frames)
    notices = film_notices(film, failures, len(frames), len(pictures), listed) + ([moved] if moved else [])
    page = film_page(
        film, frames, results.spans(film.id), pictures, choice, results.run, notices, sources, f"../{INDEX}"
    )
    files = {storage.join(pages, f"{name}.html"): page.encode(errors="replace")}  # a file's name may be no text
    first = pictures.get(choice.first.time_s) if choice.first else None
    if first:
        files[storage.join(output, PICTURES, f"{name}.jpg")] = smaller(first, CARD_SIDE, CARD_QUALITY)
    trouble = bool(film.warnings or failures)
    return Entry(
        film.id, film.title, name, bool(first), film.duration_s, film.shots, film.tags, len(film.short_list), trouble
    ), files
