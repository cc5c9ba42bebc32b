"""Search over the tables of results: films, or the scenes in which tags meet, for a boolean expression of tags."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import duckdb
import numpy as np

from movie_tags import storage
from movie_tags.machine import cores
from movie_tags.records import Film, Span, changed
from movie_tags.results import overlay
from movie_tags.results.corrections import APPLIES, Corrections, Held, Verdicts
from movie_tags.results.expressions import And, Expression, Not, Or, SearchError, Term, tags_of
from movie_tags.results.listing import rating_in_sql, tag_in_sql, threshold_of
from movie_tags.results.reading import (
    PARQUET,
    TABLES,
    OutputError,
    files_of,
    files_of_model,
    read_records,
    read_run,
    view_with_films,
)
from movie_tags.results.schema import columns, duckdb_types, from_row
from movie_tags.results.sweep import amount, holds, scenes

MEMORY = "400MB"
"""What DuckDB may hold; what is more goes to disk meanwhile."""
FILMS = 20_000
"""In which scenes are looked for at a time: their spans are in memory."""


@dataclass(frozen=True)
class Found:
    """A film, or a scene of one, that a search has found.

    Attributes:
        id, uri, title: of the film.
        duration_s: of the film, seconds.
        sure: of a film, how sure the tags asked for are (`listing.rating`); of a scene, their mean probability. The
            least of those joined by `and`, the most of those joined by `or`; None where only `not` was asked.
        seconds: how long the tags asked for are seen in the film, put together in the same way; None of a scene.
        start_s, end_s: of a scene, in seconds after the film's first frame; None of a film.
        confident: of a film, `sure` is a confidence, and not a relative strength; None of a scene.
    """

    id: str
    uri: str
    title: str
    duration_s: float
    sure: float | None
    seconds: float | None = None
    start_s: float | None = None
    end_s: float | None = None
    confident: bool | None = None


def possible(expression: Expression, slots: Mapping[str, str]) -> str:
    """In SQL, what must hold of a film as a whole for the expression to hold somewhere in it.

    Args:
        expression: resolved.
        slots: of each tag a column, null where the film does not have it.
    """
    match expression:
        case Not():
            return "TRUE"
        case Term(_, tags):
            return "(" + " OR ".join(f"{slots[tag]} IS NOT NULL" for tag in tags) + ")"
        case And(parts) | Or(parts):
            word = " AND " if isinstance(expression, And) else " OR "
            return "(" + word.join(possible(part, slots) for part in parts) + ")"


_FILMS = duckdb_types(Film, ("id", "uri", "title", "content", "duration_s", "short_list", "tags"))
_SPANS = duckdb_types(Span, [column.name for column in columns(Span)])


def _read(files: Sequence[str], columns: dict[str, str]) -> str:
    """SQL of some columns of files."""
    listed = "[" + ", ".join(_text(_literally(path)) for path in files) + "]"
    if files[0].endswith(PARQUET):
        return f"read_parquet({listed}, union_by_name = true)"
    kinds = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items()) + "}"
    return f"read_json({listed}, format = 'newline_delimited', columns = {kinds})"


class Search:
    """A folder of results, ready to be searched: the view that is the latest at the beginning.

    A context, in which copies of remote tables are kept.
    """

    def __init__(self, folder: str, often: bool = False):
        """
        Args:
            folder: of results.
            often: it will be searched again and again: what searches read is copied into a database of columns first,
                which takes some seconds for two million spans, and the tenth of that a search less.

        Raises:
            OutputError: the folder holds no results, or they cannot be read.
        """
        self.folder = folder
        self.view = view_with_films(folder)
        next(iter(read_records(self.view, "tags")), None)  # DuckDB would take a table of other columns for an empty one
        self._kept = contextlib.ExitStack()
        self._local: dict[tuple[str, bool], list[str]] = {}
        self._laid: tuple[Held, Sequence[str]] | None = None
        scratch = self._kept.enter_context(tempfile.TemporaryDirectory(prefix="movie-tags-"))
        self._db = self._kept.enter_context(
            duckdb.connect(
                config={
                    "memory_limit": MEMORY,
                    "temp_directory": scratch,
                    "threads": cores(),
                    "autoinstall_known_extensions": False,
                    "preserve_insertion_order": False,
                }
            )
        )
        self._held = Held(Corrections(folder))
        self._scratch = scratch
        self._copied: set[str] = set()
        if often:
            self._copy()

    def _copy(self) -> None:
        self._rows(f"ATTACH {_text(f'{self._scratch}/tables.duckdb')} AS tables")
        for name, kinds in (("tags", _FILMS), ("spans", _SPANS)):
            if self._files(name):
                self._rows(f"CREATE TABLE tables.{name} AS {self._written(name, kinds)}")
                self._copied.add(name)

    def follow(self, held: Held) -> None:
        """From now on lay this over the tables: what people say that holds."""
        self._held = held

    def __enter__(self) -> Search:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the copies."""
        self._kept.close()

    def vocabulary(self) -> list[str]:
        """The tags that can be asked for: the model's, or where the run does not say, those that were found.

        Raises:
            OutputError: the tables cannot be read.
        """
        own = sorted(self._held.tags())
        return list(dict.fromkeys([*self._tags, *own]))

    @cached_property
    def _tags(self) -> list[str]:
        """The tags of the model, or those that were found."""
        said = ((read_run(self.view) or {}).get("model") or {}).get("vocabulary")
        if said:
            return said
        written = self._written("tags", _FILMS)
        return [tag for (tag,) in self._rows(f"SELECT DISTINCT unnest(tags).tag AS tag FROM ({written}) ORDER BY tag")]

    @cached_property
    def threshold(self) -> float:
        """How sure the model must be where nothing else is asked for, in [0, 1]: the run's own setting."""
        return threshold_of(read_run(self.view))

    def films(self, expression: Expression, setting: float | None = None, limit: int | None = None) -> list[Found]:
        """The films for which an expression holds, the surest first.

        Args:
            expression: resolved.
            setting: how sure a tag must be, in [0, 1] (`listing.listed`); None: as the run listed.
            limit: the first so many only.

        Raises:
            OutputError: the tables cannot be read.
        """
        tags = self._find_candidates(expression, setting)
        columns = ", ".join(f"coalesce({kind}{k}, 'NaN') AS {kind}{k}" for k in range(len(tags)) for kind in "rs")
        rated = self._arrays(f"SELECT film, {columns} FROM candidates")
        sure, seconds = ({tag: rated[f"{kind}{k}"] for k, tag in enumerate(tags)} for kind in "rs")
        found = {"film": rated["film"], "sure": amount(expression, sure), "seconds": amount(expression, seconds)}
        held = holds(expression, sure)
        self._db.register("found", {name: column[held] for name, column in found.items()})
        rows = self._rows(f"""
            SELECT id, uri, title, duration_s, nullif(sure, 'NaN') AS sure, nullif(seconds, 'NaN'),
                NULL, NULL, confident
            FROM found JOIN candidates USING (film) ORDER BY sure DESC NULLS LAST, title, id {_first(limit)}""")
        return [Found(*row) for row in rows]

    def scenes(self, expression: Expression, setting: float | None = None, limit: int | None = None) -> list[Found]:
        """The stretches of films throughout which an expression holds, the most probable first.

        Args:
            expression: resolved.
            setting: only of tags that are so sure in their film (`listing.listed`); None: as the run listed.
            limit: the first so many only.

        Raises:
            SearchError: there is no table of spans.
            OutputError: the tables cannot be read.
        """
        tags = self._find_candidates(expression, setting)
        if not self._files("spans"):
            raise SearchError(f"{self.folder}: spans.jsonl is missing; search without --scenes, or tag anew")
        # Which place among the tags a span's has, and whether its film has the tag strongly enough to count.
        slot = " ".join(f"WHEN {_text(tag)} THEN {k}" for k, tag in enumerate(tags))
        counts = " OR ".join(f"(slot = {k} AND r{k} IS NOT NULL AND by_people = c{k})" for k in range(len(tags)))
        named = "id, tag, start_s, end_s, mean_probability"
        self._rows(f"""
            CREATE OR REPLACE TEMP TABLE stretches AS
            SELECT film, slot, start_s, millionths,
                CASE WHEN duration_s > 0 THEN least(end_s, duration_s) ELSE end_s END AS ends_s
            FROM (SELECT id, (CASE tag {slot} END)::SMALLINT AS slot, start_s, end_s,
                      round(mean_probability * 1e6)::INTEGER AS millionths, by_people
                  FROM (SELECT {named}, FALSE AS by_people FROM ({self._written("spans", _SPANS)})
                        WHERE tag IN ({_listed(tags)}) UNION ALL SELECT {named}, TRUE FROM said_of_spans))
            JOIN candidates USING (id) WHERE ({counts}) AND start_s < ends_s""")
        ((count,),) = self._rows("SELECT count(*) FROM candidates")
        parts = []
        for begin in range(0, count or 1, FILMS):
            these = f"WHERE film BETWEEN {begin + 1} AND {begin + FILMS}"
            films = self._arrays(f"SELECT film, duration_s FROM candidates {these}")
            parts.append(scenes(expression, tags, films, self._arrays(f"SELECT * FROM stretches {these}")))
        self._db.register("found", {name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
        rows = self._rows(f"""
            SELECT id, uri, title, duration_s, nullif(p, 'NaN') AS p, NULL, start_s, end_s
            FROM found JOIN candidates USING (film) ORDER BY p DESC NULLS LAST, film, start_s {_first(limit)}""")
        return [Found(*row) for row in rows]

    def _find_candidates(self, expression: Expression, setting: float | None) -> tuple[str, ...]:
        """Make the table of the films that may be found, numbered in order of id, and return the expression's tags.

        Of the tag k there are r{k}, how sure it is, and s{k}, its seconds: null where it is not listed; c{k} is as of
        `_correct`.
        """
        tags = tags_of(expression)
        self._correct(tags)
        places = range(len(tags))

        def said(k: int, model: str, person: str) -> str:
            return f"CASE v{k} WHEN 1 THEN {person} WHEN 0 THEN NULL ELSE {model} END"

        listed = ", ".join(f"{tag_in_sql(_text(tag), setting, self.threshold)} AS t{k}" for k, tag in enumerate(tags))
        rated = ", ".join(
            f"{said(k, rating_in_sql(f't{k}'), '1')} AS r{k}, {said(k, f't{k}.seconds', f'w{k}')} AS s{k}, "
            f"c{k} IS NOT DISTINCT FROM 1 AS c{k}"
            for k in places
        )
        known = " AND ".join(f"(r{k} IS NULL OR {said(k, f't{k}.confidence', '1')} IS NOT NULL)" for k in places)
        confident = f"coalesce({', '.join(f'r{k}' for k in places)}) IS NOT NULL AND {known} AS confident"
        title = "coalesce(nullif(title, ''), id) AS title"
        self._rows(f"""
            CREATE OR REPLACE TEMP TABLE candidates AS
            SELECT row_number() OVER (ORDER BY id)::INTEGER AS film, *
            FROM (SELECT id, uri, {title}, coalesce(duration_s, 0) AS duration_s, {rated}, {confident}
                  FROM (SELECT *, {listed} FROM ({self._written("tags", _FILMS)}) LEFT JOIN said_of_films USING (id)))
            WHERE {possible(expression, {tag: f"r{k}" for k, tag in enumerate(tags)})}""")
        return tags

    def _correct(self, tags: Sequence[str]) -> None:
        """Make the tables of what people say of these tags: of films, and the spans of those of which it is said.

        Of the tag k, v{k} is 1 where a film has it, 0 where it has not and -1 where that is left to the model, w{k} are
        its seconds, and c{k} tells whether its spans are not those of the model.
        """
        if self._laid == (self._held, tags):
            return
        self._laid = None  # what fails on the way is begun anew by the next question
        held = self._held
        films = self._films_of(held.where(tags), tags)
        told = [held.of(film.id, film.content) for film in films]
        verdicts = [{said: one for said, one in of.items() if said[0] in tags} for of in told]
        said: dict[str, list] = {"id": [film.id for film in films]}
        for k, tag in enumerate(tags):
            said |= {f"v{k}": [], f"w{k}": [], f"c{k}": [int(_cuts(of, tag)) for of in verdicts]}
        for film, of in zip(films, verdicts, strict=True):
            applies = overlay.said_of_film(film.tags, of)
            seconds = {one.tag: one.seconds for one in overlay.film(film, of).tags}
            for k, tag in enumerate(tags):
                said[f"v{k}"].append(int(applies.get(tag, -1)))
                said[f"w{k}"].append(seconds.get(tag, 0.0))
        spans = list(self._corrected_spans(films, verdicts)) if films and self._files("spans") else []
        self._table("said_of_films", said)
        columns = ("id", "tag", "start_s", "end_s", "mean_probability")
        self._table("said_of_spans", {name: [getattr(span, name) for span in spans] for name in columns})
        self._laid = held, tags

    def _films_of(self, names: set[str], tags: Sequence[str]) -> list[Film]:
        """The films with one of these ids or contents, with no tags but these."""
        if not names:
            return []
        columns = {name: f'"{name}"' for name in ("id", "content", "duration_s", "tags")}
        columns["tags"] = f"list_filter(tags, lambda x: x.tag IN ({_listed(tags)}))"
        self._table("asked", {"id": list(names)})
        rows = self._rows(
            f"SELECT {', '.join(columns.values())} FROM ({self._written('tags', _FILMS)}) "
            "WHERE id IN (SELECT id FROM asked) OR content IN (SELECT id FROM asked)"
        )
        return [from_row(Film, _said(columns, row)) for row in rows]

    def _corrected_spans(self, films: Sequence[Film], verdicts: Sequence[Verdicts]) -> Iterator[Span]:
        """The spans of films and tags that are not those of the model."""
        spans: dict[str, list[Span]] = {film.id: [] for film in films}
        # What is said of a film as a whole leaves all of them or none: they need not be read.
        some = {(film.id, tag) for film, of in zip(films, verdicts, strict=True) for tag, at in of if not at.of_film}
        if some:
            self._table("asked", {"id": [id for id, _ in some], "tag": [tag for _, tag in some]})
            written = f"SELECT written.* FROM ({self._written('spans', _SPANS)}) AS written JOIN asked USING (id, tag)"
            for row in self._rows(written):
                span = from_row(Span, _said(_SPANS, row))
                spans[span.id].append(span)
        for film, of in zip(films, verdicts, strict=True):
            yield from (changed(span, id=film.id) for span in overlay.spans(spans[film.id], of))

    def _table(self, name: str, columns: Mapping[str, Sequence]) -> None:
        """Make a table of columns, of which `id` and `tag` are texts and the others numbers."""
        texts = ("id", "tag")
        self._db.register(name, {key: np.array(of, object if key in texts else None) for key, of in columns.items()})

    def _written(self, name: str, columns: dict[str, str]) -> str:
        """SQL of some columns of a table as the model says it."""
        names = _names(columns)
        if name in self._copied:
            return f"SELECT {names} FROM tables.{name} AS written"
        read, own = _read(self._files(name), columns), self._files(name, of_model=True)
        if not own:
            return f"SELECT {names} FROM {read} AS written"
        elsewhere = f"SELECT id FROM {_read(self._files(TABLES[0], of_model=True), {'id': 'VARCHAR'})}"
        said = f"SELECT {names} FROM {_read(own, columns)}"
        rows = f"SELECT {names} FROM {read} WHERE id NOT IN ({elsewhere}) UNION ALL {said}"
        return f"SELECT {names} FROM ({rows}) AS written"

    def _files(self, name: str, of_model: bool = False) -> list[str]:
        """The local files of a table, or those with the model's rows of films whose rows there are corrected."""
        if (name, of_model) not in self._local:
            try:
                found = (files_of_model if of_model else files_of)(self.view, name)
                self._local[name, of_model] = [self._kept.enter_context(storage.fetch(path)) for path in found]
            except OSError as error:
                raise OutputError(f"{self.folder}: {name} cannot be read: {storage.plainly(error)}") from error
        return self._local[name, of_model]

    def _rows(self, query: str) -> list[tuple]:
        with self._plain_errors():
            return self._db.execute(query).fetchall()

    def _arrays(self, query: str) -> dict[str, np.ndarray]:
        with self._plain_errors():
            return self._db.execute(query).fetchnumpy()

    @contextlib.contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except (duckdb.InvalidInputException, duckdb.IOException, duckdb.ConversionException) as error:
            raise OutputError(f"{self.folder}: the tables cannot be read: {storage.plainly(error)}") from error


def _cuts(verdicts: Verdicts, tag: str) -> bool:
    """Whether what is said of a film changes the spans of a tag: to confirm it of the film as a whole does not."""
    return any(said == tag and not (at.of_film and one.verdict == APPLIES) for (said, at), one in verdicts.items())


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(map(_text, texts))


def _names(columns: Iterable[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _text(value: str) -> str:
    """A string in SQL."""
    return "'" + value.replace("'", "''") + "'"


def _said(columns: Iterable[str], row: Iterable[Any]) -> dict:
    """A row of DuckDB's as an object of JSON, less what the table left out."""

    def said(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: said(inner) for name, inner in value.items() if inner is not None}
        return [said(inner) for inner in value] if isinstance(value, list) else value

    return said(dict(zip(columns, row, strict=True)))


def _literally(path: str) -> str:
    """A path of which DuckDB takes no character for a wildcard."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def _first(limit: int | None) -> str:
    return "" if limit is None else f"LIMIT {max(0, int(limit))}"
