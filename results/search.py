"""Search over the tables of results: films, or the scenes in which tags meet, for a boolean expression of tags."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import pyparsing as pp

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.machine import cores
from movie_tags.records import Film, Span
from movie_tags.results import overlay
from movie_tags.results.corrections import Corrections, Held
from movie_tags.results.reading import PARQUET, OutputError, files_of, read_run, view_of
from movie_tags.results.schema import columns, duckdb_types, from_row, to_line
from movie_tags.results.synonyms import meanings, named, nearest

MEMORY = "400MB"
"""What DuckDB may hold; what is more goes to disk meanwhile."""


class SearchError(UserError):
    """A search that cannot be made; the message says what is wrong with it."""


@dataclass(frozen=True)
class Term:
    """Words that name a tag.

    Attributes:
        text: the words.
        tags: those of the vocabulary that they mean, any of which will do; none before `resolve`.
        quoted: they stood in quotes: one tag, whatever the words.
    """

    text: str
    tags: tuple[str, ...] = ()
    quoted: bool = False


@dataclass(frozen=True)
class Not:
    of: Expression


@dataclass(frozen=True)
class And:
    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Or:
    parts: tuple[Expression, ...]


Expression = Term | Not | And | Or


@dataclass(frozen=True)
class Found:
    """A film, or a scene of one, that a search has found.

    Attributes:
        id, uri, title: of the film.
        duration_s: of the film, seconds.
        strength: of a film, the relative strength R of the tags asked for; of a scene, their mean probability. The
            weakest of those joined by `and`, the strongest of those joined by `or`; None where only `not` was asked.
        start_s, end_s: of a scene, in seconds after the film's first frame; None of a film.
    """

    id: str
    uri: str
    title: str
    duration_s: float
    strength: float | None
    start_s: float | None = None
    end_s: float | None = None


def _grammar() -> pp.ParserElement:
    both = pp.CaselessKeyword("and") | pp.one_of("& + ,")
    either = pp.CaselessKeyword("or") | pp.Literal("|")
    negated = pp.CaselessKeyword("not") | pp.one_of("- !")
    reserved = pp.MatchFirst(map(pp.CaselessKeyword, ("and", "or", "not")))
    quoted = pp.QuotedString('"') | pp.QuotedString("'")
    words = pp.OneOrMore(~reserved + pp.Regex(r"[^\s()\"'&+,|!-][^\s()\"&,|]*")).set_parse_action(
        lambda found: Term(" ".join(found))
    )
    quoted.set_parse_action(lambda found: Term(found[0].strip(), quoted=True))
    term = (quoted | words).set_name("a tag")
    all_of: Any = lambda found: And(tuple(part for part in found[0] if not isinstance(part, str)))  # noqa: E731
    return pp.infix_notation(
        term,
        [
            (negated, 1, pp.OpAssoc.RIGHT, lambda found: Not(found[0][1])),
            (None, 2, pp.OpAssoc.LEFT, all_of),
            (both, 2, pp.OpAssoc.LEFT, all_of),
            (either, 2, pp.OpAssoc.LEFT, lambda found: Or(tuple(found[0][::2]))),
        ],
    )


def parse(text: str) -> Expression:
    """Read an expression of tags, `and`, `or`, `not` and parentheses; `not` binds tightest, then `and`.

    As people type it, too: `-tag` is `not tag`, a comma is `and`, `|` is `or`. Words side by side are one term, as are
    words in quotes; see `in_terms`.

    Raises:
        SearchError: it is none; the message says where it breaks off.
    """
    try:
        return _grammar().parse_string(text, parse_all=True)[0]
    except pp.ParseBaseException as error:
        rest = text[error.loc :].strip()
        where = f"at {rest!r}" if rest and rest != text.strip() else "at its end" if text.strip() else "it is empty"
        raise SearchError(
            f"{text!r} cannot be understood ({where}); write tags with and, or, not and parentheses, such as "
            "'beach and (children or family) and not violence', or just 'beach children -violence'"
        ) from error


def matching(term: str, vocabulary: Sequence[str]) -> tuple[str, ...]:
    """The tags that a term names, by themselves, by words of theirs or by synonyms; see `synonyms.named`.

    Raises:
        SearchError: there is none; the message names the nearest.
    """
    found = named(term, vocabulary)
    if found:
        return found
    elsewhere = [tag for tag in meanings(term) if tag not in vocabulary]
    if elsewhere:
        raise SearchError(f"the model of these results has no tag {elsewhere[0]}: it was not looked for")
    close = nearest(term, vocabulary)
    offer = ", ".join(close[:-1]) + (" or " if len(close) > 1 else "") + "".join(close[-1:])
    raise SearchError(f"no tag {term!r}; did you mean {offer}?")


def in_terms(text: str, vocabulary: Sequence[str]) -> Expression:
    """What words side by side mean: the tag that they name together, or else several tags, all of which are wanted.

    From left to right, as many words as name a tag are one.

    Raises:
        SearchError: there is a word that names none.
    """
    words = text.split()
    parts: list[Term] = []
    while words:
        count = next((n for n in range(len(words), 0, -1) if named(" ".join(words[:n]), vocabulary)), 1)
        term = " ".join(words[:count])
        parts.append(Term(term, matching(term, vocabulary)))
        words = words[count:]
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def resolve(expression: Expression, vocabulary: Sequence[str]) -> Expression:
    """The expression with the tags that its terms mean.

    Raises:
        SearchError: a term names none.
    """
    match expression:
        case Term(text, quoted=True):
            return Term(text, matching(text, vocabulary), True)
        case Term(text):
            return in_terms(text, vocabulary)
        case Not(of):
            return Not(resolve(of, vocabulary))
        case And(parts) | Or(parts):
            return type(expression)(tuple(resolve(part, vocabulary) for part in parts))


def terms_of(expression: Expression) -> tuple[Term, ...]:
    """The terms, in order of appearance."""
    match expression:
        case Term():
            return (expression,)
        case Not(of):
            return terms_of(of)
        case And(parts) | Or(parts):
            return tuple(term for part in parts for term in terms_of(part))


def tags_of(expression: Expression) -> tuple[str, ...]:
    """Every tag that the terms mean, once, in order of appearance."""
    return tuple(dict.fromkeys(tag for term in terms_of(expression) for tag in term.tags))


def condition(expression: Expression, slots: dict[str, str]) -> str:
    """The expression in SQL. Args: `slots`: of each tag a column, null where it is not there."""
    match expression:
        case Term(_, tags):
            return "(" + " OR ".join(f"{slots[tag]} IS NOT NULL" for tag in tags) + ")"
        case Not(of):
            return f"(NOT {condition(of, slots)})"
        case And(parts):
            return "(" + " AND ".join(condition(part, slots) for part in parts) + ")"
        case Or(parts):
            return "(" + " OR ".join(condition(part, slots) for part in parts) + ")"


def possible(expression: Expression, slots: dict[str, str]) -> str:
    """In SQL, what must hold of a film as a whole for the expression to hold somewhere in it."""
    match expression:
        case Not():
            return "TRUE"
        case And(parts):
            return "(" + " AND ".join(possible(part, slots) for part in parts) + ")"
        case Or(parts):
            return "(" + " OR ".join(possible(part, slots) for part in parts) + ")"
    return condition(expression, slots)


def strength(expression: Expression, slots: dict[str, str]) -> str:
    """How strongly the expression holds, in SQL; null where nothing but `not` makes it hold."""
    match expression:
        case Term(_, tags):
            return f"greatest({', '.join(slots[tag] for tag in tags)}, NULL)"
        case Not():
            return "NULL::DOUBLE"
        case And(parts):  # DuckDB's least and greatest pass over nulls
            return f"least({', '.join(strength(part, slots) for part in parts)})"
        case Or(parts):
            either = (f"CASE WHEN {condition(part, slots)} THEN {strength(part, slots)} END" for part in parts)
            return f"greatest({', '.join(either)})"


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

    def __init__(self, folder: str):
        """
        Raises:
            SearchError: the folder holds no results.
            OutputError: they cannot be read.
        """
        self.folder = folder
        self.view = view_of(folder)
        if not files_of(self.view, "tags"):
            raise SearchError(f"{folder}: holds no results; name a folder that `movie-tags tag … --output` has filled")
        self._kept = contextlib.ExitStack()
        self._local: dict[str, list[str]] = {}
        self._corrected: dict[str, str] = {}
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
        held = Held(Corrections(folder))
        if held:
            self._correct(held, scratch)

    def __enter__(self) -> Search:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def vocabulary(self) -> list[str]:
        """The tags that can be asked for: the model's, or where the run does not say, those that were found.

        Raises:
            OutputError: the tables cannot be read.
        """
        said = ((read_run(self.view) or {}).get("model") or {}).get("vocabulary")
        if said:
            return list(said)
        found = self._rows(f"SELECT DISTINCT unnest(tags).tag AS tag FROM {self._films()} ORDER BY tag")
        return [tag for (tag,) in found]

    def films(self, expression: Expression, min_strength: float | None = None, limit: int | None = None) -> list[Found]:
        """The films for which an expression holds, the strongest first.

        Args:
            expression: resolved.
            min_strength: a film has a tag from this relative strength on; None: where it is on its short list.
            limit: the first so many only.

        Raises:
            OutputError: the tables cannot be read.
        """
        films, slots = self._with_slots(expression, min_strength, "short_list")
        rows = self._rows(
            f"SELECT id, uri, title, duration_s, {strength(expression, slots)} AS strength FROM ({films}) "
            f"WHERE {condition(expression, slots)} ORDER BY strength DESC NULLS LAST, title, id {_first(limit)}"
        )
        return [Found(*row) for row in rows]

    def scenes(
        self, expression: Expression, min_strength: float | None = None, limit: int | None = None
    ) -> list[Found]:
        """The stretches of films throughout which an expression holds, the most probable first.

        Args:
            expression: resolved.
            min_strength: only spans of tags that have this relative strength in their film count; None: all spans.
            limit: the first so many only.

        Raises:
            SearchError: the run wrote no spans.
            OutputError: the tables cannot be read.
        """
        films, slots = self._with_slots(expression, min_strength or 0.0, "tags")
        tags = list(slots)
        columns = range(len(tags))
        here = {tag: f"p{k}" for k, tag in enumerate(tags)}
        candidates = f"SELECT * FROM ({films}) WHERE {possible(expression, slots)}"
        # Which column a span's tag is, and whether its film has the tag strongly enough to count.
        slot = " ".join(f"WHEN {_text(tag)} THEN {k}" for k, tag in enumerate(tags))
        counts = " OR ".join(f"(slot = {k} AND {slots[tag]} IS NOT NULL)" for k, tag in enumerate(tags))
        change = ", ".join(f"sum(CASE WHEN slot = {k} THEN n ELSE 0 END) AS n{k}" for k in columns)
        weight = ", ".join(f"sum(CASE WHEN slot = {k} THEN n * millionths ELSE 0 END) AS m{k}" for k in columns)
        so_far = ", ".join(f"sum(n{k}) OVER w AS a{k}, sum(m{k}) OVER w AS b{k}" for k in columns)
        carried = ", ".join(f"CASE WHEN a{k} > 0 THEN b{k} / a{k} / 1e6 END AS p{k}" for k in columns)
        rows = self._rows(f"""
            WITH candidates AS MATERIALIZED ({candidates}),
            spans AS MATERIALIZED (
                SELECT s.id, s.slot, s.start_s, s.millionths,
                    CASE WHEN f.duration_s > 0 THEN least(s.end_s, f.duration_s) ELSE s.end_s END AS end_s
                FROM (SELECT id, CASE tag {slot} END AS slot, start_s, end_s,
                          round(mean_probability * 1e6)::BIGINT AS millionths FROM {self._spans(tags)}) AS s
                JOIN candidates AS f ON s.id = f.id
                WHERE {counts}
            ),
            events AS (
                SELECT id, start_s AS t, slot, 1 AS n, millionths FROM spans WHERE start_s < end_s
                UNION ALL SELECT id, end_s, slot, -1, millionths FROM spans WHERE start_s < end_s
                UNION ALL SELECT id, unnest([0.0, duration_s]), -1, 0, 0 FROM candidates
            ),
            points AS (SELECT id, t, {change}, {weight} FROM events GROUP BY id, t),
            states AS (
                SELECT id, t AS start_s, lead(t) OVER w AS end_s, {so_far}
                FROM points WINDOW w AS (PARTITION BY id ORDER BY t)
            ),
            held AS (
                SELECT id, start_s, end_s, {condition(expression, here)} AS holds, {strength(expression, here)} AS p
                FROM (SELECT id, start_s, end_s, {carried} FROM states WHERE end_s IS NOT NULL)
            ),
            begun AS (
                SELECT *, holds AND NOT coalesce(lag(holds) OVER (PARTITION BY id ORDER BY start_s), FALSE) AS begins
                FROM held
            ),
            numbered AS (
                SELECT *, sum(begins::INT) OVER (PARTITION BY id ORDER BY start_s) AS scene FROM begun
            ),
            scenes AS (
                SELECT id, min(start_s) AS start_s, max(end_s) AS end_s,
                    sum(p * (end_s - start_s)) / sum(end_s - start_s) FILTER (p IS NOT NULL) AS p
                FROM numbered WHERE holds GROUP BY id, scene
            ),
            best AS (SELECT * FROM scenes ORDER BY p DESC NULLS LAST, id, start_s {_first(limit)})
            SELECT id, uri, title, duration_s, best.p, best.start_s, best.end_s FROM best JOIN candidates USING (id)
            ORDER BY best.p DESC NULLS LAST, id, best.start_s""")
        return [Found(*row) for row in rows]

    def _with_slots(self, expression: Expression, min_strength: float | None, among: str) -> tuple[str, dict[str, str]]:
        """SQL of the films with a column for each tag: its relative strength where that is enough, else null."""
        slots = {tag: f"r{k}" for k, tag in enumerate(tags_of(expression))}
        among = "tags" if min_strength is not None else among
        enough = f" AND x.relative_strength >= {float(min_strength)!r}" if min_strength else ""
        columns = ", ".join(
            f"list_filter({among}, lambda x: x.tag = {_text(tag)}{enough})[1].relative_strength AS {slot}"
            for tag, slot in slots.items()
        )
        title = "coalesce(nullif(title, ''), id) AS title"
        return f"SELECT id, uri, {title}, coalesce(duration_s, 0) AS duration_s, {columns} FROM {self._films()}", slots

    def _films(self) -> str:
        return self._table("tags", _FILMS)

    def _spans(self, tags: Sequence[str]) -> str:
        """SQL of the spans of some tags."""
        files = self._files("spans")
        if not files:
            raise SearchError(
                f"{self.folder}: made by an older version, which wrote no spans; search without --scenes, or tag anew"
            )
        wanted = f"tag IN ({', '.join(map(_text, tags))})"
        return f"(SELECT * FROM {self._table('spans', _SPANS)} WHERE {wanted})"

    def _correct(self, held: Held, scratch: str) -> None:
        """Put rows with corrections laid over them in place of those of the films that have any."""
        listed = ", ".join(map(_text, sorted(held.films() | held.contents())))
        films_of = f"SELECT * FROM {self._table('tags', _FILMS)} WHERE id IN ({listed}) OR content IN ({listed})"
        films = [from_row(Film, _said(_FILMS, row)) for row in self._rows(films_of)]
        verdicts = {film.id: held.of(film.id, film.content) for film in films}
        spans: dict[str, list[Span]] = {id: [] for id in verdicts}
        if spans and self._files("spans"):
            ids = ", ".join(map(_text, spans))
            for row in self._rows(f"SELECT * FROM {self._table('spans', _SPANS)} WHERE id IN ({ids})"):
                span = from_row(Span, _said(_SPANS, row))
                spans[span.id].append(span)
        rows: dict[str, list] = {
            "tags": [overlay.film(film, verdicts[film.id]) for film in films],
            "spans": [replace(s, id=id) for id, found in spans.items() for s in overlay.spans(found, verdicts[id])],
        }
        for name, records in rows.items():
            self._corrected[name] = f"{scratch}/{name}.jsonl"
            with open(self._corrected[name], "wb") as lines:
                lines.writelines(map(to_line, records))
        self._replaced = ", ".join(map(_text, ["", *verdicts]))

    def _table(self, name: str, columns: dict[str, str]) -> str:
        """SQL of some columns of a table."""
        names = ", ".join(f'"{column}"' for column in columns)
        written = f"SELECT {names} FROM {_read(self._files(name), columns)}"
        if name not in self._corrected:
            return f"({written})"
        corrected = f"SELECT {names} FROM {_read([self._corrected[name]], columns)}"
        return f"({written} WHERE id NOT IN ({self._replaced}) UNION ALL {corrected})"

    def _files(self, name: str) -> list[str]:
        """The local files of a table."""
        if name not in self._local:
            try:
                self._local[name] = [self._kept.enter_context(storage.fetch(p)) for p in files_of(self.view, name)]
            except OSError as error:
                raise OutputError(f"{self.folder}: {name} cannot be read: {storage.plainly(error)}") from error
        return self._local[name]

    def _rows(self, query: str) -> list[tuple]:
        try:
            return self._db.execute(query).fetchall()
        except (duckdb.InvalidInputException, duckdb.IOException, duckdb.ConversionException) as error:
            raise OutputError(f"{self.folder}: the tables cannot be read: {storage.plainly(error)}") from error


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
    return "" if limit is None else f"LIMIT {int(limit)}"
