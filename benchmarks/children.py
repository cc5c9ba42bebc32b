"""What decoding in processes with limits costs: films tagged with and without them, side by side in one run.

    python benchmarks/children.py        (needs the shared footage: MOVIE_TAGS_DATA)

A 720p film is made from the footage at two lengths, and another at 240p, where pictures weigh most beside their
decoding; the differences between the two lengths leave start-up out.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tag import FFMPEG, FOOTAGE, REPEATS, WORK, make_film, run

SMALL = "clips/bear_catching_fish_240p.mp4"
SMALL_REPEATS = (20, 140)  # about 4 and 29 minutes
ROUNDS = 3
BAR = 1.05


def small_film(repeats: int) -> Path:
    """The small clip so many times over."""
    film = WORK / f"small{repeats}.mp4"
    if not film.exists():
        words = ["-stream_loop", str(repeats - 1), "-i", str(FOOTAGE / SMALL), "-map", "0:v", "-c", "copy", str(film)]
        run([FFMPEG, "-v", "error", "-y", *words])
    return film


def compare(name: str, films: list[Path]) -> float:
    """Print a table of one film's two lengths; returns CPU with children against CPU without, between the lengths."""
    command = str(Path(sys.executable).parent / "movie-tags")
    ways = {"in the worker": ["--in-process"], "in children": []}
    common = ["--output", str(WORK / "children"), "--force", "--direct_num_workers", "1", "--no-thumbnails"]
    figures: dict[tuple[str, Path], list[tuple[float, float, float]]] = {}
    # The least of some rounds, each of all commands: what else the machine does only ever adds.
    for _ in range(ROUNDS):
        for film in films:
            for way, words in ways.items():
                figures.setdefault((way, film), []).append(run([command, "tag", str(film), *common, *words]))
    print(f"| {name} | CPU s, short film | CPU s, long film | between the two | wall s between | peak MB |")
    print("|---|---|---|---|---|---|")
    between = {}
    for way in ways:
        rows = (figures[way, film] for film in films)
        short, long = ([min(values) for values in zip(*row, strict=True)] for row in rows)
        between[way] = long[0] - short[0]
        wall = long[1] - short[1]
        print(f"| {way} | {short[0]:.1f} | {long[0]:.1f} | {between[way]:.1f} | {wall:.1f} | {long[2]:.0f} |")
    ratio = between["in children"] / between["in the worker"]
    print(f"marginal CPU: {ratio:.3f} of decoding in the worker (bar: at most {BAR})")
    return ratio


def main() -> None:
    if not FOOTAGE.is_dir():
        sys.exit(f"no footage at {FOOTAGE}; set MOVIE_TAGS_DATA to a folder that has videos/")
    WORK.mkdir(parents=True, exist_ok=True)
    ratio = compare("720p", [make_film(repeats) for repeats in REPEATS])
    compare("240p", [small_film(repeats) for repeats in SMALL_REPEATS])
    sys.exit(f"above the bar of {BAR}" if ratio > BAR else 0)


if __name__ == "__main__":
    main()
