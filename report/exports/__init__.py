"""Exports: the tables of results in the formats of other tools, one module a format.

A format's module has `write(results, out, options) -> Written`. It may have `TAKES`, the options that it takes besides
those that all take, and `is_beside(options)`, whether it writes beside the films where no folder is given (then `out`
is None). It is imported when its format is asked for.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.records import Film, KeyFrame, Span, TagStrength
from movie_tags.results.film_tables import Results
from movie_tags.results.listing import THRESHOLD, listed

FORMATS = {
    "csv": "films.csv, tags.csv and spans.csv, for spreadsheets",
    "nfo": "<tag> elements for Kodi and Jellyfin, merged into the NFO beside each film",
    "vtt": "WebVTT chapters and metadata, for players of the web",
    "ffmetadata": "chapters that ffmpeg muxes into a film",
    "otio": "markers for editors: OpenTimelineIO, EDL and Final Cut Pro XML",
    "resolve": "markers with lengths, colours and notes, for DaVinci Resolve",
    "fiftyone": "temporal detections of FiftyOne",
    "labelstudio": "pre-annotated tasks of Label Studio",
    "video-intelligence": "labels in the JSON of Google's Video Intelligence API",
    "xmp": "XMP sidecars, for Lightroom, digiKam and Immich",
}
EXTRA = "export"
MOST_NAME_BYTES = 180
"""Of a file's name without suffixes, of the 255 that file systems take."""


@dataclass(frozen=True)
class Options:
    """How to export.

    Attributes:
        min_confidence: how sure a tag must be, in [0, 1]; None: as the short list has it.
        unjoined: shots one by one, in place of spans of neighbouring shots.
        create: make files beside films that have none (formats that say so in TAKES).
        retract: take tags of the model out that a film no longer has (the same).
        dry_run: write nothing, and say which files would be written (the same).
        threshold: how sure the run asked tags to be (`listing.threshold_of`).
    """

    min_confidence: float | None = None
    unjoined: bool = False
    create: bool = False
    retract: bool = False
    dry_run: bool = False
    threshold: float = THRESHOLD


@dataclass
class Written:
    """What an export has written.

    Attributes:
        files: their paths.
        left_out: (film, reason) for each film, or part of one, that is not in them.
        notes: what else the user should know, a sentence each.
    """

    files: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LeftOut:
    """Why a film, or part of one, is not in an export."""

    reason: str


class FilmError(UserError):
    """A film that an export cannot take; the message says why and what helps."""


def load(name: str, asked: str | None = None) -> ModuleType:
    """The module of a format.

    Args:
        name: of the module, with hyphens.
        asked: the format as the user named it, where that is another name.

    Raises:
        UserError: libraries that it needs are not installed.
    """
    try:
        return importlib.import_module(f"movie_tags.report.exports.{name.replace('-', '_')}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("movie_tags"):
            raise
        raise UserError(
            f"--to {asked or name} needs the package {error.name}: pip install 'movie-tags[{EXTRA}]'"
        ) from error


def listed_tags(film: Film, options: Options) -> tuple[TagStrength, ...]:
    """The tags of a film that are exported, the surest first: by the one rule (`results.listing`)."""
    return listed(film, options.min_confidence, options.threshold)


def listed_spans(results: Results, film: Film, options: Options) -> tuple[Span, ...]:
    """The stretches of a film's listed tags in order of time, within the film: its spans, or its shots one by one."""
    kept = {tag.tag for tag in listed_tags(film, options)}
    spans = shots_of(results.key_frames(film.id)) if options.unjoined else results.spans(film.id)
    end_s = film.duration_s or math.inf
    within = (replace(span, end_s=min(span.end_s, end_s)) for span in spans if span.tag in kept)
    return tuple(span for span in within if span.start_s < span.end_s)


def shots_of(key_frames: Iterable[KeyFrame]) -> tuple[Span, ...]:
    """A span a shot and tag of it."""
    spans = (Span(tag, f.shot_start_s, f.shot_end_s, p, p, 1, id=f.id) for f in key_frames for tag, p in f.tags)
    return tuple(sorted(spans, key=lambda span: (span.start_s, span.end_s, span.tag)))


def film_address(film: Film) -> str:
    """Where a film is.

    Raises:
        FilmError: the row's address is a relative one, which is another film's in another folder.
    """
    if storage.is_remote(film.uri) or os.path.isabs(film.uri):
        return film.uri
    raise FilmError(
        f"{film.uri} is a relative address, and the folder that it is of is not known; tag the film again, which "
        "writes down where it is"
    )


def reason_for(film: Film, error: Exception) -> str:
    """Why a film is left out, without "ADDRESS: " at its beginning: what is said before it names the film."""
    return str(error).removeprefix(f"{film.uri}: ")


def one_line(text: str) -> str:
    """Text without line breaks and control characters, for formats that end things with them."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def is_named_by_file(film: Film) -> bool:
    """Whether a film's title is but the name of its file, with or without the suffix."""
    name = storage.base_name(film.uri)
    return film.title in (name, Path(name).stem)


def title_of(film: Film) -> str:
    """A film's title for people: where it is the name of its file, without the suffix."""
    return one_line(Path(storage.base_name(film.uri)).stem if is_named_by_file(film) else film.title)


def in_folder(results: Results) -> Iterator[tuple[Film, str]]:
    """Each film, with a name for its files in a folder of all: that of its file, as its user knows it.

    Where several films have it (whatever the case of letters), the suffix stays on (film.mkv), or else there is a hash
    of the id behind it.
    """
    count = Counter(name.casefold() for film in results.films() for name in set(_names(film)))
    for film in results.films():
        unlike = hashlib.sha256(film.id.encode(errors="surrogatepass")).hexdigest()[:10]
        free = (name for name in _names(film) if count[name.casefold()] == 1)
        yield film, next(free, f"{_names(film)[0]}-{unlike}")


def _names(film: Film) -> tuple[str, str]:
    """The name of a film's file without and with its suffix."""
    name = Path(storage.base_name(film.uri))
    return portable(name.stem), portable(name.name)


def portable(name: str) -> str:
    """A file's name as any file system takes it, with room for a suffix."""
    plain = re.sub(r'[\\/:*?"<>|\0-\x1f\ud800-\udfff]', "_", name)
    return plain.encode()[:MOST_NAME_BYTES].decode(errors="ignore").strip(" .") or "film"


def write_each(
    results: Results,
    out: str,
    options: Options,
    texts: Callable[[Results, Film, Options], Iterable[tuple[str, str] | LeftOut]],
) -> Written:
    """Write files of each film into a folder of all.

    Args:
        results: the films.
        out: the folder.
        options: handed on.
        texts: of a film, its files as (suffix, text), and what is left out.

    Raises:
        OSError: a file may not be written.
        OutputError: a table cannot be read.
    """
    written = Written()
    for film, name in in_folder(results):
        for item in texts(results, film, options):
            if isinstance(item, LeftOut):
                written.left_out.append((film.title, item.reason))
                continue
            suffix, text = item
            path = storage.join(out, f"{name}.{suffix}")
            storage.write_text(path, text)
            written.files.append(path)
    return written
