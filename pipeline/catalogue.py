"""Inputs: files, folders, globs and catalogues -> videos, expanded on the workers so that any number is no problem."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics

from movie_tags.pipeline.tag_movies import Failure
from movie_tags.transforms.sampling import Video
from movie_tags.transforms.storage import open_seekable, plain_errors

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


class InputError(ValueError):
    """An input that names nothing, or a catalogue without a usable form."""


def is_catalogue(uri: str) -> bool:
    return uri.lower().endswith(CATALOGUE_SUFFIXES)


def expand(uri: str) -> Iterator[Video | Failure]:
    """The videos an input stands for: a catalogue's rows, a folder's videos, a glob's matches, or the file itself.

    Raises:
        InputError: it names nothing at all, or a catalogue cannot be read.
    """
    if is_catalogue(uri):
        yield from read_catalogue(uri)
        return
    found = False
    try:
        for path in _matches(uri):
            found = True
            yield Video(path, path, os.path.basename(path))
    except OSError as error:
        raise InputError(f"{uri}: cannot be listed: {error}") from error
    if not found:
        raise InputError(f"{uri}: no such file, and no video below it or matching it")


def _expand_or_fail(uri: str) -> Iterator[Video | Failure]:
    try:
        yield from expand(uri)
    except InputError as error:
        yield Failure(Video(uri, uri), "catalogue", str(error))


def _matches(uri: str) -> Iterator[str]:
    remote = FileSystems.get_scheme(uri) is not None
    if not remote and os.path.isdir(uri):
        for folder, folders, names in os.walk(uri):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (os.path.join(folder, name) for name in sorted(names) if _is_video(name))
    elif not remote and os.path.exists(uri):
        yield uri
    elif remote:
        named = [] if uri.endswith("/") else _glob(uri)
        yield from named or (path for path in _glob(uri.rstrip("/") + "/**") if _is_video(os.path.basename(path)))
    else:
        yield from (path for path in _glob(uri) if os.path.isfile(path))


def _glob(pattern: str) -> Iterable[str]:
    with plain_errors():
        return sorted(entry.path for entry in FileSystems.match([pattern])[0].metadata_list)


def _is_video(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def read_catalogue(uri: str) -> Iterator[Video | Failure]:
    """The rows of a .csv (with a header) or .jsonl catalogue: `uri`, and optionally `id` and `title`.

    A row without a usable `uri` becomes a Failure that names the catalogue and the row.

    Raises:
        InputError: the catalogue cannot be read or has no column `uri`.
    """
    try:
        with open_seekable(uri) as stream:
            lines = io.TextIOWrapper(stream, "utf-8-sig", newline="")
            if uri.lower().endswith(".csv"):
                reader = csv.DictReader(lines)
                if "uri" not in (reader.fieldnames or ()):
                    raise InputError(f"{uri}: has no column 'uri'; its first line must name the columns")
                for row in reader:
                    yield _video_of_row(row, f"{uri}, line {reader.line_num}")
                return
            for number, line in enumerate(lines, 1):
                if line.strip():
                    try:
                        row = json.loads(line)
                    except ValueError as error:
                        row = f"not a JSON object ({error})"
                    yield _video_of_row(row, f"{uri}, line {number}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{uri}: the catalogue cannot be read: {error}") from error


def _video_of_row(row: object, where: str) -> Video | Failure:
    if not isinstance(row, dict) or not isinstance(row.get("uri"), str) or not row["uri"].strip():
        reason = row if isinstance(row, str) else "the row has no 'uri'"
        return Failure(Video(where, where), "catalogue", reason)
    uri = row["uri"].strip()
    title = row.get("title") or os.path.basename(uri)
    return Video(str(row.get("id") or uri), uri, str(title))


class ReadInputs(beam.PTransform):
    """Inputs (strings) -> the videos they stand for, each once, and failures in the output FAILED."""

    FAILED = "failed"

    def __init__(self, inputs: Iterable[str]):
        super().__init__()
        self.inputs = list(inputs)

    def expand(self, root: beam.pvalue.PBegin) -> beam.pvalue.DoOutputsTuple:
        read = (
            root
            | "Inputs" >> beam.Create(self.inputs, reshuffle=False)
            | "Expand" >> beam.FlatMap(_expand_or_fail)
            | "Sort" >> beam.Map(lambda item: (item.video.id if isinstance(item, Failure) else item.id, item))
            # Grouping spreads the videos over the workers, too.
            | "Group" >> beam.GroupByKey()
            | "Distinct" >> beam.ParDo(_Distinct()).with_outputs(self.FAILED, main="videos")
        )
        return read


class _Distinct(beam.DoFn):
    """The videos under one id -> the one video, or a failure for each where they are different videos."""

    def __init__(self):
        self.read = Metrics.counter("catalogue", "videos_read")

    def process(self, element: tuple[str, Iterable]) -> Iterator:
        video_id, items = element
        failures = {item for item in items if isinstance(item, Failure)}
        videos = sorted({item.uri: item for item in items if isinstance(item, Video)}.values())
        if len(videos) > 1:
            reason = f"its id {video_id!r} is given to {len(videos)} videos; give each an id of its own"
            failures |= {Failure(video, "catalogue", reason) for video in videos}
        for failure in sorted(failures, key=lambda failure: failure.video):
            yield beam.pvalue.TaggedOutput(ReadInputs.FAILED, failure)
        if len(videos) == 1:
            self.read.inc()
            yield videos[0]
