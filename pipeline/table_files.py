"""The two ends of a run's graph: the list of what is due, read; the tables of results, written."""

from __future__ import annotations

import json

import apache_beam as beam

from movie_tags import storage
from movie_tags.pipeline.distinct_videos import DistinctVideos
from movie_tags.pipeline.film_rows import counts_of, entries_of
from movie_tags.pipeline.tag_movies import TagMovies
from movie_tags.records import KeyFrameFeatures
from movie_tags.results.features import FEATURES, ROW_GROUP
from movie_tags.results.manifest import read_due
from movie_tags.results.parts import COUNTS, Part
from movie_tags.results.reading import TABLES
from movie_tags.results.run_records import RunRecord
from movie_tags.results.schema import MANIFEST, parquet_schema, to_row
from movie_tags.stopping import INTERRUPTED


class ReadDue(beam.PTransform):
    """The address of a list of `Due` lines -> its videos under the names of `DistinctVideos`' outputs.

    SEEN has, instead, each `Due` of a film that need not be opened, for what was seen of it is kept.
    """

    SEEN = "seen"

    def __init__(self, uri: str):
        super().__init__()
        self.uri = uri

    def expand(self, root: beam.pvalue.PBegin) -> dict[str, beam.PCollection]:
        due = (
            root
            | "List" >> beam.Create([self.uri], reshuffle=False)
            | "Read" >> beam.FlatMap(read_due)
            | "Spread" >> beam.Reshuffle()
            | "Parted" >> beam.Partition(lambda item, _: int(bool(item.video.seen)), 2)
        )
        due, seen = due
        nothing = root.pipeline | "Nothing" >> beam.Create([], reshuffle=False)
        return {
            DistinctVideos.VIDEOS: due | "Videos" >> beam.Map(lambda item: item.video),
            DistinctVideos.WARNED: due | "Warnings" >> beam.FlatMap(lambda i: [(i.video, text) for text in i.warnings]),
            DistinctVideos.FAILED: nothing,
            DistinctVideos.MERGED: nothing,
            self.SEEN: seen,
        }


class WriteTables(beam.PTransform):
    """`TagMovies`' results -> files of lines of JSON in a part's folder -> their paths.

    Each table is one file or several, in no order yet. Beside TABLES there are the manifest's entries and COUNTS, of
    the objects {"name", "n"}. What was not done because the run was told to end is left out.
    """

    def __init__(self, part: Part, single_file: bool, run: RunRecord):
        super().__init__()
        self.part = part
        self.single_file = single_file
        self.run = run

    def expand(self, tables: dict[str, beam.PCollection]) -> beam.PCollection:
        written, counts, entries = [], [], []
        for name in TABLES:
            done = tables[name]
            if name == TagMovies.ERRORS:
                done |= "NotInterrupted" >> beam.Filter(lambda element: element[1].stage != INTERRUPTED)
            rows = done | f"Row_{name}" >> beam.MapTuple(lambda _, record: to_row(record))
            counts.append(rows | f"Count_{name}" >> beam.FlatMap(lambda row, name=name: counts_of(name, row)))
            lines = rows | f"Line_{name}" >> beam.Map(json.dumps, ensure_ascii=False)
            written.append(lines | f"Write_{name}" >> self._write(name))
            if name in (TagMovies.TAGS, TagMovies.ERRORS):
                entries.append(done | f"Entry_{name}" >> beam.FlatMap(entries_of, self.run, self.part.name))
        written.append(entries | "Entries" >> beam.Flatten() | f"Write_{MANIFEST}" >> self._write(MANIFEST))
        if self.run.seen_key:
            written.append(tables[TagMovies.FEATURES] | "Write_features" >> self._write_features())
        summed = counts | "Counts" >> beam.Flatten() | "Sum" >> beam.CombinePerKey(sum)
        lines = summed | "CountLine" >> beam.MapTuple(lambda name, n: json.dumps({"name": name, "n": n}))
        written.append(lines | "Write_counts" >> self._write(COUNTS, single_file=True))
        return written | "Written" >> beam.Flatten()

    def _write_features(self) -> beam.PTransform:
        return _WriteFeatures(self.part, self.single_file)

    def _write(self, table: str, single_file: bool | None = None) -> beam.PTransform:
        single = self.single_file if single_file is None else single_file
        return beam.io.WriteToText(
            self.part.raw(table),
            file_name_suffix=".jsonl",
            num_shards=1 if single else 0,
            shard_name_template="" if single else None,
        )


class _WriteFeatures(beam.PTransform):
    """(Video, KeyFrameFeatures) -> files of Parquet in a part's folder, which stay there as they are."""

    def __init__(self, part: Part, single_file: bool):
        super().__init__()
        self.part = part
        self.single_file = single_file

    def expand(self, features: beam.PCollection) -> beam.PCollection:
        return (
            features
            | "Columns" >> beam.MapTuple(lambda _, record: to_row(record))
            | "Write"
            >> beam.io.WriteToParquet(
                storage.join(self.part.address, FEATURES),
                parquet_schema(KeyFrameFeatures),
                codec="zstd",
                record_batch_size=ROW_GROUP,
                row_group_buffer_size=1,  # byte: each batch is a group
                file_name_suffix=".parquet",
                num_shards=1 if self.single_file else 0,
                shard_name_template="" if self.single_file else None,
            )
        )
