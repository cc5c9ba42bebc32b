"""Exports: the tables of results in the formats of other tools, one module a format.

A format's module has `write(results, out) -> Written`; it is imported when its format is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import ModuleType

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.results.tables import Film, Results, Span, slug

FORMATS = {
    "csv": "films.csv, tags.csv and spans.csv, for spreadsheets",
    "nfo": "<tag> elements for Kodi and Jellyfin, merged into the NFO beside each film",
    "vtt": "WebVTT chapters and metadata, for players of the web",
    "ffmetadata": "chapters that ffmpeg muxes into a film",
    "otio": "markers for editors: OpenTimelineIO, EDL and Final Cut Pro XML",
    "fiftyone": "temporal detections of FiftyOne",
    "labelstudio": "pre-annotated tasks of Label Studio",
    "video-intelligence": "labels in the JSON of Google's Video Intelligence API",
}
EXTRA = "export"


@dataclass
class Written:
    """What an export has written.

    Attributes:
        files: their paths.
        left_out: (film, reason) for each film, or part of one, that is not in them.
    """

    files: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class LeftOut:
    """Why a film, or part of one, is not in an export."""

    reason: str


def load(name: str) -> ModuleType:
    """The module of a format.

    Raises:
        UserError: libraries that it needs are not installed.
    """
    try:
        return importlib.import_module(f"movie_tags.report.exports.{name.replace('-', '_')}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("movie_tags"):
            raise
        raise UserError(f"--to {name} needs the package {error.name}: pip install 'movie-tags[{EXTRA}]'") from error


def kept_spans(results: Results, film: Film) -> tuple[Span, ...]:
    """The spans of the tags of a film's short list, in order of time, within the film."""
    kept = {tag.tag for tag in film.tags}
    return tuple(span for span in results.spans(film.id) if span.tag in kept and span.start_s < span.end_s)


def one_line(text: str) -> str:
    """Text without line breaks and control characters, for formats that end things with them."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def in_folder(results: Results) -> Iterator[tuple[Film, str]]:
    """Each film, with a name for its files in a folder of all."""
    for film in results.films():
        yield film, slug(film)


def write_each(
    results: Results, out: str, texts: Callable[[Results, Film], Iterable[tuple[str, str] | LeftOut]]
) -> Written:
    """Write files of each film into a folder of all.

    Args:
        results: the films.
        out: the folder.
        texts: of a film, its files as (suffix, text), and what is left out.

    Raises:
        OSError: a file may not be written.
        OutputError: a table cannot be read.
    """
    written = Written()
    for film, name in in_folder(results):
        for item in texts(results, film):
            if isinstance(item, LeftOut):
                written.left_out.append((film.title, item.reason))
                continue
            suffix, text = item
            path = storage.join(out, f"{name}.{suffix}")
            storage.write_text(path, text)
            written.files.append(path)
    return written
