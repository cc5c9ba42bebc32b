"""Shot detectors on known cuts: F1 of each, then a sweep of histogram bins and distance that set the first one's.

    python benchmarks/shots.py FILM CUTS.tsv

CUTS.tsv has a column `start_s`, the time at which each shot begins. On the sampled clock a cut counts as found when the
boundary lies between the two samples around it.
"""

from __future__ import annotations

import csv
import itertools
import math
import sys
from collections.abc import Sequence

import cv2
import numpy as np

from movie_tags.transforms.shots.detector import DETECTORS, rule_of
from movie_tags.transforms.video.samples import SegmentReader
from movie_tags.transforms.video.segments import plan_segments

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


def scores(gaps: Sequence[float], true: set[int]) -> dict[float, tuple[float, float, float]]:
    """`score` of the boundaries that each threshold gives, from the differences of neighbouring samples."""
    return {
        float(t): score({k + 1 for k, gap in enumerate(gaps) if gap > t}, true) for t in np.linspace(0, 1, 201).round(3)
    }


def told(default: float, by_threshold: dict[float, tuple[float, float, float]]) -> str:
    """Columns of a table: at the default threshold, the best, and where that is reached."""
    best = max(f for _, _, f in by_threshold.values())
    reaching = [t for t, (_, _, f) in by_threshold.items() if f == best]
    p, r, f = by_threshold[default]
    return f"{f:.3f} ({p:.3f}, {r:.3f}) | {best:.3f} | {min(reaching):.3f} to {max(reaching):.3f} |"


def compare_detectors(frames: Sequence[np.ndarray], true: set[int]) -> None:
    print("| detector | threshold | F1 at it (P, R) | best F1 | thresholds that reach it |\n|---|---|---|---|---|")
    for name in DETECTORS:
        rule = rule_of(name)
        detector, seen = rule.detector, [rule.detector.describe(frame) for frame in frames]
        gaps = [detector.difference(seen[max(0, k - detector.context) : k], seen[k]) for k in range(1, len(seen))]
        nearest = round(rule.threshold * 200) / 200
        print(f"| {name} | {rule.threshold:.3f} | {told(nearest, scores(gaps, true))}")


def sweep_histograms(frames: Sequence[np.ndarray], true: set[int]) -> None:
    print("| bins | distance | F1 at 0.5 (P, R) | best F1 | thresholds that reach it |\n|---|---|---|---|---|")
    hsv = [cv2.cvtColor(frame, cv2.COLOR_RGB2HSV) for frame in frames]
    for bins, (name, distance) in itertools.product(BINS, DISTANCES.items()):
        rows = []
        for pixels in hsv:
            counts = cv2.calcHist([pixels], [0, 1, 2], None, list(bins), [0, 180, 0, 256, 0, 256]).ravel()
            rows.append(counts.astype(np.float64) / counts.sum())
        gaps = [distance(a, b) for a, b in itertools.pairwise(rows)]
        print(f"| {'x'.join(map(str, bins))} | {name} | {told(0.5, scores(gaps, true))}")


def main(film: str, cuts: str) -> None:
    frames = [frame.pixels for s in plan_segments(film) for frame in SegmentReader(film, s)]
    with open(cuts, newline="") as lines:
        starts = [float(row["start_s"]) for row in csv.DictReader(lines, delimiter="\t")][1:]
    true = {math.ceil(start) for start in starts}
    print(f"{len(frames)} samples, {len(starts)} cuts, {len(true)} of them apart on the sampled clock")
    compare_detectors(frames, true)
    sweep_histograms(frames, true)


if __name__ == "__main__":
    main(*sys.argv[1:])
