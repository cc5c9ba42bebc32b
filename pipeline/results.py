"""The tables of results: their rows, written, published whole or not at all, and read again.

A folder of results holds, for each of TABLES, one file NAME.jsonl or shards NAME-*-of-*.jsonl, and run.json, which says
how they were made and is there only while the tables are whole.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import apache_beam as beam

from movie_tags import storage
from movie_tags.pipeline.reading import OURS, RUN_JSON, TABLES, OutputError, read_run
from movie_tags.pipeline.reading import read_table as read_table
from movie_tags.pipeline.tag_movies import TagMovies, VideoTags
from movie_tags.transforms.spans import Span
from movie_tags.transforms.strength import TagStrength
from movie_tags.transforms.tagging import UNIT, KeyFrameTags, Top
from movie_tags.transforms.video import Failure, Video

COUNTS = "counts"
THUMBNAILS = "thumbnails"


def tags_row(video: Video, result: VideoTags) -> dict:
    """The object of a video in tags.jsonl."""
    row = {
        "id": video.id,
        "uri": video.uri,
        "title": video.title,
        "duration_s": round(result.film.duration_s, 6),
        "frames_sampled": result.film.frames_sampled,
        "shots": result.film.shots,
        "key_frames": result.key_frames,
        "key_frames_rejected": result.key_frames_rejected,
        "key_frames_failed": result.key_frames_failed,
        "tags": [_tag(tag, result.film.duration_s) for tag in result.tags],
        "all_tags": [_tag(tag, result.film.duration_s) for tag in result.all_tags],
    }
    return {**row, "warnings": list(result.warnings)} if result.warnings else row


def _tag(tag: TagStrength, duration_s: float) -> dict:
    row = {**asdict(tag), "share": min(1.0, tag.seconds / duration_s) if duration_s else 1.0}
    return {name: round(value, 9) if isinstance(value, float) else value for name, value in row.items()}


def key_frames_row(video: Video, frame: KeyFrameTags) -> dict:
    """The object of a key frame in key_frames.jsonl."""
    row = {
        "id": video.id,
        "time_s": frame.time_s,
        "shot_start_s": frame.shot_start_s,
        "shot_end_s": frame.shot_end_s,
        "entropy": round(frame.entropy, 6),
        "top": _top(frame.top),
        "seen": _top(frame.seen),
    }
    return {**row, "thumbnail": frame.thumbnail} if frame.thumbnail else row


def _top(top: Top) -> list[dict]:
    return [{"tag": tag, "probability": millionths / UNIT} for tag, millionths in top]


def spans_row(video: Video, span: Span) -> dict:
    """The object of a span in spans.jsonl."""
    return {
        "id": video.id,
        "tag": span.tag,
        "start_s": span.start_s,
        "end_s": span.end_s,
        "mean_probability": round(span.mean_probability, 9),
        "peak_probability": span.peak_probability,
        "key_frames": span.key_frames,
    }


def errors_row(video: Video, failure: Failure) -> dict:
    """The object of a failure in errors.jsonl."""
    return {
        "id": video.id,
        "uri": video.uri,
        "stage": failure.stage,
        "reason": failure.reason,
        "again": failure.again,
    }


ROWS: dict[str, Callable[..., dict]] = dict(zip(TABLES, (tags_row, key_frames_row, spans_row, errors_row), strict=True))


def counts_of(table: str, row: dict) -> Iterator[tuple[str, int]]:
    """What a row adds to the counts of a run; all are whole numbers."""
    if table == "tags":
        yield "videos_tagged", 1
        yield "film_ms", round(row["duration_s"] * 1000)
        for name in ("frames_sampled", "shots", "key_frames_rejected"):
            yield name, row[name]
    elif table == "key_frames":
        yield "key_frames_tagged", 1
        yield "key_frames_believed", int(bool(row["top"]))
    elif table == "spans":
        yield "spans", 1
    else:
        yield "key_frames_failed" if row["stage"] == "tagging" else "videos_failed", 1


class WriteTables(beam.PTransform):
    """The tables and the inputs read -> lines of JSON in a staging folder -> the paths of the files written.

    Takes a dictionary of collections: `TagMovies`' results, and "read", an element for each input. Each table is one
    file or several; COUNTS is one, of the objects {"name", "n"}.
    """

    def __init__(self, staging: str, single_file: bool):
        super().__init__()
        self.staging = staging
        self.single_file = single_file

    def expand(self, tables: dict[str, beam.PCollection]) -> beam.PCollection:
        written = []
        counts = [
            tables["read"] | "Read" >> beam.Map(lambda _: ("inputs_read", 1)),
            tables[TagMovies.MERGED] | "Merged" >> beam.Map(lambda _: ("inputs_merged", 1)),
        ]
        for name in TABLES:
            rows = tables[name] | f"Row_{name}" >> beam.MapTuple(ROWS[name])
            counts.append(rows | f"Count_{name}" >> beam.FlatMap(lambda row, name=name: counts_of(name, row)))
            written.append(rows | f"Write_{name}" >> self._write(name, self.single_file))
        written.append(
            counts
            | "Counts" >> beam.Flatten()
            | "Sum" >> beam.CombinePerKey(sum)
            | "CountRow" >> beam.MapTuple(lambda name, n: {"name": name, "n": n})
            | "Write_counts" >> self._write(COUNTS, True)
        )
        return written | "Written" >> beam.Flatten()

    def _write(self, name: str, single_file: bool) -> beam.PTransform:
        return _WriteJson(storage.join(self.staging, name), single_file)


class _WriteJson(beam.PTransform):
    def __init__(self, prefix: str, single_file: bool):
        super().__init__()
        self.prefix = prefix
        self.single_file = single_file

    def expand(self, rows: beam.PCollection) -> beam.PCollection:
        return (
            rows
            | "Line" >> beam.Map(json.dumps, ensure_ascii=False)
            | "Write"
            >> beam.io.WriteToText(
                self.prefix,
                file_name_suffix=".jsonl",
                num_shards=1 if self.single_file else 0,
                shard_name_template="" if self.single_file else None,
            )
        )


class PublishTables(beam.PTransform):
    """The paths of the tables' files -> the address of run.json, when all is published.

    For a job whose launcher does not wait for its end: the job itself publishes, after everything is written. Done
    twice, as runners may do, it gives what doing it once gives.
    """

    def __init__(self, staging: str, output: str, summary: dict):
        """Args: the folders; what run.json says, with the time `begun`, less counts and times."""
        super().__init__()
        self.staging = staging
        self.output = output
        self.summary = summary

    def expand(self, written: beam.PCollection) -> beam.PCollection:
        return (
            written.pipeline
            | "Once" >> beam.Create([(self.staging, self.output)], reshuffle=False)
            | "Publish" >> beam.Map(_publish_written, self.summary, beam.pvalue.AsList(written))
        )


def _publish_written(folders: tuple[str, str], summary: dict, written: list[str]) -> str:
    staging, output = folders
    publish(staging, output, summary, written)
    return storage.join(output, RUN_JSON)


def prepare(output: str, run_id: str, overwrite: bool) -> str:
    """Check an output folder before any work is done.

    Returns:
        A staging folder, to be given to `discard` in the end.

    Raises:
        OutputError: it holds results and `overwrite` is not set, or it cannot be written to.
    """
    try:
        published = _published(output)
    except OSError as error:
        raise OutputError(f"{output}: cannot be listed: {storage.plainly(error)}") from error
    if published and not overwrite:
        raise OutputError(f"{output}: holds the results of a run already; choose another folder, or add --overwrite")
    try:
        storage.make_folder(output)
    except OSError as error:
        raise OutputError(f"{output}: cannot be made a folder for results: {storage.plainly(error)}") from error
    if not storage.is_remote(output) and not os.access(output, os.W_OK):
        raise OutputError(f"{output}: may not be written to")
    staging = storage.join(output, f".staging-{run_id}")
    if storage.is_remote(output) or not set(output) & set("*?["):
        return staging
    # Beam's sinks take such a name for a pattern: they get a link without one.
    os.mkdir(staging)
    link = os.path.join(tempfile.mkdtemp(prefix="movie-tags-"), "staging")
    os.symlink(os.path.abspath(staging), link)
    return link


def discard(staging: str) -> None:
    """Remove a staging folder; it may be gone already.

    Raises:
        OSError: something in it may not be removed.
    """
    if storage.is_remote(staging) or not os.path.islink(staging):
        storage.remove_folder(staging)
        return
    storage.remove_folder(os.path.realpath(staging))
    storage.remove_folder(os.path.dirname(staging))


def _published(output: str) -> list[str]:
    """The files of a folder that are results, run.json first."""
    names = {path: storage.base_name(path) for path in storage.list_folder(output)}
    ours = [path for path, name in names.items() if name == RUN_JSON or OURS.match(name)]
    return sorted(ours, key=lambda path: names[path] != RUN_JSON)


def publish(staging: str, output: str, summary: dict, written: Iterable[str] | None = None) -> dict:
    """Move a finished run's tables to the output folder, in place of an earlier run's.

    An earlier run.json goes first and the new one comes last, so that it never stands beside tables that are not its
    own. What was counted must add up: an input that is neither tagged nor failed becomes an error of its own.

    Args:
        staging, output: the folders.
        summary: what run.json says, with `run_id` and the time `begun` in seconds, less counts and times.
        written: the tables' files, of which some may have been moved before; all that is in `staging` by default.

    Returns:
        What run.json says.
    """
    done = read_run(output)
    if done is not None and done.get("run_id") == summary["run_id"]:
        return done
    counts = read_counts(staging)
    lost = counts["inputs_read"] - counts["inputs_merged"] - counts["videos_tagged"] - counts["videos_failed"]
    if lost:
        counts["videos_lost"] = lost
        _add_error(staging, lost, counts["inputs_read"])
    if not storage.is_remote(staging):
        for name in TABLES:
            _sort_lines(Path(staging, f"{name}.jsonl"))
    ended = time.time()
    summary = {
        **summary,
        "begun": _iso(summary["begun"]),
        "ended": _iso(ended),
        "wall_s": round(ended - summary["begun"], 3),
        "counts": counts,
    }
    new = [path for path in storage.list_folder(staging) if OURS.match(storage.base_name(path))]
    names = {storage.base_name(path) for path in [*new, *(written or ())]}
    storage.remove([storage.join(output, RUN_JSON)])
    stale = [path for path in _published(output) if storage.base_name(path) not in names]
    for path in [*storage.list_files(storage.join(staging, THUMBNAILS)), *new]:
        target = storage.join(output, storage.relative_to(path, staging))
        storage.make_folder(target.rpartition("/")[0])
        storage.move(path, target)
    storage.remove(stale)
    storage.write_text(storage.join(output, RUN_JSON), json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    discard(staging)
    return summary


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _add_error(staging: str, lost: int, read: int) -> None:
    reason = f"{lost} of {read} inputs came back neither tagged nor failed; run again"
    row = errors_row(Video("", ""), Failure("accounting", reason, again=True))
    name = "errors.jsonl"
    path = storage.join(staging, name)
    if not storage.exists(path):  # in shards: one more
        shards = len(storage.list_folder(staging, "errors-*-of-*.jsonl"))
        storage.write_text(
            storage.join(staging, f"errors-{shards:05}-of-{shards + 1:05}.jsonl"), json.dumps(row) + "\n"
        )
        return
    storage.write_bytes(path, storage.read_bytes(path) + json.dumps(row).encode() + b"\n")


def read_counts(staging: str) -> dict[str, int]:
    """The counts of a run that is written but not yet published; 0 for what did not occur."""
    named = ("inputs_read", "inputs_merged", "videos_tagged", "videos_failed", "key_frames_tagged", "key_frames_failed")
    counts = dict.fromkeys(named, 0)
    for line in storage.read_text(storage.join(staging, f"{COUNTS}.jsonl")).splitlines():
        row = json.loads(line)
        counts[row["name"]] = row["n"]
    return counts


def _sort_lines(path: Path) -> None:
    """Put a table's lines in order of id and time: workers end in no order. Only the keys are held in memory."""
    if not path.exists():  # cluster runners write shards, whose order says nothing
        return
    order = []
    with path.open("rb") as lines:
        at = 0
        for line in lines:
            row = json.loads(line)
            key = (row["id"], row.get("time_s", row.get("start_s", 0)), row.get("tag", row.get("reason", "")))
            order.append((key, at, len(line)))
            at += len(line)
    order.sort()
    with path.open("rb") as lines, path.with_suffix(".sorted").open("wb") as out:
        for _, at, length in order:
            lines.seek(at)
            out.write(lines.read(length))
    path.with_suffix(".sorted").replace(path)
