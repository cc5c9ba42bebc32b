"""Folders of results made by the tests: tables and thumbnails as a run writes them, of films that are said."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
from films import picture

RUN = {
    "run_id": "20260102T030405Z-abcdef",
    "begun": "2026-01-02T03:04:05.000+00:00",
    "ended": "2026-01-02T03:05:05.000+00:00",
    "method": {"fps": 1.0, "top_k": 3, "min_relative_strength": 0.1, "span_gap": 6.0},
    "model": {"name": "a model", "fingerprint": "0123456789abcdef", "vocabulary": ["Animal", "Food", "War"]},
    "versions": {"movie-tags": "0.1.0"},
}


def tag(name: str, relative_strength: float, **more) -> dict:
    """A tag of a row of tags.jsonl."""
    given = {"occurrences": 1, "probability_sum": 0.5, "strength": relative_strength / 2, "peak_probability": 0.5}
    return {"tag": name, "relative_strength": relative_strength, **given, "seconds": 2.0, "share": 0.25, **more}


def film(id: str, tags: Sequence[dict] = (), weak: Sequence[dict] = (), **more) -> dict:
    """A row of tags.jsonl."""
    counts = {"frames_sampled": 8, "shots": 4, "key_frames": 4, "key_frames_rejected": 0, "key_frames_failed": 0}
    row = {"id": id, "uri": id, "title": Path(id).name, "duration_s": 8.0, **counts}
    return {**row, "short_list": list(tags), "tags": [*tags, *weak], **more}


def frame(id: str, time_s: float, top: dict[str, float], length_s: float = 2.0, **more) -> dict:
    """A row of key_frames.jsonl: the middle of a shot."""
    seen = [{"tag": name, "probability": probability} for name, probability in top.items()]
    shot = {"shot_start_s": time_s - length_s / 2, "shot_end_s": time_s + length_s / 2}
    return {"id": id, "time_s": time_s, **shot, "entropy": 12.0, "tags": seen, "top_k": seen, **more}


def span(id: str, name: str, start_s: float, end_s: float, probability: float = 0.5) -> dict:
    """A row of spans.jsonl."""
    said = {"mean_probability": probability, "peak_probability": probability, "key_frames": 1}
    return {"id": id, "tag": name, "start_s": start_s, "end_s": end_s, **said}


def failure(id: str, reason: str, stage: str = "opening") -> dict:
    """A row of errors.jsonl."""
    return {"id": id, "uri": id, "stage": stage, "reason": reason, "retryable": False}


def jpeg(seed: int) -> bytes:
    """A JPEG file, 128 x 96; of two seeds it differs plainly."""
    return cv2.imencode(".jpg", picture(seed)[:, :, ::-1])[1].tobytes()


def with_thumbnails(folder: Path, rows: Iterable[dict], seeds: Iterable[int]) -> list[dict]:
    """Rows of key_frames.jsonl, each with a thumbnail that is written."""
    listed = []
    for row, seed in zip(rows, seeds, strict=False):
        name = f"thumbnails/run/{seed}.jpg"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg(seed))
        listed.append({**row, "thumbnail": name})
    return listed


def write_tables(folder: Path, run: dict | None = RUN, **tables: Iterable[dict]) -> Path:
    """Write tables as one run of this machine does; a table that is None is not written."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tags", "key_frames", "spans", "errors"):
        rows = tables.get(name, ())
        if rows is not None:
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{name}.jsonl").write_text(text, "utf-8")
    if run is not None:
        (folder / "run.json").write_text(json.dumps(run), "utf-8")
    return folder


def small_results(folder: Path, uri: str = "/films/a.mp4") -> Path:
    """Results of three films and two failures: one with everything, one with nothing found, one without pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    a, b, c = uri, "/films/b.mp4", "/films/c.mp4"
    tops = ({"Animal": 0.9, "Food": 0.2}, {"Food": 0.6}, {}, {"Animal": 0.7})
    frames = with_thumbnails(folder, (frame(a, 1.0 + 2 * i, top) for i, top in enumerate(tops)), range(4))
    return write_tables(
        folder,
        tags=[
            film(a, [tag("Animal", 1.0, seconds=4.0, share=0.5), tag("Food", 0.4)], [tag("War", 0.02)]),
            film(b, key_frames=1, shots=1, warnings=["3 damaged packets were passed over"]),
            film(c, [tag("War", 1.0)], key_frames=1, key_frames_failed=1),
        ],
        key_frames=[*frames, frame(b, 1.0, {}), frame(c, 1.0, {"War": 0.8})],
        spans=[span(a, "Animal", 0, 2, 0.9), span(a, "Animal", 6, 8, 0.7), span(a, "Food", 0, 4, 0.4)],
        errors=[failure("/films/d.mp4", "has no video stream"), failure(c, "the model gave no numbers", "tagging")],
    )
