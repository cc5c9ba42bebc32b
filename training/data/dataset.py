"""A data set: labelled pictures without near-duplicates, split by source, as TFRecords with an index and a manifest.

manifest.json    what is in it, what was dropped and why, how it was made; written last
MANIFEST.md      the same for people
index.jsonl      one picture a line: id, key, source, split, tags, maybe, complete, film
SPLIT-*.tfrecord tf.train.Examples of image (encoded bytes), id, key, hash, source, tags, maybe, complete, film
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.training.data.complete_labels import agreed, completed
from movie_tags.training.data.labelled import (
    Candidate,
    LabelledPicture,
    LabelledVideo,
    ReadLabelled,
    find_pictures,
    from_example,
    read_labels,
    to_example,
)
from movie_tags.training.data.vocabulary import TAGS

SPLITS = ("train", "validation", "test")
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
MAX_DISTANCE = 4
"""Pictures whose 64-bit perceptual hashes differ in at most so many bits are near-duplicates."""

MANIFEST, INDEX = "manifest.json", "index.jsonl"


class DatasetError(UserError):
    """A folder that is no usable data set; the message names it."""


@dataclass(frozen=True)
class Entry:
    """A picture of a data set, without its pixels.

    Attributes:
        id, key, source: as of `Candidate`.
        split: one of SPLITS.
        tags: what is in it.
        maybe: tags of which nobody knows whether they apply.
        complete: whether all other tags are known not to apply, as of labelled frames and pictures of nothing.
        film: whether it is a frame of a film.
    """

    id: str
    key: str
    source: str
    split: str
    tags: tuple[str, ...]
    maybe: tuple[str, ...] = ()
    complete: bool = False
    film: bool = False


@dataclass(frozen=True)
class Dataset:
    """A data set as its index and manifest describe it."""

    uri: str
    entries: tuple[Entry, ...]
    manifest: dict

    def of(self, split: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.split == split]


def near_duplicates(hashes: Sequence[int], max_distance: int = MAX_DISTANCE) -> list[int]:
    """For each 64-bit hash the first hash it is near to, directly or through others; its own place where there is none.

    Hashes at most d bits apart agree wholly in at least one of d + 1 bands of bits, so only those are compared.
    """
    values = np.asarray(hashes, np.uint64)
    first = list(range(len(values)))

    def root(i: int) -> int:
        while first[i] != i:
            first[i] = first[first[i]]
            i = first[i]
        return i

    edges = np.linspace(0, 64, max_distance + 2).astype(int)
    for low, high in pairwise(edges):
        bands = (values >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(bands, kind="stable")
        starts = np.flatnonzero(np.diff(bands[order])) + 1
        for group in np.split(order, starts):
            for at in range(len(group) - 1):
                distance = np.bitwise_count(values[group[at + 1 :]] ^ values[group[at]])
                for other in group[at + 1 :][distance <= max_distance]:
                    a, b = root(int(group[at])), root(int(other))
                    first[max(a, b)] = min(a, b)
    return [root(i) for i in range(len(values))]


def merge(
    candidates: Iterable[Candidate], max_distance: int = MAX_DISTANCE
) -> tuple[list[Candidate], dict[str, str], dict[str, str]]:
    """Keep one of each group of near-duplicates, with the tags of all of them.

    Where all are labelled completely, a tag applies that all say, and what only some say may. Otherwise what one of
    them has for certain is no longer a maybe, and one that is labelled completely makes the group so, unless others
    have tags that it does not know of.

    Returns:
        (the candidates kept, in order of id; then {id of one left out: id of the one kept in its place}: of those whose
        bytes are the same, as when a picture stands under several tags, and of those that only look the same)
    """
    items = sorted(candidates, key=lambda item: item.id)
    first = near_duplicates([item.hash for item in items], max_distance)
    groups: dict[int, list[Candidate]] = defaultdict(list)
    for item, place in zip(items, first, strict=True):
        groups[place].append(item)
    kept = [_joined(items[place], group) for place, group in sorted(groups.items())]
    seen: dict[str, str] = {}
    same, near = {}, {}
    for item, place in zip(items, first, strict=True):
        if item.key in seen:
            same[item.id] = items[place].id
        elif item.id != items[place].id:
            near[item.id] = items[place].id
        seen[item.key] = item.id
    return kept, same, near


def _joined(kept: Candidate, group: Sequence[Candidate]) -> Candidate:
    film = any(item.film for item in group)
    complete = [item for item in group if item.complete]
    if len(complete) == len(group):
        plain, unsure = agreed([(frozenset(item.tags), frozenset(item.maybe)) for item in group])
        return replace(kept, tags=tuple(sorted(plain)), maybe=tuple(sorted(unsure)), film=film)
    tags = {tag for item in group for tag in item.tags}
    maybe = {tag for item in group for tag in item.maybe} - tags
    known = all(tags <= {*item.tags, *item.maybe} for item in complete)
    whole = bool(complete) and known
    return replace(kept, tags=tuple(sorted(tags)), maybe=tuple(sorted(maybe)), complete=whole, film=film)


def split_by_source(items: Sequence[Candidate], previous: Mapping[str, str] | None = None) -> dict[str, str]:
    """Assign whole sources to splits, as near to 80/10/10 as they allow: {source: split}.

    Sources come in an order that depends on their names alone. One goes to the smaller of the held-out splits if it
    fits there and leaves at least half of each of its tags' pictures to learn from; otherwise to training.

    Args:
        items: the pictures.
        previous: splits that are settled already, from an earlier data set.
    """
    counts: dict[str, Counter] = defaultdict(Counter)
    sizes: Counter = Counter()
    for item in items:
        sizes[item.source] += 1
        counts[item.source].update(item.tags)
    left = sum(counts.values(), Counter())
    half = {tag: n / 2 for tag, n in left.items()}
    chosen = {source: split for source, split in (previous or {}).items() if source in sizes}
    room = {split: SHARES[split] * len(items) for split in ("test", "validation")}
    for source, split in chosen.items():
        if split != "train":
            room[split] -= sizes[source]
            left -= counts[source]
    for source in sorted(set(sizes) - set(chosen), key=lambda name: hashlib.sha256(name.encode()).digest()):
        split = max(room, key=room.get)
        fits = sizes[source] <= room[split] and all(left[tag] - n >= half[tag] for tag, n in counts[source].items())
        chosen[source] = split if fits else "train"
        if fits:
            room[split] -= sizes[source]
            left -= counts[source]
    return chosen


def split_at_random(key: str) -> str:
    """The split of a picture by its key alone, so that it never changes when others join it."""
    draw = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 16**8
    return "train" if draw < SHARES["train"] else "validation" if draw < 1 - SHARES["test"] else "test"


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


def make_manifest(
    entries: Sequence[Entry],
    same: Mapping[str, str],
    duplicates: Mapping[str, str],
    dropped: Sequence[tuple[str, str]],
    options: dict,
) -> dict:
    """Counts by tag, source and split; what was dropped and why; how the data set was made."""
    by_tag: dict[str, Counter] = defaultdict(Counter)
    by_source: dict[str, Counter] = defaultdict(Counter)
    sources_of: dict[str, set] = defaultdict(set)
    for entry in entries:
        by_source[entry.source][entry.split] += 1
        for tag in entry.tags:
            by_tag[tag][entry.split] += 1
            sources_of[tag].add(entry.source)
    return {
        "pictures": {split: sum(entry.split == split for entry in entries) for split in SPLITS},
        "several_tags": sum(len(entry.tags) > 1 for entry in entries),
        "complete": sum(entry.complete for entry in entries),
        "nothing": sum(entry.complete and not entry.tags for entry in entries),
        "tags": {
            tag: {**{split: by_tag[tag][split] for split in SPLITS}, "sources": len(sources_of[tag])}
            for tag in order_tags(by_tag)
        },
        "sources": {source: dict(counts) for source, counts in sorted(by_source.items())},
        "dropped": {
            "same_picture": [{"id": id, "kept": kept} for id, kept in sorted(same.items())],
            "near_duplicates": [{"id": id, "kept": kept} for id, kept in sorted(duplicates.items())],
            "unusable": [{"id": id, "reason": reason} for id, reason in dropped],
        },
        "made_with": options,
    }


def order_tags(tags: Iterable[str], first: Sequence[str] = ()) -> list[str]:
    """Tags in a lasting order: those of an earlier vocabulary, then the paper's as in Table 1, then others by name."""
    tags = set(tags)
    known = [*first, *(tag for tag in TAGS if tag not in first)]
    return [tag for tag in known if tag in tags] + sorted(tags.difference(known))


