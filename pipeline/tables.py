"""The tables of results: their rows, written by a pipeline; `movie_tags.results.reading` reads them again.

A folder of results shows, for each of TABLES, one file NAME.jsonl, and run.json, which says how the last run went.
`movie_tags.results.snapshots` says how they come there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import apache_beam as beam

from movie_tags import storage
from movie_tags.pipeline.tag_movies import TagMovies
from movie_tags.records import KEY_FRAME_STAGES, TAGGED, Entry, Failure, Film, Video, named
from movie_tags.results.manifest import failed_entry
from movie_tags.results.reading import TABLES
from movie_tags.results.schema import MANIFEST, to_line, to_row

RAW = "raw-"
"""What the names of a part's tables begin with until they are in order."""
DUE = "due"
COUNTS = "counts"
THUMBNAILS = "thumbnails"


def counts_of(table: str, row: dict) -> Iterator[tuple[str, int]]:
    """What a row adds to the counts of a run; all are whole numbers."""
    if table == "tags":
        yield "videos_tagged", 1
        yield "film_ms", round(row["duration_s"] * 1000)
        for name in ("frames_sampled", "shots", "key_frames_rejected"):
            yield name, row[name]
    elif table == "key_frames":
        yield "key_frames_tagged", 1
        yield "key_frames_believed", int(bool(row["tags"]))
    elif table == "spans":
        yield "spans", 1
    else:
        yield "key_frames_failed" if row["stage"] in KEY_FRAME_STAGES else "videos_failed", 1


class WriteTables(beam.PTransform):
    """The tables and the inputs read -> files of lines of JSON in a part's folder -> their paths.

    Takes a dictionary of collections: `TagMovies`' results; "read", an element for each input, and DUE, each `Due`,
    where they are known here. Each table is one file or several, whose names begin with RAW: they are in no order yet.
    Beside TABLES there are the manifest's entries, the list of what was due, and COUNTS, of the objects {"name", "n"}.
    """

    def __init__(self, folder: str, single_file: bool, method_key: str, run_id: str):
        super().__init__()
        self.folder = folder
        self.single_file = single_file
        self.method_key = method_key
        self.run_id = run_id

    def expand(self, tables: dict[str, beam.PCollection]) -> beam.PCollection:
        written, counts, entries = [], [], []
        if "read" in tables:
            counts.append(tables["read"] | "Read" >> beam.Map(lambda _: ("inputs_read", 1)))
            counts.append(tables[TagMovies.MERGED] | "Merged" >> beam.Map(lambda _: ("inputs_merged", 1)))
        if DUE in tables:
            counts.append(tables[DUE] | "CountDue" >> beam.Map(lambda item: (f"due: {item.why}", 1)))
            lines = tables[DUE] | "DueLine" >> beam.Map(lambda item: item.line().decode().rstrip("\n"))
            written.append(lines | f"Write_{DUE}" >> self._write(DUE, lines=True))
        for name in TABLES:
            if name not in tables:
                continue
            rows = tables[name] | f"Row_{name}" >> beam.MapTuple(lambda video, record: to_row(named(record, video)))
            counts.append(rows | f"Count_{name}" >> beam.FlatMap(lambda row, name=name: counts_of(name, row)))
            written.append(rows | f"Write_{name}" >> self._write(name))
            if name in ("tags", "errors"):
                entries.append(tables[name] | f"Entry_{name}" >> beam.FlatMap(entries_of, self.method_key, self.run_id))
        written.append(entries | "Entries" >> beam.Flatten() | f"Write_{MANIFEST}" >> self._write(MANIFEST, lines=True))
        written.append(
            counts
            | "Counts" >> beam.Flatten()
            | "Sum" >> beam.CombinePerKey(sum)
            | "CountRow" >> beam.MapTuple(lambda name, n: {"name": name, "n": n})
            | "Write_counts" >> self._write(COUNTS, single_file=True)
        )
        return written | "Written" >> beam.Flatten()

    def _write(self, name: str, lines: bool = False, single_file: bool | None = None) -> beam.PTransform:
        single = self.single_file if single_file is None else single_file
        return _WriteLines(storage.join(self.folder, f"{RAW}{name}"), single, lines)


def entries_of(element: tuple[Video, Film | Failure], method_key: str, run_id: str) -> Iterator[str]:
    """The manifest's line of a video that has been tagged or failed; a key frame that failed has none."""
    video, result = element
    at = datetime.now(UTC).isoformat(timespec="seconds")
    if isinstance(result, Film):
        film_s = round(result.duration_s, 3)
        entry = Entry(video.id, video.uri, video.version, method_key, TAGGED, film_s=film_s, run_id=run_id, at=at)
    elif result.of_key_frame:
        return
    else:
        entry = failed_entry(video, result, method_key, run_id, at)
    yield to_line(entry).decode().rstrip("\n")


class _WriteLines(beam.PTransform):
    """Rows, or lines as they stand, -> a file or shards."""

    def __init__(self, prefix: str, single_file: bool, lines: bool):
        super().__init__()
        self.prefix = prefix
        self.single_file = single_file
        self.lines = lines

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        return (
            rows if self.lines else rows | "Line" >> beam.Map(json.dumps, ensure_ascii=False)
        ) | "Write" >> beam.io.WriteToText(
            self.prefix,
            file_name_suffix=".jsonl",
            num_shards=1 if self.single_file else 0,
            shard_name_template="" if self.single_file else None,
        )
