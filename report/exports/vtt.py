"""WebVTT: chapters for a player's menu, and a metadata track that says at each time which tags are seen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from html import escape

import webvtt

from movie_tags.records import Film
from movie_tags.report.exports import LeftOut, Options, Written, listed_spans, one_line, write_each
from movie_tags.report.exports.chapters import NO_CHAPTER, chapters_of
from movie_tags.report.phrases import clock
from movie_tags.results.tables import Results


def write(results: Results, out: str, options: Options) -> Written:
    """FILM.chapters.vtt and FILM.metadata.vtt for each film that has spans; the metadata is an object of JSON a cue.

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
    yield (
        "metadata.vtt",
        as_text(
            (round(s.start_s * 1000), round(s.end_s * 1000), _object(s.tag, s.mean_probability, s.peak_probability))
            for s in listed_spans(results, film, options)
        ),
    )


def as_text(cues: Iterable[tuple[int, int, str]]) -> str:
    """The file of some cues: when they begin and end, in milliseconds, and their text."""
    track = webvtt.WebVTT()
    track.captions.extend(webvtt.Caption(clock(a / 1000), clock(b / 1000), text) for a, b, text in cues)
    return track.content + "\n"


def cue_text(title: str) -> str:
    """A title as the text of a cue: no markup, no end of the cue."""
    return escape(one_line(title), quote=False)


def _object(tag: str, mean: float, peak: float) -> str:
    text = json.dumps({"tag": tag, "mean_probability": mean, "peak_probability": peak})
    return text.replace(">", "\\u003e").replace("<", "\\u003c").replace("&", "\\u0026")  # "-->" would end the cue
