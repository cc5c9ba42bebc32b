"""Results out: records -> lines of JSON, published whole or not at all."""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems

from movie_tags.pipeline.tag_movies import Failure, VideoTags
from movie_tags.transforms.storage import StorageError, plain_errors
from movie_tags.transforms.strength import TagStrength
from movie_tags.transforms.tagging import UNIT, KeyFrameTags

TABLES = ("tags", "key_frames", "errors")
COUNTED = {"tags": "videos_tagged", "key_frames": "key_frames_tagged", "errors": "errors"}
RUN_JSON = "run.json"
_OURS = re.compile(rf"(?:(?:{'|'.join(TABLES)})(?:-\d+-of-\d+)?\.jsonl|{re.escape(RUN_JSON)})\Z")


class OutputError(ValueError):
    """An output folder that cannot be written to."""


def tags_row(result: VideoTags) -> dict:
    """The object of a video in tags.jsonl."""
    row = {
        "id": result.video.id,
        "uri": result.video.uri,
        "title": result.video.title,
        "duration_s": round(result.duration_s, 6),
        "frames_sampled": result.frames_sampled,
        "shots": result.shots,
        "key_frames": result.key_frames,
        "key_frames_rejected": result.key_frames_rejected,
        "tags": [_tag(tag) for tag in result.tags],
        "all_tags": [_tag(tag) for tag in result.all_tags],
    }
    return {**row, "warnings": list(result.warnings)} if result.warnings else row


def _tag(tag: TagStrength) -> dict:
    return {name: round(value, 9) if isinstance(value, float) else value for name, value in asdict(tag).items()}


def key_frame_row(key_frame: KeyFrameTags) -> dict:
    """The object of a key frame in key_frames.jsonl."""
    return {
        "id": key_frame.video_id,
        "time_s": key_frame.time_s,
        "shot_start_s": key_frame.shot_start_s,
        "shot_end_s": key_frame.shot_end_s,
        "entropy": round(key_frame.entropy, 6),
        "top": [{"tag": tag, "probability": millionths / UNIT} for tag, millionths in key_frame.top],
    }


def error_row(failure: Failure) -> dict:
    """The object of a failure in errors.jsonl."""
    return {
        "id": failure.video.id,
        "uri": failure.video.uri,
        "stage": failure.stage,
        "reason": failure.reason,
    }


ROWS: dict[str, Callable] = dict(zip(TABLES, (tags_row, key_frame_row, error_row), strict=True))


class WriteTables(beam.PTransform):
    """{"tags", "key_frames", "errors"} -> lines of JSON in a staging folder, one file or several a table -> paths."""

    def __init__(self, staging: str, single_file: bool):
        super().__init__()
        self.staging = staging
        self.single_file = single_file

    def expand(self, tables: dict[str, beam.PCollection]) -> beam.PCollection:
        written = []
        for name in TABLES:
            lines = tables[name] | f"Row_{name}" >> beam.Map(
                lambda record, row=ROWS[name]: json.dumps(row(record), ensure_ascii=False)
            )
            written.append(
                lines
                | f"Write_{name}"
                >> beam.io.WriteToText(
                    FileSystems.join(self.staging, name),
                    file_name_suffix=".jsonl",
                    num_shards=1 if self.single_file else 0,
                    shard_name_template="" if self.single_file else None,
                )
            )
        return written | "Written" >> beam.Flatten()


class PublishTables(beam.PTransform):
    """{"tags", "key_frames", "errors", "written"} -> the address of run.json, when all is published.

    For a job whose launcher does not wait for its end: the job itself publishes, after everything is written. Done
    twice, as runners may do, it gives what doing it once gives.
    """

    def __init__(self, staging: str, output: str, summary: dict):
        """Args: the folders; what run.json says, with the time `begun`, less counts and wall time."""
        super().__init__()
        self.staging = staging
        self.output = output
        self.summary = summary

    def expand(self, tables: dict[str, beam.PCollection]) -> beam.PCollection:
        counts = [
            tables[name]
            | f"Count_{name}" >> beam.combiners.Count.Globally()
            | f"Name_{name}" >> beam.Map(lambda n, name=COUNTED[name]: (name, n))
            for name in TABLES
        ] | "Counts" >> beam.Flatten()
        written = tables["written"]
        return (
            written.pipeline
            | "Once" >> beam.Create([(self.staging, self.output)], reshuffle=False)
            | "Publish"
            >> beam.Map(_publish_written, self.summary, beam.pvalue.AsList(written), beam.pvalue.AsDict(counts))
        )


