"""What surrounds the work: start-up, memory, two workers, drafts, many clips; each a ratio or an intercept of one run.

    python benchmarks/light.py [ROW ...]        (needs the shared footage: MOVIE_TAGS_DATA)

Prints a table of figures and bars. ROWs choose some: clip, film, mixed, still, draft, clips, rows. Of several rounds
the median counts; the differences between two lengths of a film leave start-up out.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import (
    COMMAND,
    DECODE,
    FFMPEG,
    FOOTAGE,
    WORK,
    Cost,
    footage,
    make_film,
    measure,
    median,
    need_footage,
    still_film,
)

from movie_tags.models import resolve
from movie_tags.models.bundle import read_bundle
from movie_tags.models.loading import load_model, predict
from movie_tags.results.reading import read_table

SHORT, LONG = 2, 9  # repeats of the scenes: about 5 and 20 minutes
CLIPS, CLIP_S = 500, 10
ROWS = 100_000
ROUNDS = 3


def tag(films: list[str], *options: str, statuses: tuple[int, ...] = (0,)) -> Cost:
    """What `movie-tags tag` costs."""
    with tempfile.TemporaryDirectory(dir=WORK) as out:
        return measure([*COMMAND, *films, "--output", f"{out}/results", *options], statuses)


def between(short: Cost, long: Cost) -> float:
    """The CPU seconds of what one film has more than the other."""
    return long.cpu_s - short.cpu_s


def row(what: str, figure: float, bar: str, unit: str = "") -> None:
    print(f"| {what} | {figure:.2f}{unit} | {bar} |", flush=True)


def clip() -> None:
    """CPU of a 10 s clip against that of importing Beam, PyAV and OpenCV."""
    film = str(FOOTAGE / "clips" / "kids_basketball_240p.mp4")
    rounds = [(tag([film]), measure([sys.executable, "-c", "import apache_beam, av, cv2"])) for _ in range(2 * ROUNDS)]
    ours, plain = (median(costs).cpu_s for costs in zip(*rounds, strict=True))
    row(f"CPU of a 10 s clip ({ours:.1f} s) against importing its libraries ({plain:.1f} s)", ours / plain, "2.5")


def model_seconds(key_frames: int) -> float:
    """CPU seconds of the default model alone on so many pictures, on one thread."""
    bundle = read_bundle(resolve())
    model = load_model(bundle, 1)
    pictures = list(np.random.default_rng(0).integers(0, 256, (40, 360, 640, 3), np.uint8))
    predict(model, pictures[:2], bundle.fitted)
    begun = time.process_time()
    predict(model, pictures, bundle.fitted)
    return (time.process_time() - begun) / len(pictures) * key_frames


def key_frames_of(film: str) -> int:
    """How many pictures of a film the model sees."""
    with tempfile.TemporaryDirectory(dir=WORK) as out:
        measure([*COMMAND, film, "--output", f"{out}/results"])
        (row,) = read_table(f"{out}/results", "tags")
    return row["key_frames"]


def two_at_once(words: list[str]) -> float:
    """Wall seconds of two processes of the same command, side by side."""
    begun = time.monotonic()
    pair = [subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(2)]
    for process in pair:
        process.wait()
    return time.monotonic() - begun


def film() -> None:
    """A 720p film at two lengths: marginal CPU, start-up, memory, and two workers beside two plain decoders."""
    films = [str(make_film(SHORT)), str(make_film(LONG))]
    rounds: dict[str, list[list[Cost]]] = {"one": [], "two": [], "decode": []}
    pairs = []
    for _ in range(ROUNDS):
        for name, words in {"one": "1", "two": "2"}.items():
            rounds[name].append([tag([f], "--direct_num_workers", words) for f in films])
        rounds["decode"].append([measure([*DECODE, f]) for f in films])
        pairs.append(two_at_once([*DECODE, films[1]]))
    one, two, decode = ([median(costs) for costs in zip(*rounds[name], strict=True)] for name in rounds)
    model = model_seconds(key_frames_of(films[1]) - key_frames_of(films[0]))
    ours, decoding = between(*one), between(*decode)
    row(
        f"marginal CPU ({ours:.1f} s) against ffmpeg ({decoding:.1f} s) and the model ({model:.1f} s)",
        ours / (decoding + model),
        "0.80",
    )
    slope = between(*two) / (LONG - SHORT)
    row("start-up CPU of a run with two workers (intercept)", two[0].cpu_s - SHORT * slope, "8", " s")
    row("peak memory, 20-minute 720p film, 1 worker", one[1].peak_gb, "0.45", " GB")
    row("peak memory, 20-minute 720p film, 2 workers", two[1].peak_gb, "0.9", " GB")
    theirs = 2 * decode[1].wall_s / sorted(pairs)[ROUNDS // 2]
    gain = (one[1].wall_s - one[0].wall_s) / (two[1].wall_s - two[0].wall_s)
    row(
        f"two workers against one ({gain:.2f}) beside two plain decoders against one ({theirs:.2f})",
        gain / theirs,
        "0.95",
    )


def mixed() -> None:
    """Two workers on a folder of films of very different lengths: how much of two cores' time is idle."""
    folder = [*map(str, footage("films", "clips", "trailers")), str(make_film(LONG))]
    cost = tag(folder, "--direct_num_workers", "2", statuses=(0, 3))
    idle = 1 - cost.cpu_s / (2 * cost.wall_s)
    row(f"{len(folder)} films of 5 to 1,208 s, two workers: idle share of two cores, start-up included", idle, "")


