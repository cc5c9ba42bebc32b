"""Building a data set: one pass over the inputs, the decisions, one pass over the pictures."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from movie_tags import storage
from movie_tags.training.data.complete_labels import completed
from movie_tags.training.data.dataset import INDEX, MANIFEST, SPLITS, DatasetError, Entry, read_index, write_index
from movie_tags.training.data.dataset_manifest import make_manifest, manifest_text
from movie_tags.training.data.examples import Candidate, ReadLabelled, from_example, to_example
from movie_tags.training.data.labels import LabelledPicture, LabelledVideo, find_pictures, read_labels
from movie_tags.training.data.splitting import MAX_DISTANCE, merge, split_at_random, split_by_source


class ExtractCandidates(beam.PTransform):
    """LabelledPicture and LabelledVideo -> candidates in staged TFRecords; what decisions need as lines of JSON."""

    def __init__(self, staging: str, fps: float, threshold: float, min_entropy: float, every: bool):
        super().__init__()
        self.staging = staging
        self.read = ReadLabelled(fps, threshold, min_entropy, every)

    def expand(self, inputs: beam.PCollection) -> None:
        found = (
            inputs
            | "SpreadInputs" >> beam.Reshuffle()
            | "ReadLabelled" >> beam.ParDo(self.read).with_outputs(ReadLabelled.DROPPED, main="candidates")
        )
        (
            found.candidates
            | "ToExample" >> beam.Map(to_example)
            | "WriteCandidates" >> beam.io.WriteToTFRecord(storage.join(self.staging, "candidates"))
        )
        (
            found.candidates
            | "Summary" >> beam.Map(lambda item: json.dumps(_summary(item)))
            | "WriteSummaries" >> beam.io.WriteToText(storage.join(self.staging, "summaries"))
        )
        (
            found[ReadLabelled.DROPPED]
            | "Reason" >> beam.Map(json.dumps)
            | "WriteDropped" >> beam.io.WriteToText(storage.join(self.staging, "dropped"))
        )


def _summary(item: Candidate) -> list:
    return [item.id, item.key, item.hash, item.source, item.tags, item.maybe, item.complete, item.film]


class WriteSplits(beam.PTransform):
    """Staged candidates -> TFRecords of each split, with the tags and the splits that an index gives them."""

    def __init__(self, staging: str, output: str):
        super().__init__()
        self.staging = staging
        self.output = output

    def expand(self, root: beam.pvalue.PBegin) -> None:
        chosen = (
            root
            | "Staged" >> beam.Create(storage.list_folder(self.staging, "candidates*"), reshuffle=False)
            | "ReadStaged" >> beam.io.ReadAllFromTFRecord()
            | "Choose" >> beam.ParDo(_Choose(storage.join(self.output, INDEX))).with_outputs(*SPLITS)
        )
        for split in SPLITS:
            chosen[split] | f"Write_{split}" >> beam.io.WriteToTFRecord(
                storage.join(self.output, split), file_name_suffix=".tfrecord"
            )


class _Choose(beam.DoFn):
    def __init__(self, index: str):
        self.index = index

    def setup(self) -> None:
        self.entries = {entry.id: entry for entry in read_index(self.index)}

    def process(self, data: bytes) -> Iterator[beam.pvalue.TaggedOutput]:
        item = from_example(data)
        entry = self.entries.get(item.id)
        if entry:
            yield beam.pvalue.TaggedOutput(entry.split, to_example(_labelled(item, entry)))


def _labelled(item: Candidate, entry: Entry) -> Candidate:
    return replace(item, tags=entry.tags, maybe=entry.maybe, complete=entry.complete, film=entry.film)


def read_summaries(staging: str) -> tuple[list[Candidate], list[tuple[str, str]]]:
    """What `ExtractCandidates` wrote: the candidates without their pictures, and (id, reason) of what was dropped."""
    items = [
        Candidate(id, key, hash, source, tuple(tags), b"", tuple(maybe), complete, film)
        for id, key, hash, source, tags, maybe, complete, film in _rows(staging, "summaries")
    ]
    return items, sorted((id, reason) for id, reason in _rows(staging, "dropped"))


def _rows(folder: str, name: str) -> Iterator[list]:
    for path in storage.list_folder(folder, f"{name}*"):
        with storage.open_stream(path) as stream:
            yield from (json.loads(line) for line in stream)


def build_dataset(
    inputs: Sequence[str],
    output: str,
    options: PipelineOptions,
    fps: float = 1,
    threshold: float = 0.5,
    min_entropy: float = 0.2,
    every: bool = False,
    split_by: str = "source",
    source_pattern: str = "(.+?)__",
    keep: dict[str, str] | None = None,
    max_distance: int = MAX_DISTANCE,
    watch: Callable[[int], AbstractContextManager] = lambda number: nullcontext(),
) -> dict:
    """Make a data set from folders of labelled pictures and tables of frames and spans; returns its manifest.

    Two passes: the first reads every input and notes a perceptual hash of each picture, the second writes the pictures
    that were chosen. Between them the driver chooses, by the hashes, sources and tags alone. `watch` is entered, with
    the number of inputs, while the first goes on.
    """
    found, passed_over = labelled_inputs(inputs, source_pattern)
    staging = storage.join(output, f".staging-{uuid.uuid4().hex[:12]}")
    try:
        storage.make_folder(staging)
    except OSError as error:
        raise DatasetError(f"{output}: cannot be made a folder for a data set: {error.strerror}") from error
    try:
        with watch(len(found)), storage.named_for_beam(output) as named, beam.Pipeline(options=options) as pipeline:
            (
                pipeline
                | "Inputs" >> beam.Create(found, reshuffle=False)
                | "Extract" >> ExtractCandidates(named(staging), fps, threshold, min_entropy, every)
            )
        items, dropped = read_summaries(staging)
        dropped = sorted({*dropped, *passed_over})
        if not items:
            raise DatasetError(f"{output}: not one usable picture in {', '.join(inputs)}{_first(dropped)}")
        kept, same, duplicates = merge(items, max_distance)
        entries = _entries(kept, split_by_source(kept, keep) if split_by == "source" else {})
        _remove_stale(output)
        write_index(storage.join(output, INDEX), entries)
        with storage.named_for_beam(output) as named, beam.Pipeline(options=options) as pipeline:
            pipeline | "WriteSplits" >> WriteSplits(named(staging), named(output))
    finally:
        storage.remove_folder(staging)
    made_with = {
        "inputs": list(inputs),
        "fps": fps,
        "shot_threshold": threshold,
        "min_entropy": min_entropy,
        "frames": "every sampled frame" if every else "key frames",
        "split_by": split_by,
        "source_pattern": source_pattern,
        "near_duplicate_bits": max_distance,
    }
    manifest = make_manifest(entries, same, duplicates, dropped, made_with)
    storage.write_text(storage.join(output, "MANIFEST.md"), manifest_text(manifest))
    storage.write_text(storage.join(output, MANIFEST), json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    return manifest


def labelled_inputs(
    inputs: Sequence[str], source_pattern: str
) -> tuple[list[LabelledPicture | LabelledVideo], list[tuple[str, str]]]:
    """What folders and tables label: each picture once, each video with the labels of all tables.

    Returns:
        (the pictures and videos; (address, reason) of pictures passed over).

    Raises:
        LabelError: a folder or a table cannot be used.
    """
    pictures: dict[LabelledPicture, None] = {}
    videos: dict[tuple[str, str], LabelledVideo] = {}
    passed_over: list[tuple[str, str]] = []
    for uri in inputs:
        labelled, ignored = _labelled_by(uri, source_pattern)
        passed_over += ignored
        for item in labelled:
            if isinstance(item, LabelledPicture):
                pictures[item] = None
            else:
                videos[item.uri, item.source] = _united(videos.get((item.uri, item.source)), item)
    return [*pictures, *videos.values()], passed_over


def _labelled_by(
    uri: str, source_pattern: str
) -> tuple[Sequence[LabelledPicture | LabelledVideo], list[tuple[str, str]]]:
    if uri.lower().endswith((".csv", ".jsonl", ".json")):
        return read_labels(uri), []
    pictures, ignored = find_pictures(uri, source_pattern)
    return completed(uri, pictures), ignored


def _united(known: LabelledVideo | None, other: LabelledVideo) -> LabelledVideo:
    """A video with the labels of two tables."""
    if known is None:
        return replace(other, spans=tuple(sorted({*other.spans})), frames=tuple(sorted({*other.frames})))
    spans, frames = {*known.spans, *other.spans}, {*known.frames, *other.frames}
    return replace(other, spans=tuple(sorted(spans)), frames=tuple(sorted(frames)))


def _entries(kept: Iterable[Candidate], by_source: Mapping[str, str]) -> list[Entry]:
    """Candidates with their splits: their source's, or one that depends on the picture alone."""
    return [
        Entry(
            item.id,
            item.key,
            item.source,
            by_source.get(item.source) or split_at_random(item.key),
            item.tags,
            item.maybe,
            item.complete,
            item.film,
        )
        for item in kept
    ]


def _remove_stale(output: str) -> None:
    """Remove what an earlier data set left in a folder."""
    names = (MANIFEST, "MANIFEST.md", *(f"{split}-*.tfrecord" for split in SPLITS))
    stale = [path for name in names for path in storage.list_folder(output, name)]
    if stale:
        storage.remove(stale)


def _first(dropped: Sequence[tuple[str, str]]) -> str:
    return f"; the first, {dropped[0][0]}: {dropped[0][1]}" if dropped else ""
