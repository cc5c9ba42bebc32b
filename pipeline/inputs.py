"""Inputs: files, folders, globs and catalogues -> videos, expanded on the workers so that any number is no problem."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import apache_beam as beam
from apache_beam.metrics import Metrics

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.transforms.video.reader import Failure, Video

VIDEO_SUFFIXES = frozenset(
    [
        ".3gp",
        ".asf",
        ".avi",
        ".divx",
        ".dv",
        ".f4v",
        ".flv",
        ".ivf",
        ".m2ts",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".ogg",
        ".ogv",
        ".rm",
        ".rmvb",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
    ]
)
CATALOGUE_SUFFIXES = (".csv", ".jsonl")
NO_TEXT = "its name is not UTF-8; rename it"


class InputError(UserError):
    """An input that names nothing, or a catalogue without a usable form."""


@dataclass(frozen=True)
class Input:
    """A video that an input stands for, or where one should be, why there is none."""

    video: Video
    failure: Failure | None = None


def is_catalogue(uri: str) -> bool:
    return uri.lower().endswith(CATALOGUE_SUFFIXES)


def expand(uri: str) -> Iterator[Input]:
    """What an input stands for: a catalogue's rows, a folder's videos, a glob's matches, or the file itself.

    Raises:
        InputError: it names nothing at all, or a catalogue cannot be read.
    """
    if is_catalogue(uri):
        yield from read_catalogue(uri)
        return
    found = False
    try:
        for item in _matches(uri):
            found = True
            yield item
    except OSError as error:
        raise InputError(f"{uri}: cannot be listed: {storage.plainly(error)}") from error
    if not found:
        raise InputError(f"{uri}: no such file, and no video below it or matching it")


def check_input(uri: str) -> None:
    """Refuse an input that names nothing before any work is done.

    Raises:
        InputError: there is no such file, nothing to tag in it, or its name cannot be written down.
    """
    if not _is_text(uri):
        raise InputError(f"{_escaped(uri)}: {NO_TEXT}")
    if next(iter(expand(uri)), None) is None:
        what = "the catalogue has no rows" if is_catalogue(uri) else "nothing to tag"
        raise InputError(f"{uri}: {what}")


def _matches(uri: str) -> Iterator[Input]:
    if storage.is_remote(uri):
        named = [] if uri.endswith("/") else storage.glob(uri)
        paths = named or [path for path in storage.list_files(uri) if _is_video(storage.base_name(path))]
        yield from map(_of_path, paths)
    elif os.path.isdir(uri):
        yield from _walk(uri, set())
    elif os.path.exists(uri):
        yield _of_path(uri)
    else:
        yield from map(_of_path, storage.glob(uri))


def _is_text(name: str) -> bool:
    """Whether a name can be written to tables: bytes that are no UTF-8 come as half characters, which cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()


def _named(video: Video, failure: Failure | None = None) -> Input:
    """A video as an input stands for it, or that its name is no text."""
    names = video.id, video.uri, video.title
    if all(map(_is_text, names)):
        return Input(video, failure)
    return Input(Video(*map(_escaped, names)), failure or Failure("catalogue", NO_TEXT))


def _of_path(path: str) -> Input:
    return _named(Video(path, path, storage.base_name(path)))


def _unseen(path: str, error: OSError) -> Input:
    reason = f"it cannot be looked into: {storage.plainly(error)}; let it be read, or leave it out"
    return _named(Video(path, path, storage.base_name(path)), Failure("catalogue", reason, again=True))


def _walk(folder: str, seen: set[tuple[int, int]]) -> Iterator[Input]:
    """The videos below a local folder, links followed; what may not be looked into is a failure."""
    try:
        about = os.stat(folder)
        if (about.st_dev, about.st_ino) in seen:  # a link that leads back, or the same folder by another name
            return
        seen.add((about.st_dev, about.st_ino))
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
    except OSError as error:
        yield _unseen(folder, error)
        return
    folders = []
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            is_folder = entry.is_dir()
        except OSError as error:  # a link that leads to itself
            yield _unseen(entry.path, error)
            continue
        if is_folder:
            folders.append(entry.path)
        elif _is_video(entry.name):
            yield _of_path(entry.path)
    for path in folders:
        yield from _walk(path, seen)