def still() -> None:
    """Two hours of one still picture in a container that is not cut, beside ten minutes of it: memory."""
    short, long = (tag([str(still_film(minutes))], "--direct_num_workers", "1") for minutes in (10, 120))
    row(
        f"peak memory, a still picture in MPEG-TS for two hours ({long.peak_gb:.2f} GB) against ten minutes",
        long.peak_gb / short.peak_gb,
        "flat",
    )


def draft() -> None:
    """Marginal CPU of a draft against exact sampling."""
    films = [str(make_film(SHORT)), str(make_film(LONG))]
    ways: tuple[tuple[str, ...], ...] = ((), ("--sampling", "codec-key-frames"))
    rounds = [[[tag([f], "--direct_num_workers", "1", *words) for f in films] for words in ways] for _ in range(ROUNDS)]
    by_way = zip(*rounds, strict=True)
    exact, drafted = (between(*(median(costs) for costs in zip(*way, strict=True))) for way in by_way)
    row(f"draft, marginal CPU ({drafted:.1f} s) against exact ({exact:.1f} s), the 720p film", drafted / exact, "0.10")


def clips() -> None:
    """Many clips in one run against one film of their length: films a minute."""
    long = make_film(LONG)
    folder = WORK / "clips"
    folder.mkdir(exist_ok=True)
    for i in range(CLIPS):
        made = folder / f"{i:03}.mp4"
        if not made.exists():
            cut = ["-ss", str(i * 2 % 1100), "-i", str(long), "-t", str(CLIP_S), "-c", "copy"]
            subprocess.run([FFMPEG, "-v", "error", "-y", *cut, str(made)], check=True)
    many, whole = tag([str(folder)]), tag([str(long)])
    pace = (CLIPS * CLIP_S / many.wall_s) / (LONG * 134.2 / whole.wall_s)
    row(f"{CLIPS} clips of {CLIP_S} s in one run, film a minute against one long film", pace, "0.7")
    row("peak memory of that run", many.peak_gb, "", " GB")


def rows() -> None:
    """A catalogue of many rows that all fail at opening: the driver's memory."""
    with tempfile.TemporaryDirectory(dir=WORK) as scratch:
        catalogue = Path(scratch, "catalogue.csv")
        catalogue.write_text("uri\n" + "".join(f"/nowhere/{i}.mp4\n" for i in range(ROWS)))
        cost = tag([str(catalogue)], statuses=(3,))
    row(
        f"driver's memory, {ROWS:,} rows that fail at opening ({cost.wall_s:.0f} s)",
        cost.own_gb,
        "1",
        " GB",
    )


PARTS = {"clip": clip, "film": film, "mixed": mixed, "still": still, "draft": draft, "clips": clips, "rows": rows}


def main(names: list[str]) -> None:
    need_footage()
    resolve()  # the model is built before anything is measured
    print("| what | measured | bar |\n|---|---|---|")
    for name in names or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
