"""FFMETADATA: chapters that `ffmpeg -i FILM -i FILE -map_chapters 1 -codec copy OUT` puts into a film."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from movie_tags.records import Film
from movie_tags.report.exports import LeftOut, Options, Written, one_line, write_each
from movie_tags.report.exports.chapters import NO_CHAPTER, NO_TAG, Chapter, chapters_of
from movie_tags.results.film_tables import Results

LEAST_MS = 1000
"""Pictures that begin later than this have a chapter before them."""


def write(results: Results, out: str, options: Options) -> Written:
    """FILM.ffmetadata for each film that has spans.

    Raises:
        OSError: a file may not be written.
        OutputError: a table cannot be read.
    """
    return write_each(results, out, options, _texts)


def _texts(results: Results, film: Film, options: Options) -> Iterator[tuple[str, str] | LeftOut]:
    chapters = chapters_of(results, film, options)
    yield ("ffmetadata", as_text(from_zero(chapters))) if chapters else LeftOut(NO_CHAPTER)


def from_zero(chapters: Sequence[Chapter]) -> Sequence[Chapter]:
    """Chapters from 0 on, where the first of an MP4 always begins: what is before the pictures is one, too."""
    first = chapters[0]
    if first.start_ms < LEAST_MS:
        return [replace(first, start_ms=0), *chapters[1:]]
    return [Chapter(0, first.start_ms, NO_TAG), *chapters]


def as_text(chapters: Sequence[Chapter]) -> str:
    """The file of some chapters."""
    parts = [
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={c.start_ms}\nEND={c.end_ms}\ntitle={escaped(c.title)}\n" for c in chapters
    ]
    return ";FFMETADATA1\n" + "".join(parts)


def escaped(text: str) -> str:
    """Text as the value of a key: what means something to the format stands behind a backslash."""
    value = re.sub(r"([=;#\\])", r"\\\1", one_line(text))
    # ffmpeg takes any line that ends in a backslash for the first half of one.
    return value + " " if value.endswith("\\") else value
