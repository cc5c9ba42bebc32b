"""The tables of results, written as Parquet."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from movie_tags import storage
from movie_tags.results.schema import RECORDS, parquet_schema

SCHEMAS: dict[str, pa.Schema] = {name: parquet_schema(record) for name, record in RECORDS.items()}
"""The columns of each table, as the rows of JSON have them; what a row of JSON leaves out is null here."""

ROWS_AT_ONCE = 10_000


def write_rows(name: str, rows: Iterable[dict], path: str) -> None:
    """Write a file of a table, whole or not at all; some thousand rows are held in memory.

    Raises:
        OSError: it may not be written.
    """
    rows = iter(rows)
    with storage.create(path) as out, pq.ParquetWriter(out, SCHEMAS[name]) as writer:
        while batch := list(itertools.islice(rows, ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(batch, SCHEMAS[name]))
