"""Chapters: spans of several tags at once -> one sequence that a player's menu can show."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from movie_tags.records import PERSON, Film, Span
from movie_tags.report.exports import Options, listed_spans
from movie_tags.results.film_tables import Results

MIN_CHAPTER_S = 5.0
NO_TAG = "…"
NO_CHAPTER = "no tag of it is sure enough for a chapter"


@dataclass(frozen=True)
class Chapter:
    """A stretch of a film, in whole milliseconds, and its title."""

    start_ms: int
    end_ms: int
    title: str
    given: bool = False
    """Whether a person gave its tag for this stretch, so that it keeps its bounds."""


def find_chapters(spans: Iterable[Span], duration_s: float, min_s: float = MIN_CHAPTER_S) -> tuple[Chapter, ...]:
    """Cut a film where its most probable tag changes.

    Args:
        spans: of one film.
        duration_s: of the film.
        min_s: shorter chapters are joined to the one before; the first one, to the next. Stretches for which a person
            gave the tag keep their bounds.

    Returns:
        Chapters that cover the film from its beginning to its end without gap or overlap; where no tag is, the title
        is NO_TAG. None of a film without spans or length.
    """
    end_ms = round(duration_s * 1000)
    found = [(round(s.start_s * 1000), min(round(s.end_s * 1000), end_ms), s) for s in spans]
    found = [(start, end, span) for start, end, span in found if start < end]
    if not found:
        return ()
    cuts = sorted({0, end_ms, *(start for start, _, _ in found), *(end for _, end, _ in found)})
    parts: list[Chapter] = []
    for start, end in itertools.pairwise(cuts):
        here = [span for begin, stop, span in found if begin <= start and end <= stop]
        strongest = min(here, key=lambda span: (-span.mean_probability, span.tag), default=None)
        given = strongest is not None and strongest.by == PERSON
        parts.append(Chapter(start, end, strongest.tag if strongest else NO_TAG, given))
    runs = itertools.groupby(_joined(parts), key=lambda part: part.given)
    long = [part for given, run in runs for part in (run if given else _lengthened([*run], round(min_s * 1000)))]
    return _joined(replace(part, given=False) for part in long)


def _joined(parts: Iterable[Chapter]) -> tuple[Chapter, ...]:
    joined: list[Chapter] = []
    for part in parts:
        if joined and (joined[-1].title, joined[-1].given) == (part.title, part.given):
            joined[-1] = replace(joined[-1], end_ms=part.end_ms)
        else:
            joined.append(part)
    return tuple(joined)


def _lengthened(parts: Sequence[Chapter], min_ms: int) -> tuple[Chapter, ...]:
    long: list[Chapter] = []
    begin = None  # of what is too short and has nothing before it
    for part in parts:
        if part.end_ms - part.start_ms < min_ms and long:
            long[-1] = Chapter(long[-1].start_ms, part.end_ms, long[-1].title)
        elif part.end_ms - part.start_ms < min_ms and part is not parts[-1]:
            begin = part.start_ms if begin is None else begin
        else:
            long.append(Chapter(part.start_ms if begin is None else begin, part.end_ms, part.title))
            begin = None
    return tuple(long)


def chapters_of(results: Results, film: Film, options: Options) -> tuple[Chapter, ...]:
    """The chapters of a film, of its listed tags, on the clock of players: it begins with the container, and the
    pictures may begin later (Film.start_s)."""
    spans = listed_spans(results, film, options)
    found = find_chapters(spans, film.duration_s or max((span.end_s for span in spans), default=0.0))
    late = round(film.start_s * 1000)
    return tuple(replace(chapter, start_ms=chapter.start_ms + late, end_ms=chapter.end_ms + late) for chapter in found)
