"""`movie-tags search --like` over 10,000 films with 2 million key frames: wall time, CPU, memory, and what is found.

    python benchmarks/like.py [--films N] [--parts N] [--features FILE] [--keep DIR] [--recall N]

Key frames are mixtures of two real pictures' features, up to half of the second, so that they lie as densely as
real ones. Those of the first DISTINCT parts are generated; other parts are copies of them under other names, which
cost a search as much: what is found is judged where all are distinct (--films 1000 --parts 10). FILE, .npz, has real
features as an array `features` [N, WIDTH]; without it, they are random numbers. Searches are processes of their own, as
a user starts them; of ROUNDS the best time and the highest memory are told. Recall: of the ten nearest of all, by their
features, how many are among the first ten found.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parent))

from search import measure

from movie_tags.models.quantised import BLOCK
from movie_tags.records import KeyFrameFeatures
from movie_tags.report import alike
from movie_tags.report.alike import Features
from movie_tags.results import features
from movie_tags.results.schema import parquet_schema

KEY_FRAMES = 200
ROUNDS = 5
BASE = 4000
DISTINCT = 10
WIDTH = 2680


def real(path: Path | None) -> np.ndarray:
    """Features of pictures, float32 [BASE, WIDTH], in no order."""
    random = np.random.default_rng(1)
    if path is None:
        return np.maximum(random.standard_normal((BASE, WIDTH), np.float32), 0)
    with np.load(path) as kept:
        return kept["features"][random.permutation(len(kept["features"]))[:BASE]].astype(np.float32)


def mixtures(base: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Key frames, float32 [count, WIDTH]."""
    one, other = random.integers(0, len(base), (2, count))
    share = random.random((count, 1), np.float32) / 2
    return base[one] * (1 - share) + base[other] * share


def quantised(rows: np.ndarray) -> pa.Array:
    """As `models.quantised.quantise` of each row, all at once: none has a number below 0, or each has one."""
    starts, signed = range(0, rows.shape[1], BLOCK), bool((rows < 0).any())
    sizes, levels = np.abs(rows), 255 if signed else 511
    scales = np.stack([sizes[:, at : at + BLOCK].max(1) for at in starts], 1).astype("<f4")
    whole = np.repeat(np.where(scales, scales, 1), BLOCK, 1)[:, : rows.shape[1]]
    codes = np.rint(np.sign(rows) * np.sqrt(sizes / whole) * levels).astype(np.int16)
    codes = (codes + levels * signed).astype(np.uint16)
    header = np.frombuffer(rows.shape[1].to_bytes(2, "little") + bytes([signed]), np.uint8)
    pieces = [
        np.broadcast_to(header, (len(rows), 3)),
        scales.view(np.uint8),
        (codes >> 1).astype(np.uint8),
        np.packbits((codes & 1).astype(np.uint8), axis=1),
    ]
    return pa.array([row.tobytes() for row in np.concatenate(pieces, 1)], pa.binary())


def write_part(folder: Path, part: str, films: range, base: np.ndarray) -> None:
    """The features and the key frames of some films."""
    random = np.random.default_rng(films.start)
    (folder / part).mkdir(parents=True)
    with (
        pq.ParquetWriter(
            folder / part / "features.parquet", parquet_schema(KeyFrameFeatures), compression="zstd"
        ) as out,
        (folder / part / "key_frames.jsonl").open("w") as lines,
    ):
        for number in films:
            ids, times = [f"film-{number:05}"] * KEY_FRAMES, 4.0 * np.arange(KEY_FRAMES) + 2
            columns = [pa.array(ids), pa.array(times), quantised(mixtures(base, KEY_FRAMES, random))]
            out.write_table(pa.table(columns, parquet_schema(KeyFrameFeatures)), features.ROW_GROUP)
            for time_s in times.tolist():
                shot = {"shot_start_s": time_s - 2, "shot_end_s": time_s + 2}
                lines.write(json.dumps({"id": ids[0], "time_s": time_s, **shot}) + "\n")


def copy_part(folder: Path, part: str, films: range, original: str) -> None:
    """The features and the key frames of another part, as those of some films."""
    names = [f"film-{number:05}" for number in films for _ in range(KEY_FRAMES)]
    (folder / part).mkdir(parents=True)
    table = pq.read_table(folder / original / "features.parquet").slice(0, len(names))
    table = table.set_column(0, "id", pa.array(names))
    pq.write_table(table, folder / part / "features.parquet", features.ROW_GROUP, compression="zstd")
    with (folder / part / "key_frames.jsonl").open("w") as lines:
        for id, time_s in zip(names, table["time_s"].to_pylist(), strict=True):
            shot = {"shot_start_s": time_s - 2, "shot_end_s": time_s + 2}
            lines.write(json.dumps({"id": id, "time_s": time_s, **shot}) + "\n")


