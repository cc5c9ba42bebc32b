"""The schema: columns of records, declared once, as JSON, Parquet, DuckDB's types and rows of documentation."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from movie_tags.errors import UserError
from movie_tags.records import Entry, Failure, Film, KeyFrame, Span

if TYPE_CHECKING:
    import pyarrow as pa

RECORDS: dict[str, type] = {"tags": Film, "key_frames": KeyFrame, "spans": Span, "errors": Failure}
"""The record of each table, by the table's name."""
MANIFEST = "manifest"
ALL_RECORDS: dict[str, type] = {**RECORDS, MANIFEST: Entry}

_ARROW = {str: "string", int: "int64", float: "float64", bool: "bool_", bytes: "binary"}
_DUCKDB = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN", bytes: "BLOB"}
_WORDS = {str: "text", int: "integer", float: "number", bool: "boolean", bytes: "bytes"}
"""What PyArrow, DuckDB and people call a type."""


class SchemaError(UserError):
    """A row that is none of its table."""


@dataclass(frozen=True)
class Column:
    """A column of a record.

    Attributes:
        name: of the field.
        kind: its type, or that of its items: str, int, float, bool or a record.
        many: it holds a list of them.
        nullable: it may be None.
        default: its value where a row leaves it out; `dataclasses.MISSING` where none may.
        unit, help, digits, omitted, first: as of `records.column`.
    """

    name: str
    kind: type
    many: bool
    nullable: bool
    default: Any
    unit: str = ""
    help: str = ""
    digits: int | None = None
    omitted: bool = False
    first: bool = False

    @property
    def nested(self) -> bool:
        """Whether it holds records."""
        return dataclasses.is_dataclass(self.kind)

    @property
    def type_name(self) -> str:
        """Its type in words."""
        one = "object" if self.nested else _WORDS[self.kind]
        return f"list of {one}s" if self.many else f"{one} or null" if self.nullable else one


@cache
def columns(record: Any) -> tuple[Column, ...]:
    """The columns of a record, in order.

    Raises:
        TypeError: a field's type is none that tables have.
    """
    kinds = typing.get_type_hints(record)
    found = [_column(field, kinds[field.name]) for field in dataclasses.fields(record)]
    return tuple(sorted(found, key=lambda column: not column.first))


def _column(field: dataclasses.Field, kind: Any) -> Column:
    many = typing.get_origin(kind) is tuple
    nullable = isinstance(kind, types.UnionType)
    if many or nullable:
        kind = typing.get_args(kind)[0]
    if kind not in _WORDS and not dataclasses.is_dataclass(kind):
        raise TypeError(f"{field.name}: tables have no {kind}")
    return Column(field.name, kind, many, nullable, field.default, **field.metadata)


def to_row(record: Any) -> dict:
    """A record as an object of JSON: floats with the digits that tables keep, less what is omitted."""
    row = {}
    for name, omitted, default, plain in _written(record.__class__):
        value = getattr(record, name)
        if not (omitted and value == default):
            row[name] = value if plain is None else plain(value)
    return row


@cache
def _written(record: type) -> tuple[tuple[str, bool, Any, Callable[[Any], Any] | None], ...]:
    """Of each column its name, whether its default is omitted, that, and what makes a value of JSON of one of it."""
    return tuple((column.name, column.omitted, column.default, _plain(column)) for column in columns(record))


def _plain(column: Column) -> Callable[[Any], Any] | None:
    if column.many:
        return (lambda items: [to_row(item) for item in items]) if column.nested else list
    digits = column.digits
    return None if digits is None else lambda value: None if value is None else round(value, digits)


def to_line(record: Any) -> bytes:
    """A record as a line of JSON."""
    return json.dumps(to_row(record), ensure_ascii=False).encode() + b"\n"


Reader = Callable[[Mapping[str, Any]], Any]


@cache
def reader_of(record: type) -> Reader:
    """The function that makes such records of objects of JSON; what these leave out stands at its default.

    It raises SchemaError: a column lacks or is unknown, as of a table that another version wrote, or holds another kind
    of value.
    """
    known = {column.name: _converter(column) for column in columns(record)}
    named = "id" in known

    def read(row: Mapping[str, Any]) -> Any:
        if named and "id" not in row:
            raise SchemaError("has no id")
        try:
            return record(**{name: known[name](value) for name, value in row.items() if value is not None})
        except SchemaError:
            raise
        except KeyError as error:
            reason = f"has a column {error} that another version of movie-tags wrote; tag anew into another folder"
            raise SchemaError(reason) from None
        except (TypeError, ValueError, AttributeError) as error:
            raise SchemaError(f"is no row of this version of movie-tags ({error})") from error

    return read


def _converter(column: Column) -> Callable[[Any], Any]:
    one: Callable[[Any], Any] = reader_of(column.kind) if column.nested else column.kind
    if column.many:
        return lambda values: tuple(map(one, values))
    if column.nullable:
        return lambda value: None if value is None else one(value)
    if column.kind in (int, float):
        return one
    return _same_kind(column.kind)


def _same_kind(kind: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError(f"{value!r} where {kind.__name__} is due")
        return value

    return check


def from_row(record: type, row: Mapping[str, Any]) -> Any:
    """An object of JSON as a record.

    Raises:
        SchemaError: it is none.
    """
    return reader_of(record)(row)


def without_omitted(record: type) -> Callable[[dict], dict]:
    """The function that takes out of rows of such records, in place, nulls of what their inner records may omit."""
    inside = {
        column.name: [inner.name for inner in columns(column.kind) if inner.omitted]
        for column in columns(record)
        if column.nested
    }

    def less(row: dict) -> dict:
        for name, omitted in inside.items():
            for item in row.get(name, ()) if omitted else ():
                for inner in omitted:
                    if item.get(inner) is None:
                        item.pop(inner, None)
        return row

    return less


def parquet_schema(record: type) -> pa.Schema:
    """The columns as Parquet has them."""
    import pyarrow as pa  # only those who have such tables pay for it

    def of(column: Column) -> pa.DataType:
        one = pa.struct(fields(column.kind)) if column.nested else getattr(pa, _ARROW[column.kind])()
        return pa.list_(one) if column.many else one

    def fields(record: type) -> list[tuple[str, pa.DataType]]:
        return [(column.name, of(column)) for column in columns(record)]

    return pa.schema(fields(record))


def duckdb_types(record: type, wanted: Iterable[str] | None = None) -> dict[str, str]:
    """The columns as DuckDB has them, or those of them that are wanted."""

    def of(column: Column) -> str:
        one = _struct(column.kind) if column.nested else _DUCKDB[column.kind]
        return f"{one}[]" if column.many else one

    chosen = None if wanted is None else set(wanted)
    return {column.name: of(column) for column in columns(record) if chosen is None or column.name in chosen}


def _struct(record: type) -> str:
    return "STRUCT(" + ", ".join(f'"{name}" {kind}' for name, kind in duckdb_types(record).items()) + ")"


def csv_columns(record: type) -> list[str]:
    """The columns that hold one value each, as a table of CSV can have."""
    return [column.name for column in columns(record) if not column.many]


def describe(record: type) -> list[tuple[str, str, str, str]]:
    """(column, type, unit, help) of each column, for documentation; those of nested records after their column."""
    rows = []
    for column in columns(record):
        rows.append((column.name, column.type_name, column.unit, column.help))
        if column.nested:
            rows += [(f"{column.name}.{inner}", kind, unit, help) for inner, kind, unit, help in describe(column.kind)]
    return rows
