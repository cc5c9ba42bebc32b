"""Folders of results with features of key frames, made by the tests."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
from result_folders import RUN, film, frame

from movie_tags.models.quantised import quantise
from movie_tags.records import KeyFrameFeatures
from movie_tags.results.schema import parquet_schema


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_part(folder, part, vectors, per_file=3, group=2):
    """Features and key frames of a part: {film: vectors}, a key frame every four seconds, in files of some rows."""
    rows = [(id, 4.0 * k + 1, quantise(v)) for id, found in vectors.items() for k, v in enumerate(found)]
    write_lines(folder / part / "key_frames.jsonl", [frame(id, time_s, {}) for id, time_s, _ in rows])
    for begin in range(0, len(rows), per_file):
        columns = list(zip(*rows[begin : begin + per_file], strict=True))
        table = pa.table(list(columns), parquet_schema(KeyFrameFeatures))
        pq.write_table(table, folder / part / f"features-{begin}.parquet", row_group_size=group)


def write_snapshot(folder, films, seen_key="k"):
    """The latest snapshot: {film: the part of its features; None where there are none}."""
    (folder / "latest.json").write_text(json.dumps({"view": "views/1"}))
    view = folder / "views" / "1"
    entries = [{"id": id, "features": part, "seen_key": seen_key} if part else {"id": id} for id, part in films.items()]
    write_lines(view / "manifest.jsonl", entries)
    write_lines(view / "tags.jsonl", [film(id, title=id.upper()) for id in films])
    (view / "view.json").write_text(json.dumps({"layout": 2}))


def write_tagged(folder, bundles, vectors, seen_key="k"):
    """Results that bundles have tagged, with their features: {film: vectors}, all in one part; the folder's name."""
    write_part(folder, "runs/r1/p", vectors)
    write_snapshot(folder, dict.fromkeys(vectors, "runs/r1/p"), seen_key)
    names = ("uri", "name", "fingerprint", "width", "knows_words")
    said = [{name: getattr(bundle, name) for name in names} for bundle in bundles]
    run = {**RUN, "seen_key": seen_key, "model": {**RUN["model"], "bundles": said}}
    (folder / "views/1/run.json").write_text(json.dumps(run))
    return str(folder)
