"""Sweep of histogram bins and distance on known cuts; it sets the defaults of transforms/shots.py.

    python benchmarks/shots.py FILM CUTS.tsv

CUTS.tsv has a column `start_s`, the time at which each shot begins. On the sampled clock a cut counts as found when the
boundary lies between the two samples around it.
"""

from __future__ import annotations

import csv
import itertools
import math
import sys

import cv2
import numpy as np

from movie_tags.transforms.video.sampling import SegmentReader, plan_segments

BINS = ((8, 2, 2), (8, 4, 4), (16, 4, 4), (12, 3, 3), (18, 3, 3), (32, 4, 4), (16, 8, 8), (32, 8, 8), (50, 8, 8))
DISTANCES = {
    "half L1": lambda a, b: np.abs(a - b).sum() / 2,
    "Hellinger": lambda a, b: math.sqrt(max(0.0, 1 - np.sqrt(a * b).sum())),
    "chi square": lambda a, b: ((a - b) ** 2 / np.maximum(a + b, 1e-12)).sum() / 2,
    "1 - correlation": lambda a, b: min(1.0, 1 - np.corrcoef(a, b)[0, 1]),
}


def score(found: set[int], true: set[int]) -> tuple[float, float, float]:
    """Precision, recall and F1 of boundaries, each named by the sample after it."""
    right = len(found & true)
    precision, recall = right / max(1, len(found)), right / max(1, len(true))
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)


def main(film: str, cuts: str) -> None:
    frames = [frame.pixels for s in plan_segments(film) for frame in SegmentReader(film, s)]
    with open(cuts, newline="") as lines:
        starts = [float(row["start_s"]) for row in csv.DictReader(lines, delimiter="\t")][1:]
    true = {math.ceil(start) for start in starts}
    print(f"{len(frames)} samples, {len(starts)} cuts, {len(true)} of them apart on the sampled clock")
    print("| bins | distance | F1 at 0.5 (P, R) | best F1 | thresholds that reach it |\n|---|---|---|---|---|")
    for bins, (name, distance) in itertools.product(BINS, DISTANCES.items()):
        rows = []
        for frame in frames:
            hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
            counts = cv2.calcHist([hsv], [0, 1, 2], None, list(bins), [0, 180, 0, 256, 0, 256]).ravel()
            rows.append(counts.astype(np.float64) / counts.sum())
        gaps = [distance(a, b) for a, b in itertools.pairwise(rows)]
        by_threshold = {
            t: score({k + 1 for k, gap in enumerate(gaps) if gap > t}, true)
            for t in np.linspace(0.05, 0.95, 91).round(2)
        }
        best = max(f for _, _, f in by_threshold.values())
        reaching = [t for t, (_, _, f) in by_threshold.items() if f == best]
        p, r, f = by_threshold[0.5]
        print(
            f"| {'x'.join(map(str, bins))} | {name} | {f:.3f} ({p:.3f}, {r:.3f}) | {best:.3f} "
            f"| {min(reaching):.2f} to {max(reaching):.2f} |"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
