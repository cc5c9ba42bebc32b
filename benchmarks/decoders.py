"""What decoding in processes with limits costs: films tagged with and without them, side by side in one run.

    python benchmarks/decoders.py        (needs the shared footage: MOVIE_TAGS_DATA)

A 720p film is made from the footage at two lengths, and another at 240p, where pictures weigh most beside their
decoding; the differences between the two lengths leave start-up out.
"""

from __future__ import annotations

import sys
from pathlib import Path

from measuring import COMMAND, FOOTAGE, WORK, Cost, make_film, measure, median, need_footage, repeat

SMALL = "clips/bear_catching_fish_240p.mp4"
REPEATS = (2, 9)  # about 5 and 20 minutes
SMALL_REPEATS = (20, 140)  # about 4 and 29 minutes
ROUNDS = 3
BAR = 1.05


def compare(name: str, films: list[Path]) -> float:
    """Print a table of one film's two lengths; returns marginal CPU with decoder processes against without."""
    ways = {"in the worker": ["--in-process"], "in decoder processes": []}
    common = ["--output", str(WORK / "decoders"), "--force", "--direct_num_workers", "1", "--no-thumbnails"]
    figures: dict[tuple[str, Path], list[Cost]] = {}
    for _ in range(ROUNDS):
        for film in films:
            for way, words in ways.items():
                figures.setdefault((way, film), []).append(measure([*COMMAND, str(film), *common, *words]))
    print(f"| {name} | CPU s, short film | CPU s, long film | between the two | wall s between | peak MB |")
    print("|---|---|---|---|---|---|")
    between = {}
    for way in ways:
        short, long = (median(figures[way, film]) for film in films)
        between[way] = long.cpu_s - short.cpu_s
        wall = long.wall_s - short.wall_s
        print(
            f"| {way} | {short.cpu_s:.1f} | {long.cpu_s:.1f} | {between[way]:.1f} | {wall:.1f} "
            f"| {long.peak_gb * 1000:.0f} |"
        )
    ratio = between["in decoder processes"] / between["in the worker"]
    print(f"marginal CPU: {ratio:.3f} of decoding in the worker (bar: at most {BAR})")
    return ratio


def main() -> None:
    need_footage()
    ratio = compare("720p", [make_film(repeats) for repeats in REPEATS])
    compare("240p", [repeat(FOOTAGE / SMALL, n, WORK / f"small{n}.mp4") for n in SMALL_REPEATS])
    sys.exit(f"above the bar of {BAR}" if ratio > BAR else 0)


if __name__ == "__main__":
    main()
