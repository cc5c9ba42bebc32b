"""The manifest: what has been done with each video, with what, and how it ended; and what is therefore due.

One JSON object a line, in order of id, beside the tables of the latest view. It is read by the workers alone: those who
start a run never hold it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace

import apache_beam as beam
from apache_beam.metrics import Metrics

from movie_tags import storage
from movie_tags.pipeline.read_inputs import DistinctVideos
from movie_tags.records import FAILED, GONE, QUARANTINED, TAGGED, Entry, Failure, Video
from movie_tags.results.schema import from_row

CATALOGUE = "catalogue"
"""The stage of failures that are not of a video but of how it is named: each run finds them anew."""

FORCED, NEW, CHANGED, METHOD, AGAIN, RETRIED = "forced", "new", "changed", "other method or model", "again", "retried"
REASONS = (NEW, CHANGED, METHOD, AGAIN, RETRIED, FORCED)


def entry_of(line: bytes | str) -> Entry:
    """A line of the manifest as a record."""
    return from_row(Entry, json.loads(line))


def id_of(line: bytes) -> str:
    """The id of a row of any table: they begin with it."""
    if line.startswith(b'{"id": "'):
        end = line.find(b'"', 8)
        if b"\\" not in line[8:end]:
            return line[8:end].decode()
    return json.loads(line)["id"]


@dataclass(frozen=True)
class Rules:
    """What is due.

    Attributes:
        method_key: of the method and model that results are wanted of.
        max_attempts: a video that has failed so often is quarantined.
        retry: "failed" takes every failure again that is not quarantined, "all" those, too; None only what may pass.
        force: everything is due.
    """

    method_key: str
    max_attempts: int = 3
    retry: str | None = None
    force: bool = False


def why_due(video: Video, done: Entry | None, rules: Rules) -> str | None:
    """Why a video is due, one of REASONS; None if it is not."""
    if rules.force:
        return FORCED
    if done is None or done.stage == CATALOGUE or done.status == GONE:
        return NEW
    if done.method_key != rules.method_key:
        return METHOD
    unknown = not video.version and done.status != TAGGED  # still out of reach: a failure like the last one
    moved = not storage.same_file(video.uri, done.uri)
    if not unknown and (video.version != done.source or moved or not video.version):
        return CHANGED
    if done.status == TAGGED:
        return None
    if rules.retry == "all" or (rules.retry == "failed" and done.status == FAILED):
        return RETRIED
    return AGAIN if done.retryable and done.attempts < rules.max_attempts else None


def after(before: Entry | None, new: Entry, max_attempts: int) -> Entry:
    """A video's entry after a run, with its attempts counted on; too many quarantine it."""
    if new.status == TAGGED:
        return replace(new, attempts=0)
    attempts = max(1, new.attempts)
    same = before is not None and before.status in (FAILED, QUARANTINED)
    if same and (before.source, before.method_key) == (new.source, new.method_key) and before.run_id != new.run_id:
        attempts += before.attempts
    spent = new.retryable and attempts >= max_attempts
    return replace(new, attempts=attempts, status=QUARANTINED if spent else new.status)


@dataclass(frozen=True)
class Due:
    """A video that is due.

    Attributes:
        video: with the version of its file.
        size: of the file in bytes; 0 if unknown.
        why: one of REASONS.
        warnings: of the catalogue.
    """

    video: Video
    size: int
    why: str
    warnings: tuple[str, ...] = ()

    def line(self) -> bytes:
        """Itself as a line, led by the hash of its id: in order of such lines, films of all kinds are mixed."""
        key = hashlib.sha256(self.video.id.encode()).hexdigest()[:16]
        row = {"key": key, **asdict(self.video), "size": self.size, "why": self.why, "warnings": list(self.warnings)}
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes | str) -> Due:
        """Itself again."""
        row = json.loads(line)
        video = Video(row["id"], row["uri"], row["title"], row["version"], row["content"])
        return cls(video, row["size"], row["why"], tuple(row["warnings"]))