def manifest_text(manifest: dict) -> str:
    """The manifest for people, in Markdown."""
    dropped = manifest["dropped"]
    lines = [
        "# Data set",
        "",
        f"{sum(manifest['pictures'].values())} pictures: "
        + ", ".join(f"{n} {split}" for split, n in manifest["pictures"].items())
        + f"; {manifest['several_tags']} of them with several tags, {manifest['complete']} labelled completely, "
        f"{manifest['nothing']} without any tag.",
        f"{len(dropped['same_picture'])} files were a picture that stands elsewhere, too; their tags were joined. "
        f"Dropped: {len(dropped['near_duplicates'])} near-duplicates, {len(dropped['unusable'])} unusable.",
        "",
        "| tag | train | validation | test | sources |",
        "|---|---|---|---|---|",
        *(
            f"| {tag} | {row['train']} | {row['validation']} | {row['test']} | {row['sources']} |"
            for tag, row in manifest["tags"].items()
        ),
        "",
        "| source | train | validation | test |",
        "|---|---|---|---|",
        *(
            f"| {source} | " + " | ".join(str(row.get(split, 0)) for split in SPLITS) + " |"
            for source, row in manifest["sources"].items()
        ),
        "",
        *(["Unusable:", ""] if dropped["unusable"] else []),
        *(f"- {item['id']}: {item['reason']}" for item in dropped["unusable"]),
        *(["", "Near-duplicates:", ""] if dropped["near_duplicates"] else []),
        *(f"- {item['id']}: like {item['kept']}" for item in dropped["near_duplicates"]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def write_index(uri: str, entries: Iterable[Entry]) -> None:
    storage.write_text(uri, "".join(json.dumps(vars(entry), ensure_ascii=False) + "\n" for entry in entries))


def read_index(uri: str) -> list[Entry]:
    with storage.open_stream(uri) as stream:
        rows = [json.loads(line) for line in stream]
    return [Entry(**{**row, "tags": tuple(row["tags"]), "maybe": tuple(row.get("maybe", ()))}) for row in rows]


def read_dataset(uri: str) -> Dataset:
    """Read a data set's index and manifest.

    Raises:
        DatasetError: there is none, or it was left unfinished.
    """
    try:
        with storage.plain_errors():
            with storage.open_stream(storage.join(uri, MANIFEST)) as stream:
                text = stream.read()
            entries = read_index(storage.join(uri, INDEX))
        manifest = json.loads(text)
    except (OSError, ValueError, TypeError) as error:
        raise DatasetError(
            f"{uri}: no finished data set ({MANIFEST} or {INDEX} cannot be read: {error}); make it with "
            "'movie-tags dataset'"
        ) from error
    return Dataset(uri, tuple(entries), manifest)


def is_dataset(uri: str) -> bool:
    """Whether a folder holds a data set, finished or not, rather than folders of pictures."""
    return storage.exists(storage.join(uri, MANIFEST)) or storage.exists(storage.join(uri, INDEX))


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
    pictures: dict[LabelledPicture, None] = {}  # each once, whatever names it
    videos: dict[tuple[str, str], LabelledVideo] = {}
    passed_over: list[tuple[str, str]] = []
    for uri in inputs:
        if uri.lower().endswith((".csv", ".jsonl", ".json")):
            labelled = read_labels(uri)
        else:
            pictures_here, ignored = find_pictures(uri, source_pattern)
            labelled = [*completed(uri, pictures_here)]
            passed_over += ignored
        for item in labelled:
            if isinstance(item, LabelledPicture):
                pictures[item] = None
            else:
                known = videos.get((item.uri, item.source), LabelledVideo(item.uri))
                spans, frames = {*known.spans, *item.spans}, {*known.frames, *item.frames}
                videos[item.uri, item.source] = replace(item, spans=tuple(sorted(spans)), frames=tuple(sorted(frames)))
    found = [*pictures, *videos.values()]
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
        by_source = split_by_source(kept, keep) if split_by == "source" else {}
        entries = [
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
        stale = [
            path
            for name in (MANIFEST, "MANIFEST.md", *(f"{split}-*.tfrecord" for split in SPLITS))
            for path in storage.list_folder(output, name)
        ]
        if stale:
            storage.remove(stale)
        write_index(storage.join(output, INDEX), entries)
        with storage.named_for_beam(output) as named, beam.Pipeline(options=options) as pipeline:
            pipeline | "WriteSplits" >> WriteSplits(named(staging), named(output))
    finally:
        storage.remove_folder(staging)
    manifest = make_manifest(
        entries,
        same,
        duplicates,
        dropped,
        {
            "inputs": list(inputs),
            "fps": fps,
            "shot_threshold": threshold,
            "min_entropy": min_entropy,
            "frames": "every sampled frame" if every else "key frames",
            "split_by": split_by,
            "source_pattern": source_pattern,
            "near_duplicate_bits": max_distance,
        },
    )
    storage.write_text(storage.join(output, "MANIFEST.md"), manifest_text(manifest))
    storage.write_text(storage.join(output, MANIFEST), json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    return manifest


def _first(dropped: Sequence[tuple[str, str]]) -> str:
    return f"; the first, {dropped[0][0]}: {dropped[0][1]}" if dropped else ""
