"""What surrounds the work: start-up, memory, two workers, many clips; each a ratio or an intercept of one run.

    python benchmarks/light.py [ROW ...]        (needs the shared footage: MOVIE_TAGS_DATA)

Prints a table of figures and bars. ROWs choose some: clip, film, draft, clips, rows. Memory is what all
processes hold together: pages that forked workers share are shared out among them (proportional set size).
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from tag import FFMPEG, FOOTAGE, WORK, make_film

from movie_tags.models import resolve
from movie_tags.models.bundle import read_bundle
from movie_tags.models.loading import load_model, predict

COMMAND = [sys.executable, "-m", "movie_tags", "tag"]
SHORT, LONG = 2, 9  # repeats of the scenes: about 5 and 20 minutes
CLIPS, CLIP_S = 500, 10
ROWS = 100_000
ROUNDS = 3


def run(words: list[str], status: tuple[int, ...] = (0,)) -> tuple[float, float, float, float]:
    """Run a command: CPU seconds of its process tree, wall seconds, peak GB of the tree, peak GB of itself."""
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
                held += share
                if member is process:
                    own_peak = max(own_peak, share)
            except psutil.Error:
                continue
        peak = max(peak, held)
        time.sleep(0.1)
    if process.returncode not in status:
        sys.exit(f"{' '.join(words)} failed: {process.stderr.read().decode()[-2000:]}")
    return sum(cpu.values()), time.monotonic() - begun, peak / 1e9, own_peak / 1e9


def tag(films: list[str], *options: str, status: tuple[int, ...] = (0,)) -> tuple[float, float, float, float]:
    with tempfile.TemporaryDirectory(dir=WORK) as out:
        return run([*COMMAND, *films, "--output", f"{out}/results", *options], status)


def row(what: str, figure: float, bar: str, unit: str = "") -> None:
    print(f"| {what} | {figure:.2f}{unit} | {bar} |", flush=True)


def clip() -> None:
    """CPU of a 10 s clip against that of importing Beam, PyAV and OpenCV; medians."""
    film = str(FOOTAGE / "clips" / "kids_basketball_240p.mp4")
    ours = statistics.median(tag([film])[0] for _ in range(ROUNDS))
    plain = statistics.median(run([sys.executable, "-c", "import apache_beam, av, cv2"])[0] for _ in range(ROUNDS))
    row(
        f"CPU of a 10 s clip ({ours:.1f} s) against importing Beam, PyAV and OpenCV ({plain:.1f} s)",
        ours / plain,
        "2.5",
    )


def model_seconds(key_frames: int) -> float:
    """CPU seconds of the default model alone on so many pictures, on one thread."""
    bundle = read_bundle(resolve())
    model = load_model(bundle, 1)
    pictures = list(np.random.default_rng(0).integers(0, 256, (40, 360, 640, 3), np.uint8))
    predict(model, pictures[:2], bundle.fitted)
    begun = time.process_time()
    predict(model, pictures, bundle.fitted)
    return (time.process_time() - begun) / len(pictures) * key_frames


def film() -> None:
    """A 720p film at two lengths: marginal CPU, start-up, memory, and two workers beside two plain decoders."""
    short, long = str(make_film(SHORT)), str(make_film(LONG))
    one = [tag([f], "--direct_num_workers", "1") for f in (short, long)]
    two = [tag([f], "--direct_num_workers", "2") for f in (short, long)]
    plain = ["-threads", "1", "-i"], ["-map", "0:v", "-f", "null", "-"]
    decode = [run([FFMPEG, *plain[0], f, *plain[1]]) for f in (short, long)]
    ours, decoding = one[1][0] - one[0][0], decode[1][0] - decode[0][0]
    model = model_seconds(31 * (LONG - SHORT))  # a repeat of the scenes has 31 key frames
    row(
        f"marginal CPU ({ours:.1f} s) against ffmpeg ({decoding:.1f} s) and the model ({model:.1f} s)",
        ours / (decoding + model),
        "0.80",
    )
    slope = (two[1][0] - two[0][0]) / (LONG - SHORT)
    row("start-up CPU of a run with two workers (intercept)", two[0][0] - SHORT * slope, "8", " s")
    row("peak memory, 20-minute 720p film, 1 worker", one[1][2], "0.45", " GB")
    row("peak memory, 20-minute 720p film, 2 workers", two[1][2], "0.9", " GB")
    begun = time.monotonic()
    pair = [subprocess.Popen([FFMPEG, *plain[0], long, *plain[1]], stderr=subprocess.DEVNULL) for _ in range(2)]
    for process in pair:
        process.wait()
    theirs = 2 * decode[1][1] / (time.monotonic() - begun)
    gain = (one[1][1] - one[0][1]) / (two[1][1] - two[0][1])
    row(
        f"two workers against one ({gain:.2f}) beside two plain decoders against one ({theirs:.2f})",
        gain / theirs,
        "0.95",
    )


def draft() -> None:
    """Marginal CPU of a draft against exact sampling."""
    short, long = str(make_film(SHORT)), str(make_film(LONG))
    exact, drafted = (
        tag([long], "--direct_num_workers", "1", *words)[0] - tag([short], "--direct_num_workers", "1", *words)[0]
        for words in ((), ("--sampling", "codec-key-frames"))
    )
    row("draft sampling, marginal CPU against exact, the 720p film", drafted / exact, "0.10")


def clips() -> None:
    """Many clips in one run against one film of their length: films a minute."""
    long = make_film(LONG)
    folder = WORK / "clips"
    if len(list(folder.glob("*.mp4"))) != CLIPS:
        folder.mkdir(exist_ok=True)
        for i in range(CLIPS):
            at = str(i * 2 % 1100)
            subprocess.run(
                [
                    FFMPEG,
                    "-v",
                    "error",
                    "-y",
                    "-ss",
                    at,
                    "-i",
                    str(long),
                    "-t",
                    str(CLIP_S),
                    "-c",
                    "copy",
                    str(folder / f"{i:03}.mp4"),
                ],
                check=True,
            )
    many = tag([str(folder)])
    whole = tag([str(long)])
    pace = (CLIPS * CLIP_S / many[1]) / (1208 / whole[1])
    row(f"{CLIPS} clips of {CLIP_S} s in one run, film a minute against one long film", pace, "0.7")
    row("peak memory of that run", many[2], "", " GB")


def rows() -> None:
    """A catalogue of many rows that all fail at opening: the driver's memory."""
    with tempfile.TemporaryDirectory(dir=WORK) as scratch:
        catalogue = Path(scratch, "catalogue.csv")
        catalogue.write_text("uri\n" + "".join(f"/nowhere/{i}.mp4\n" for i in range(ROWS)))
        _, wall, _, own = tag([str(catalogue)], status=(3,))
    row(f"driver's memory for a catalogue of {ROWS:,} rows that fail at opening ({wall:.0f} s)", own, "1", " GB")


PARTS = {"clip": clip, "film": film, "draft": draft, "clips": clips, "rows": rows}


def main(names: list[str]) -> None:
    if not FOOTAGE.is_dir():
        sys.exit(f"no footage at {FOOTAGE}; set MOVIE_TAGS_DATA to a folder that has videos/")
    WORK.mkdir(parents=True, exist_ok=True)
    resolve()  # the model is built before anything is measured
    print("| what | measured | bar |\n|---|---|---|")
    for name in names or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