def _is_video(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def read_catalogue(uri: str) -> Iterator[Input]:
    """The rows of a .csv (with a header) or .jsonl catalogue: `uri`, and optionally `id` and `title`.

    A row without a usable `uri` becomes a failure that names the catalogue and the row.

    Raises:
        InputError: the catalogue cannot be read or has no column `uri`.
    """
    try:
        with storage.open_seekable(uri) as stream:
            lines = io.TextIOWrapper(stream, "utf-8-sig", newline="")
            if uri.lower().endswith(".csv"):
                reader = csv.DictReader(lines)
                if "uri" not in (reader.fieldnames or ()):
                    raise InputError(f"{uri}: has no column 'uri'; its first line must name the columns")
                for row in reader:
                    yield _of_row(row, f"{uri}, line {reader.line_num}")
                return
            for number, line in enumerate(lines, 1):
                if line.strip():
                    where = f"{uri}, line {number}"
                    try:
                        row = json.loads(line)
                    except ValueError as error:
                        yield _bad_row(where, f"not a JSON object ({error})")
                    else:
                        yield _of_row(row, where)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{uri}: the catalogue cannot be read: {error}") from error


def _bad_row(where: str, reason: str) -> Input:
    return Input(Video(where, where), Failure("catalogue", reason))


def _of_row(row: object, where: str) -> Input:
    if not isinstance(row, dict) or not isinstance(row.get("uri"), str) or not row["uri"].strip():
        return _bad_row(where, "the row has no 'uri'")
    uri = row["uri"].strip()
    named, title = row.get("id"), row.get("title")
    id = uri if named is None or str(named).strip() == "" else str(named).strip()
    return _named(Video(id, uri, str(title) if title else storage.base_name(uri)))


class ReadInputs(beam.PTransform):
    """Inputs (strings) -> VIDEOS, the Videos they stand for, and FAILED, (Video, Failure)."""

    VIDEOS, FAILED = "videos", "failed"

    def __init__(self, inputs: Iterable[str]):
        super().__init__()
        self.inputs = list(inputs)

    def expand(self, root: beam.pvalue.PBegin) -> beam.pvalue.DoOutputsTuple:
        return (
            root
            | "Inputs" >> beam.Create(self.inputs, reshuffle=False)
            | "Expand" >> beam.ParDo(_Expand()).with_outputs(self.FAILED, main=self.VIDEOS)
        )


class _Expand(beam.DoFn):
    def __init__(self):
        self.read = Metrics.counter("catalogue", "videos_read")

    def process(self, uri: str) -> Iterator:
        try:
            for item in expand(uri):
                if item.failure is None:
                    self.read.inc()
                    yield item.video
                else:
                    yield beam.pvalue.TaggedOutput(ReadInputs.FAILED, (item.video, item.failure))
        except InputError as error:
            failure = Failure("catalogue", str(error), again=True)
            yield beam.pvalue.TaggedOutput(ReadInputs.FAILED, (Video(uri, uri), failure))


class DistinctVideos(beam.PTransform):
    """Videos (or their addresses), in any number and order -> each video once, spread over the workers.

    VIDEOS has each Video; FAILED (Video, Failure) for those whose id is given to several; WARNED (Video, text) where
    other titles or other ids were given to one; MERGED (Video, 1) for each element that named a video once more.
    """

    VIDEOS, FAILED, WARNED, MERGED = "videos", "failed", "warned", "merged"

    def expand(self, named: beam.PCollection) -> dict[str, beam.PCollection]:
        by_id = (
            named
            | "AsVideo" >> beam.Map(lambda video: video if isinstance(video, Video) else Video(video, video))
            | "ById" >> beam.Map(lambda video: (video.id, video))
            | "GroupIds" >> beam.GroupByKey()
            | "OneAnId" >> beam.ParDo(_OneAnId()).with_outputs(self.FAILED, self.WARNED, self.MERGED, main=self.VIDEOS)
        )
        shared = (
            by_id[self.VIDEOS]
            | "ByAddress" >> beam.Map(lambda video: (address_of(video.uri), video))
            | "GroupAddresses" >> beam.GroupByKey()
            | "SameFile" >> beam.FlatMapTuple(_same_file)
        )
        warned = [by_id[self.WARNED], shared] | "Warned" >> beam.Flatten()
        return {name: by_id[name] for name in (self.VIDEOS, self.FAILED, self.MERGED)} | {self.WARNED: warned}


def address_of(uri: str) -> str:
    """One spelling for all that lead to the same file, as far as this machine can tell."""
    return uri if storage.is_remote(uri) else os.path.realpath(uri)


class _OneAnId(beam.DoFn):
    """The videos under one id -> the one video, or a failure for each where they are different videos."""

    def process(self, element: tuple[str, Iterable[Video]]) -> Iterator:
        video_id, videos = element[0], sorted(element[1])
        by_uri: dict[str, list[Video]] = {}
        for video in videos:
            by_uri.setdefault(video.uri, []).append(video)
        for same in by_uri.values():
            for _ in same[1:]:
                yield beam.pvalue.TaggedOutput(DistinctVideos.MERGED, (same[0], 1))
        if len(by_uri) > 1:
            # Their results could not be told apart.
            reason = f"its id {video_id!r} is given to {len(by_uri)} videos; give each an id of its own"
            for same in by_uri.values():
                yield beam.pvalue.TaggedOutput(DistinctVideos.FAILED, (same[0], Failure("catalogue", reason)))
            return
        titles = sorted({video.title for video in videos})
        chosen = replace(videos[0], title=titles[0] or titles[-1])
        if len(titles) > 1:
            text = f"it was named with {len(titles)} titles: {', '.join(repr(title) for title in titles)}"
            yield beam.pvalue.TaggedOutput(DistinctVideos.WARNED, (chosen, text))
        yield chosen


def _same_file(address: str, videos: Iterable[Video]) -> Iterator[tuple[Video, str]]:
    """A warning for each of several videos that are one file: each is decoded and tagged by itself."""
    together = sorted(videos)
    for video in together[1:]:
        yield video, f"it is the same file as {together[0].id!r} and was tagged a second time"
