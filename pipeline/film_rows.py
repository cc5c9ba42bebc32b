"""What comes of a film's rows beside the tables: counts, and the manifest's entry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from movie_tags.records import KEY_FRAME_STAGES, TAGGED, Entry, Failure, Film, Video
from movie_tags.results.manifest import failed_entry
from movie_tags.results.reading import RUNS
from movie_tags.results.run_records import RunRecord
from movie_tags.results.schema import to_line


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


def entries_of(element: tuple[Video, Film | Failure], run: RunRecord, part: str) -> Iterator[str]:
    """The manifest's line of a video that has been tagged or failed; a key frame that failed has none.

    Args:
        element: the video, and what became of it.
        run: of which run.
        part: the name of the part.
    """
    video, result = element
    method_key, run_id = run.method_key, run.run_id
    at = datetime.now(UTC).isoformat(timespec="seconds")
    if isinstance(result, Film):
        film_s = round(result.duration_s, 3)
        entry = Entry(
            video.id, video.uri, video.version, method_key, status=TAGGED, film_s=film_s, run_id=run_id, at=at
        )
        if run.seen_key:
            kept = video.seen or f"{RUNS}/{run_id}/{part}"
            entry = replace(entry, seen_key=run.seen_key, features=kept)
    elif result.of_key_frame:
        return
    else:
        entry = failed_entry(video, result, method_key, run_id, at)
    yield to_line(entry).decode().rstrip("\n")
