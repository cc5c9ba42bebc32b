"""The tables of results, written as Parquet."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from movie_tags import storage
from movie_tags.transforms.strength import TagStrength

_KINDS = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
_TAGS = pa.list_(
    pa.struct(
        [(f.name, _KINDS[f.type.removesuffix(" | None")]) for f in dataclasses.fields(TagStrength)]
        + [("share", pa.float64())]
    )
)
_TOP = pa.list_(pa.struct([("tag", pa.string()), ("probability", pa.float64())]))
_COLUMNS = {
    "tags": "id:str uri:str title:str duration_s:float frames_sampled:int shots:int key_frames:int "
    "key_frames_rejected:int key_frames_failed:int",
    "key_frames": "id:str time_s:float shot_start_s:float shot_end_s:float entropy:float",
    "spans": "id:str tag:str start_s:float end_s:float mean_probability:float peak_probability:float key_frames:int",
    "errors": "id:str uri:str stage:str reason:str again:bool",
}
_NESTED = {
    "tags": [("tags", _TAGS), ("all_tags", _TAGS), ("warnings", pa.list_(pa.string()))],
    "key_frames": [("top", _TOP), ("seen", _TOP), ("thumbnail", pa.string())],
}
SCHEMAS: dict[str, pa.Schema] = {
    name: pa.schema(
        [(column, _KINDS[kind]) for column, _, kind in (word.partition(":") for word in columns.split())]
        + _NESTED.get(name, [])
    )
    for name, columns in _COLUMNS.items()
}
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