def generate(folder: Path, films: int, parts: int, base: np.ndarray) -> None:
    """Write a folder of results of the parts that --like reads."""
    view, each = folder / "views" / "1", -(-films // parts)
    view.mkdir(parents=True)
    with (view / "manifest.jsonl").open("w") as manifest, (view / "tags.jsonl").open("w") as tags:
        for k, begin in enumerate(range(0, films, each)):
            part, own = f"runs/generated/{begin:05}", range(begin, min(begin + each, films))
            if k < DISTINCT:
                write_part(folder, part, own, base)
            else:
                copy_part(folder, part, own, f"runs/generated/{each * (k % DISTINCT):05}")
            for number in own:
                id = f"film-{number:05}"
                manifest.write(json.dumps({"id": id, "features": part, "seen_key": "k"}) + "\n")
                row = {"id": id, "uri": f"gs://films/{id}.mp4", "title": f"Film {number}", "duration_s": 800.0}
                zeros = dict.fromkeys(("frames_sampled", "shots", "key_frames_rejected", "key_frames_failed"), 0)
                tags.write(json.dumps({**row, **zeros, "key_frames": KEY_FRAMES, "short_list": [], "tags": []}) + "\n")
    (view / "view.json").write_text(json.dumps({"layout": 2}))
    (folder / "latest.json").write_text(json.dumps({"view": "views/1"}))


def recall(folder: Path, queries: int) -> tuple[float, float, float]:
    """Of the ten nearest the share that sketches find, in the mean of some key frames; seconds of comparing all."""
    kept, random = Features(str(folder)), np.random.default_rng(2)
    films = sorted(kept._films)
    looks = [
        kept.looks_at(films[random.integers(len(films))], 4.0 * random.integers(KEY_FRAMES)) for _ in range(queries)
    ]
    found, took = [], (0.0, 0.0)
    for exact in (0, 10**9):
        alike.EXACT = exact
        kept.nearest(looks[0], 10)  # which makes what it takes
        begun = time.perf_counter(), time.process_time()
        found.append([{(one.id, one.time_s) for one in kept.nearest(look, 10)} for look in looks])
        took = time.perf_counter() - begun[0], time.process_time() - begun[1]
    shares = [len(near & nearest) / 10 for near, nearest in zip(*found, strict=True)]
    return float(np.mean(shares)), took[0] / queries, took[1] / queries


def best_of(ask: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds, the least of ROUNDS."""
    found = []
    for _ in range(ROUNDS):
        begun = time.perf_counter(), time.process_time()
        ask()
        found.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    return min(one[0] for one in found), min(one[1] for one in found)


def search_again_and_again(command: list[str]) -> None:
    """Say what a command that searches takes at first and later, the least of ROUNDS; of its memory the most."""
    for name, rounds in (("the first search, which prepares the key frames", 1), ("a search", ROUNDS)):
        got = [measure(command) for _ in range(rounds)]
        wall, cpu, memory = min(r[0] for r in got), min(r[1] for r in got), max(r[2] for r in got)
        print(f"{name}: {wall:.2f} s ({cpu:.2f} s of CPU), {memory:.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=10_000)
    parser.add_argument("--parts", type=int, default=100)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--keep", type=Path, help="where the results are made once, and found again")
    parser.add_argument("--recall", type=int, default=20, metavar="N", help="key frames to judge by; 0: none")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (args.keep or Path(scratch)) / f"like-{args.films}"
        os.environ["MOVIE_TAGS_CACHE"] = str(folder / "cache")
        if not (folder / "latest.json").exists():
            generate(folder, args.films, args.parts, real(args.features))
        print(f"{args.films} films, {args.films * KEY_FRAMES} key frames in {args.parts} parts")
        command = [sys.executable, "-m", "movie_tags", "search", str(folder), "--like", "film-00001@3:00", "--json"]
        search_again_and_again(command)
        kept = Features(str(folder))
        looks = kept.looks_at("film-00001", 180)
        wall, cpu = best_of(lambda: kept.nearest(looks, 50))
        print(f"another in the same process: {wall:.2f} s ({cpu:.2f} s of CPU)")
        if args.recall:
            share, wall, cpu = recall(folder, args.recall)
            print(
                f"sketches find {share:.3f} of the ten nearest of {args.recall} key frames; comparing all: {wall:.2f} "
                f"s ({cpu:.2f} s of CPU)"
            )


if __name__ == "__main__":
    main()