def _publish_written(folders: tuple[str, str], summary: dict, written: list[str], counts: dict[str, int]) -> str:
    staging, output = folders
    wall_s = round(time.time() - summary["begun"], 3)
    publish(staging, output, {**summary, "counts": counts, "wall_s": wall_s}, written)
    return FileSystems.join(output, RUN_JSON)


def prepare(output: str, overwrite: bool) -> str:
    """Check an output folder before any work is done.

    Returns:
        A staging folder inside it, not yet made.

    Raises:
        OutputError: it holds results and `overwrite` is not set, or it cannot be written to.
    """
    try:
        published = _published(output)
    except StorageError as error:
        raise OutputError(f"{output}: cannot be listed: {error}") from error
    if published and not overwrite:
        raise OutputError(f"{output}: holds the results of a run already; choose another folder, or add --overwrite")
    if FileSystems.get_scheme(output) is None:
        try:
            os.makedirs(output, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{output}: cannot be made a folder for results: {error.strerror}") from error
        if not os.access(output, os.W_OK):
            raise OutputError(f"{output}: may not be written to")
    return FileSystems.join(output, f".staging-{uuid.uuid4().hex[:12]}")


def _published(output: str) -> list[str]:
    with plain_errors():
        entries = FileSystems.match([FileSystems.join(output, "*")])[0].metadata_list
    return [entry.path for entry in entries if _OURS.match(os.path.basename(entry.path))]


def publish(staging: str, output: str, summary: dict, written: Iterable[str] | None = None) -> None:
    """Move a finished run's tables to the output folder, in place of an earlier run's, and write run.json last.

    Args:
        staging, output: the folders.
        summary: what run.json says.
        written: the tables' files, of which some may have been moved before; all that is in `staging` by default.
    """
    if FileSystems.get_scheme(staging) is None:
        for name in TABLES:
            _sort_lines(Path(staging, f"{name}.jsonl"))
    with FileSystems.create(FileSystems.join(staging, RUN_JSON), "text/plain", "uncompressed") as out:
        out.write((json.dumps(summary, indent=2, ensure_ascii=False) + "\n").encode())
    new = [entry.path for entry in FileSystems.match([FileSystems.join(staging, "*")])[0].metadata_list]
    new.sort(key=lambda path: os.path.basename(path) == RUN_JSON)
    names = {os.path.basename(path) for path in [*new, *(written or ())]}
    stale = [path for path in _published(output) if os.path.basename(path) not in names]
    for path in new:
        target = FileSystems.join(output, os.path.basename(path))
        if FileSystems.get_scheme(target) is None:
            os.replace(path, target)
        else:
            FileSystems.rename([path], [target])
    if stale:
        FileSystems.delete(stale)
    discard(staging)


def discard(staging: str) -> None:
    """Remove a staging folder; it may be gone already."""
    if not FileSystems.get_filesystem(staging).has_dirs():
        FileSystems.delete([staging + "/"])  # of an object store: everything below that name
    elif FileSystems.exists(staging):
        FileSystems.delete([staging])


def _sort_lines(path: Path) -> None:
    """Put a table's lines in order of id and time: workers end in no order. Only the keys are held in memory."""
    if not path.exists():  # cluster runners write shards, whose order says nothing
        return
    order = []
    with path.open("rb") as lines:
        at = 0
        for line in lines:
            row = json.loads(line)
            order.append(((row["id"], row.get("time_s", 0), row.get("reason", "")), at, len(line)))
            at += len(line)
    order.sort()
    with path.open("rb") as lines, path.with_suffix(".sorted").open("wb") as out:
        for _, at, length in order:
            lines.seek(at)
            out.write(lines.read(length))
    path.with_suffix(".sorted").replace(path)
