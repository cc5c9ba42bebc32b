"""WebVTT: chapters for a player's menu, and a metadata track that says at each time which tags are seen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from html import escape

import webvtt

from movie_tags.records import Film, Span, TagStrength
from movie_tags.report.exports import LeftOut, Options, Written, listed_spans, listed_tags, one_line, write_each
from movie_tags.report.exports.chapters import NO_CHAPTER, chapters_of
from movie_tags.report.phrases import clock
from movie_tags.results.film_tables import Results


def write(results: Results, out: str, options: Options) -> Written:
    """FILM.chapters.vtt and FILM.metadata.vtt for each film that has spans; the metadata is an object of JSON a cue.

    Times are those of players.

    Raises:
        OSError: a file may not be written.
        OutputError: a table cannot be read.
    """
    return write_each(results, out, options, _texts)


def _texts(results: Results, film: Film, options: Options) -> Iterator[tuple[str, str] | LeftOut]:
    chapters = chapters_of(results, film, options)
    if not chapters:
        yield LeftOut(NO_CHAPTER)
        return
    yield "chapters.vtt", as_text((c.start_ms, c.end_ms, cue_text(c.title)) for c in chapters)
    tags = {tag.tag: tag for tag in listed_tags(film, options)}
    spans = listed_spans(results, film, options)
    yield "metadata.vtt", as_text((*on_player(film, span), _object(span, tags[span.tag])) for span in spans)


def on_player(film: Film, span: Span) -> tuple[int, int]:
    """When a stretch of a film begins and ends on the clock of players, in milliseconds."""
    return round((film.start_s + span.start_s) * 1000), round((film.start_s + span.end_s) * 1000)


def as_text(cues: Iterable[tuple[int, int, str]]) -> str:
    """The file of some cues: when they begin and end, in milliseconds, and their text."""
    track = webvtt.WebVTT()
    track.captions.extend(webvtt.Caption(clock(a / 1000), clock(b / 1000), text) for a, b, text in cues)
    return track.content + "\n"


def cue_text(title: str) -> str:
    """A title as the text of a cue: no markup, no end of the cue."""
    return escape(one_line(title), quote=False)


def _object(span: Span, tag: TagStrength) -> str:
    said = {"confidence": tag.confidence, "seconds": tag.seconds}  # of the tag in the film as a whole
    mean, peak = span.mean_probability, span.peak_probability
    text = json.dumps({"tag": span.tag, **said, "mean_probability": mean, "peak_probability": peak})
    return text.replace(">", "\\u003e").replace("<", "\\u003c").replace("&", "\\u0026")  # "-->" would end the cue
