"""CSV: films, their tags, and spans; spans.csv has the columns that `movie-tags dataset` takes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

from movie_tags import storage
from movie_tags.records import Film, Span, TagStrength
from movie_tags.report.exports import Options, Written, listed_spans, listed_tags
from movie_tags.results.film_tables import Results
from movie_tags.results.schema import csv_columns

FILMS = (*csv_columns(Film), "tags", "warnings")
SURE = ("confidence", "seconds", "share", "relative_strength", "strength", "occurrences", "peak_probability")
"""Of a tag: how sure and how long first, then R and W of the paper (equations 6 and 5)."""
STRENGTHS = (*SURE, *(name for name in csv_columns(TagStrength) if name not in ("tag", *SURE)))
TAGS = ("id", "title", "tag", "kept", *STRENGTHS)
PLACE = {"uri": "uri", "start_s": "start", "end_s": "end", "tag": "tag"}
"""What `movie-tags dataset` asks of a span, by the names of ours."""
SPAN = tuple(name for name in csv_columns(Span) if name not in (*PLACE, "id"))
SPANS = (*PLACE.values(), *SPAN, "id", "title")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How a formula begins for a spreadsheet. Titles and tags are not ours, and must stay text (CSV injection)."""


def harmless(value: object) -> object:
    """Escape a cell: text that a spreadsheet would run as a formula gets an apostrophe before it.

    `movie-tags dataset` takes it away again; so text that begins with one already gets another.
    """
    return "'" + value if isinstance(value, str) and value.lstrip("'").startswith(FORMULA) else value


def write(results: Results, out: str, options: Options) -> Written:
    """films.csv, tags.csv and spans.csv in a folder: UTF-8 with a byte order mark, by which spreadsheets recognise it.

    Raises:
        OSError: a file may not be written.
        OutputError: a table cannot be read.
    """
    tables = {"films": (FILMS, film_rows), "tags": (TAGS, tag_rows), "spans": (SPANS, span_rows)}
    written = Written()
    for name, (columns, rows) in tables.items():
        path = storage.join(out, f"{name}.csv")
        with storage.create(path) as file:
            text = io.TextIOWrapper(file, "utf-8-sig", newline="")
            lines = csv.writer(text)
            lines.writerow(columns)
            for film in results.films():
                lines.writerows([harmless(cell) for cell in row] for row in rows(results, film, options))
            text.flush()
            text.detach()
        written.files.append(path)
    return written


def film_rows(results: Results, film: Film, options: Options) -> Iterator[Sequence]:
    """The film, with the names of its listed tags, the strongest first."""
    tags = "; ".join(tag.tag for tag in listed_tags(film, options))
    yield *_cells(film, csv_columns(Film)), tags, "; ".join(film.warnings)


def tag_rows(results: Results, film: Film, options: Options) -> Iterator[Sequence]:
    """Every tag of the film, the strongest first; `kept` is 1 for those that are exported."""
    listed = {tag.tag for tag in listed_tags(film, options)}
    for tag in film.tags:
        yield film.id, film.title, tag.tag, int(tag.tag in listed), *_cells(tag, STRENGTHS)


def span_rows(results: Results, film: Film, options: Options) -> Iterator[Sequence]:
    """Every stretch of the film's listed tags, in order of time."""
    for span in listed_spans(results, film, options):
        yield film.uri, span.start_s, span.end_s, span.tag, *_cells(span, SPAN), film.id, film.title


def _cells(record: Any, names: Sequence[str]) -> Iterator[object]:
    """Fields of a record; nothing where one is unknown."""
    values = (getattr(record, name) for name in names)
    return ("" if value is None else value for value in values)