class FindDue(beam.PTransform):
    """`DistinctVideos`' outputs -> the same of the videos that are due, each with its version, and DUE.

    DUE has a `Due` for each of them.
    """

    DUE = "due"

    def __init__(self, manifest: str | None, rules: Rules, limit: int | None = None):
        """Args: the manifest's address, None where nothing has been done; the rules; how many at most."""
        super().__init__()
        self.manifest = manifest
        self.rules = rules
        self.limit = limit

    def expand(self, named: dict[str, beam.PCollection]) -> dict[str, beam.PCollection]:
        videos = named[DistinctVideos.VIDEOS]
        done = (
            videos.pipeline | "Nothing" >> beam.Create([], reshuffle=False)
            if self.manifest is None
            else videos.pipeline | "Manifest" >> beam.io.ReadFromText(self.manifest)
        )
        due = (
            {
                "named": videos | "NamedById" >> beam.Map(lambda video: (video.id, video)),
                "warnings": named[DistinctVideos.WARNED] | "WarnedById" >> beam.MapTuple(lambda v, text: (v.id, text)),
                "done": done | "DoneById" >> beam.Map(lambda line: (id_of(line.encode()), line)),
            }
            | "Join" >> beam.CoGroupByKey()
            | "Named" >> beam.Filter(lambda element: bool(element[1]["named"]))
            | "Batch" >> beam.BatchElements(min_batch_size=64, max_batch_size=512)
            | "Decide" >> beam.ParDo(_Decide(self.rules))
        )
        if self.limit is not None:
            due = (
                due
                | "First" >> beam.combiners.Top.Smallest(self.limit, key=lambda item: item.line())
                | "Each" >> beam.FlatMap(lambda items: items)
            )
        return _of_due(due) | {name: named[name] for name in (DistinctVideos.FAILED, DistinctVideos.MERGED)}


class ReadDue(beam.PTransform):
    """The address of a list of `Due` lines -> what `FindDue` gives of them, spread over the workers."""

    def __init__(self, uri: str):
        super().__init__()
        self.uri = uri

    def expand(self, root: beam.pvalue.PBegin) -> dict[str, beam.PCollection]:
        due = (
            root
            | "List" >> beam.Create([self.uri], reshuffle=False)
            | "Read" >> beam.FlatMap(read_due)
            | "Spread" >> beam.Reshuffle()
        )
        nothing = root.pipeline | "Nothing" >> beam.Create([], reshuffle=False)
        return _of_due(due) | {DistinctVideos.FAILED: nothing, DistinctVideos.MERGED: nothing}


def _of_due(due: beam.PCollection) -> dict[str, beam.PCollection]:
    """What is due itself, and its videos and warnings under the names of `DistinctVideos`' outputs."""
    return {
        FindDue.DUE: due,
        DistinctVideos.VIDEOS: due | "Videos" >> beam.Map(lambda item: item.video),
        DistinctVideos.WARNED: due | "Warnings" >> beam.FlatMap(lambda i: [(i.video, text) for text in i.warnings]),
    }


def read_due(uri: str) -> Iterator[Due]:
    """The lines of a list.

    Raises:
        OSError: it cannot be read.
    """
    with storage.open_stream(uri) as lines:
        yield from map(Due.of, lines)


class _Decide(beam.DoFn):
    """Batches of (id, what is known) -> a Due for each video that is due."""

    THREADS = 32
    """Requests to a remote storage at once: each is nothing but waiting."""

    def __init__(self, rules: Rules):
        self.rules = rules
        self.due = Metrics.counter(CATALOGUE, "videos_due")
        self.not_due = Metrics.counter(CATALOGUE, "videos_not_due")

    def process(self, batch: list[tuple[str, dict[str, Iterable]]]) -> Iterator[Due]:
        known = [{name: list(values) for name, values in found.items()} for _, found in batch]
        addresses = [found["named"][0].uri for found in known]
        if any(map(storage.is_remote, addresses)):
            with ThreadPoolExecutor(self.THREADS) as pool:
                files = list(pool.map(_about, addresses))
        else:
            files = [_about(uri) for uri in addresses]
        for found, (size, version) in zip(known, files, strict=True):
            video = replace(found["named"][0], version=version)
            done = entry_of(found["done"][0]) if found["done"] else None
            why = why_due(video, done, self.rules)
            if why is None:
                self.not_due.inc()
                continue
            self.due.inc()
            video = replace(video, content=_content_of(video.uri))
            yield Due(video, size, why, tuple(sorted(found["warnings"])))


def _about(uri: str) -> tuple[int, str]:
    """Size and version of a file; 0 and "" where they cannot be told, which the decoder will find out, too."""
    try:
        if not storage.is_remote(uri) and not os.path.isfile(uri):
            return 0, ""
        found = storage.about(uri)
    except OSError:
        return 0, ""
    return found.size, found.version


def _content_of(uri: str) -> str:
    """What tells a file wherever it lies; "" where it cannot be read, which the decoder will find out, too."""
    try:
        return storage.content_key(uri)
    except OSError:
        return ""


def failed_entry(video: Video, failure: Failure, method_key: str, run_id: str, at: str) -> Entry:
    """The entry of a video that failed."""
    return Entry(video.id, video.uri, video.version, method_key, FAILED, 1, *_text(failure), run_id=run_id, at=at)


def _text(failure: Failure) -> tuple[str, str, bool]:
    return failure.stage, failure.reason, failure.retryable
