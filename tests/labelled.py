"""Labelled pictures and films, made by the tests: their tags are colours over noise."""

import json
from pathlib import Path

import cv2
import numpy as np
from films import write_video

COLOURS = {"War": (40, 60, 160), "Food": (60, 200, 60)}
TABLE = "file\ttags_that_plainly_apply\ttags_that_may_apply\n"


def shown(tag: str | None, seed: int) -> np.ndarray:
    """A picture of a tag's colour over coarse noise, or noise alone; uint8 RGB."""
    random = np.random.default_rng([seed, *(tag or "").encode()])
    noise = cv2.resize(random.integers(0, 256, (6, 8, 3), np.uint8), (80, 60), interpolation=cv2.INTER_CUBIC)
    return noise if tag is None else (0.4 * noise + 0.6 * np.array(COLOURS[tag])).astype(np.uint8)


def write_labelled(folder: Path) -> Path:
    """Pictures, frames and videos with labels, in a new folder that is laid out as the recipes take it."""
    for name in ("images/War", "images/Food", "images/_none", "frames", "videos/trailers"):
        (folder / name).mkdir(parents=True)
    for i in range(24):
        for tag in (*COLOURS, None):
            cv2.imwrite(str(folder / f"images/{tag or '_none'}/source{i % 6}__{i}.png"), shown(tag, i)[:, :, ::-1])
    lines = []
    for i in range(30):
        tag = ("War", "Food", None)[i % 3]
        cv2.imwrite(str(folder / f"frames/{i}.jpg"), shown(tag, 100 + i)[:, :, ::-1])
        lines.append(
            {"file": f"{i}.jpg", "film": f"film {i // 5}", "time_s": i, "tags": [tag] if tag else [], "maybe": []}
        )
    (folder / "frames/LABELS.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    clip = {"film": "film 0", "tags": ["War", "Food"], "maybe": [], "frames": [f"{i}.jpg" for i in range(5)]}
    (folder / "frames/FILMS.jsonl").write_text(json.dumps(clip) + "\n")
    lines = [{"file": f"War/source{i % 6}__{i}.png", "tags": ["War"]} for i in range(24)]
    (folder / "images/LABELS.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    lines = []
    for number, tag in enumerate(COLOURS):
        pictures = [shown(tag, 200 + 10 * number + i) for i in range(4) for _ in range(25)]
        write_video(folder / f"videos/trailers/t{number}.mp4", pictures)
        lines += [{"file": f"trailers/t{number}.mp4", "time_s": at, "tags": [tag], "maybe": []} for at in range(4)]
    (folder / "videos/KEY_FRAMES.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "videos/trailers/FILES.tsv").write_text(TABLE + "t0.mp4\tWar\tDrama\nt1.mp4\tFood\t\n")
    (folder / "videos/FILES.tsv").write_text(TABLE + "films/other.mp4\tWar\t\n")
    return folder
