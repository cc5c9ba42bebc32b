"""Films to measure on, made of the shared footage, and commands measured with all their processes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import imageio_ffmpeg
import psutil

FOOTAGE = Path(os.environ.get("MOVIE_TAGS_DATA", "../shared/data")) / "videos"
WORK = Path("build/bench")
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
COMMAND = [sys.executable, "-m", "movie_tags", "tag"]
DECODE = [FFMPEG, "-v", "error", "-threads", "1", "-map", "0:v", "-f", "null", "-", "-i"]
SCENES = (
    "films/big_buck_bunny_720p_first40s.mp4",
    "films/music_video_drama_hevc_720p_first60s.ts",
    "clips/animals_autumn_testvideo_720p_24s.mp4",
    "clips/sintel_snow_swordfight_10s_720p.mp4",
)


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        cpu_s: CPU seconds of its process tree.
        wall_s: seconds.
        peak_gb: the most that all its processes held together; pages that they share are shared out among them.
        own_gb: the most that the first of them held.
    """

    cpu_s: float
    wall_s: float
    peak_gb: float
    own_gb: float


def measure(words: Sequence[str], statuses: tuple[int, ...] = (0,)) -> Cost:
    """Run a command to its end."""
    begun = time.monotonic()
    process = psutil.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    cpu: dict[int, float] = {}
    peak = own_peak = 0
    while process.poll() is None:
        held = 0
        for member in [process, *process.children(recursive=True)]:
            try:
                times = member.cpu_times()
                cpu[member.pid] = times.user + times.system
                share = member.memory_full_info().pss
            except psutil.Error:
                continue
            held += share
            if member.pid == process.pid:
                own_peak = max(own_peak, share)
        peak = max(peak, held)
        time.sleep(0.1)
    if process.returncode not in statuses:
        sys.exit(f"{' '.join(words)} failed: {process.stderr.read().decode()[-2000:]}")
    return Cost(sum(cpu.values()), time.monotonic() - begun, peak / 1e9, own_peak / 1e9)


def median(costs: Sequence[Cost]) -> Cost:
    """The median of each figure over some rounds."""
    return Cost(*(statistics.median(getattr(cost, field.name) for cost in costs) for field in fields(Cost)))


def need_footage() -> None:
    """End with a remedy where there is no footage to make films of."""
    if not FOOTAGE.is_dir():
        sys.exit(f"no footage at {FOOTAGE}; set MOVIE_TAGS_DATA to a folder that has videos/")
    WORK.mkdir(parents=True, exist_ok=True)


def make_film(repeats: int) -> Path:
    """Some scenes as one H.264 film of 134 s at 720p, 24 frames a second, so many times over."""
    once = _joined("once.mp4", [FOOTAGE / scene for scene in SCENES], "scale=1280:720")
    return repeat(once, repeats, WORK / f"film{repeats}.mp4")


def long_film() -> Path:
    """The shared films and trailers one after another, encoded anew at 360p as x264 does it unasked."""
    parts = [path for folder in ("films", "trailers") for path in footage(folder)]
    fitted = "scale=640:360:force_original_aspect_ratio=decrease,pad=640:360:-1:-1"
    return _joined("long.mp4", parts, fitted)


def still_film(minutes: int) -> Path:
    """One picture for so long, at 360p and 24 frames a second, in MPEG-TS."""
    minute = WORK / "still.ts"
    if not minute.exists():
        picture = WORK / "still.png"
        _make(["-ss", "10", "-i", str(FOOTAGE / SCENES[0]), "-frames:v", "1", str(picture)])
        shape = ["-vf", "scale=640:360", "-r", "24", "-pix_fmt", "yuv420p"]
        _make(["-loop", "1", "-t", "60", "-i", str(picture), *shape, str(minute)])
    return repeat(minute, minutes, WORK / f"still{minutes}.ts")


def footage(*folders: str) -> list[Path]:
    """The videos in some of the shared folders."""
    return [path for folder in folders for path in sorted((FOOTAGE / folder).iterdir()) if path.suffix != ".tsv"]


def repeat(film: Path, repeats: int, made: Path) -> Path:
    """A film so many times over, made once, without encoding."""
    if not made.exists():
        words = ["-stream_loop", str(repeats - 1), "-i", str(film), "-map", "0:v", "-c", "copy", str(made)]
        _make(words)
    return made


def _joined(name: str, parts: Sequence[Path], shape: str) -> Path:
    made = WORK / name
    if not made.exists():
        inputs = [word for part in parts for word in ("-i", str(part))]
        shaped = "".join(f"[{i}:v:0]{shape},fps=24,setsar=1,format=yuv420p[v{i}];" for i in range(len(parts)))
        joined = shaped + "".join(f"[v{i}]" for i in range(len(parts))) + f"concat=n={len(parts)}[v]"
        _make([*inputs, "-filter_complex", joined, "-map", "[v]", str(made)])
    return made


def _make(words: Sequence[str]) -> None:
    measure([FFMPEG, "-v", "error", "-y", *words])
