"""`movie-tags tag` against its parts: decoding alone and the model alone, all measured in one run.

    make bench        (needs the shared footage: MOVIE_TAGS_DATA)

A 720p film is made from the footage at two lengths; the differences between the two leave start-up out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import psutil

from movie_tags.models import resolve
from movie_tags.models.bundle import read_bundle
from movie_tags.models.loading import load_model, predict

FOOTAGE = Path(os.environ.get("MOVIE_TAGS_DATA", "../shared/data")) / "videos"
SCENES = (
    "films/big_buck_bunny_720p_first40s.mp4",
    "films/music_video_drama_hevc_720p_first60s.ts",
    "clips/animals_autumn_testvideo_720p_24s.mp4",
    "clips/sintel_snow_swordfight_10s_720p.mp4",
)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
REPEATS = (2, 9)  # about 5 and 20 minutes
ROUNDS = 2
WORK = Path("build/bench")
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def make_film(repeats: int) -> Path:
    """The scenes as one H.264 film at 720p, 24 frames a second, so many times over."""
    film = WORK / f"film{repeats}.mp4"
    if not film.exists():
        once = WORK / "once.mp4"
        if not once.exists():
            inputs = [word for scene in SCENES for word in ("-i", str(FOOTAGE / scene))]
            scale = "".join(f"[{i}:v]scale=1280:720,fps=24,setsar=1,format=yuv420p[v{i}];" for i in range(len(SCENES)))
            joined = scale + "".join(f"[v{i}]" for i in range(len(SCENES))) + f"concat=n={len(SCENES)}[v]"
            run([FFMPEG, "-v", "error", "-y", *inputs, "-filter_complex", joined, "-map", "[v]", str(once)])
        words = ["-stream_loop", str(repeats - 1), "-i", str(once), "-c", "copy", str(film)]
        run([FFMPEG, "-v", "error", "-y", *words])
    return film


def run(words: list[str]) -> tuple[float, float, float]:
    """Run a command: (CPU seconds of its process tree, wall seconds, peak resident memory of the tree in MB)."""
    begun = time.monotonic()
    process = psutil.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    cpu: dict[int, float] = {}
    peak = 0
    while process.poll() is None:
        resident = 0
        for member in [process, *process.children(recursive=True)]:
            try:
                times = member.cpu_times()
                cpu[member.pid] = times.user + times.system
                resident += member.memory_info().rss
            except psutil.Error:
                continue
        peak = max(peak, resident)
        time.sleep(0.05)
    if process.returncode:
        sys.exit(f"{words[0]} failed: {process.stderr.read().decode()[-2000:]}")
    return sum(cpu.values()), time.monotonic() - begun, peak / 1e6


def model_seconds(key_frames: int) -> float:
    """CPU seconds of the default model alone, on one thread, for so many pictures in batches of 16."""
    bundle = read_bundle(resolve())
    model = load_model(bundle, 1)
    batch = list(np.random.default_rng(0).integers(0, 256, (16, *bundle.input_size, 3), np.uint8))
    predict(model, batch)
    begun = time.process_time()
    for _ in range(-(-key_frames // 16)):
        predict(model, batch)
    return time.process_time() - begun


def main() -> None:
    if not FOOTAGE.is_dir():
        sys.exit(f"no footage at {FOOTAGE}; set MOVIE_TAGS_DATA to a folder that has videos/")
    WORK.mkdir(parents=True, exist_ok=True)
    command = str(Path(sys.executable).parent / "movie-tags")
    figures = []
    for repeats in REPEATS:
        film = str(make_film(repeats))
        commands = {"decode": [FFMPEG, "-threads", "1", "-i", film, "-map", "0:v", "-f", "null", "-"]}
        for workers in (1, 2):
            words = ["--output", str(WORK / f"out{workers}"), "--force", "--direct_num_workers", str(workers)]
            commands[workers] = [command, "tag", film, *words]
        # The least of some rounds, each of all commands: what else the machine does only ever adds.
        rounds = [{part: run(words) for part, words in commands.items()} for _ in range(ROUNDS)]
        row = {part: [min(values) for values in zip(*(r[part] for r in rounds), strict=True)] for part in commands}
        out = WORK / "out2"
        tags = json.loads((out / "tags.jsonl").read_text())
        row |= {"seconds": tags["duration_s"], "key_frames": tags["key_frames"]}
        figures.append(row)
    short, long = figures
    film_s = long["seconds"] - short["seconds"]
    key_frames = long["key_frames"] - short["key_frames"]
    ours, ours2, decode = ([b - a for a, b in zip(short[part], long[part], strict=True)] for part in (1, 2, "decode"))
    model = model_seconds(key_frames)
    print(f"films of {short['seconds']:.0f} and {long['seconds']:.0f} s; between them {key_frames} key frames")
    print("| between the two lengths | CPU s | wall s |\n|---|---|---|")
    print(f"| movie-tags tag, 1 worker | {ours[0]:.1f} | {ours[1]:.1f} |")
    print(f"| movie-tags tag, 2 workers | {ours2[0]:.1f} | {ours2[1]:.1f} |")
    print(f"| ffmpeg, decoding alone | {decode[0]:.1f} | {decode[1]:.1f} |")
    print(f"| the model alone | {model:.1f} | |")
    print(f"CPU against decoding and model: {ours[0] / (decode[0] + model):.2f} (bar: at most 0.90)")
    print(f"two workers against one: {ours[1] / ours2[1]:.2f} times as fast (bar: at least 1.7)")
    print(f"speed: {film_s / ours[1]:.0f} x real time with 1 worker, {film_s / ours2[1]:.0f} x with 2")
    growth = [long[w][2] / short[w][2] - 1 for w in (1, 2)]
    memory = ", ".join(f"{short[w][2]:.0f} to {long[w][2]:.0f} MB ({growth[w - 1]:+.1%}) with {w}" for w in (1, 2))
    print(f"peak memory, short to long film: {memory} workers (bar: below +10 %)")


if __name__ == "__main__":
    main()
