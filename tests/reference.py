"""The paper, sequentially and slowly: an implementation that shares nothing with ours but the frame conversion."""

from __future__ import annotations

import math
from fractions import Fraction

import av
import cv2
import numpy as np

from movie_tags.transforms.video.rgb import to_rgb


def sample(path, fps=1) -> list[np.ndarray]:
    """Decode everything, then take for each k the frame with the latest time not after k / fps seconds."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type = "NONE"
        for packet in container.demux(stream):
            try:
                decoded = stream.codec_context.decode(packet if packet.size else None)
            except av.error.FFmpegError:
                continue
            frames += [(frame.pts * stream.time_base, frame.duration * stream.time_base, frame) for frame in decoded]
    origin = frames[0][0]
    times = [time - origin for time, _, _ in frames]
    last = max(times)
    end = last + max(duration for time, duration, _ in frames if time - origin == last)
    samples, k = [], 0
    while Fraction(k) / Fraction(fps) <= last:
        samples.append(max(i for i, time in enumerate(times) if time <= Fraction(k) / Fraction(fps)))
        k += 1
    if Fraction(k) / Fraction(fps) < end:
        samples.append(times.index(last))
    return [to_rgb(frames[i][2]) for i in samples]


def is_boundary(a: np.ndarray, b: np.ndarray, threshold: float) -> bool:
    """Histogram difference with NumPy's own histogram."""
    rows = []
    for pixels in (a, b):
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV).reshape(-1, 3)
        counts, _ = np.histogramdd(hsv, bins=(12, 3, 3), range=((0, 180), (0, 256), (0, 256)))
        rows.append(counts / len(hsv))
    return 0.5 * np.abs(rows[0] - rows[1]).sum() > threshold


def shots(samples: list[np.ndarray], threshold: float = 0.5) -> list[tuple[int, int]]:
    """(first, last) sample of each shot."""
    starts = [0] + [k for k in range(1, len(samples)) if is_boundary(samples[k - 1], samples[k], threshold)]
    return [(start, end - 1) for start, end in zip(starts, [*starts[1:], len(samples)], strict=True)]


def entropy(pixels: np.ndarray) -> float:
    """Equation 4 over Y, Cr and Cb, by counting in a dictionary."""
    total = 0.0
    for channel in cv2.split(cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)):
        values, counts = np.unique(channel, return_counts=True)
        total += sum(-n / channel.size * math.log2(n / channel.size) for n in counts.tolist())
        assert len(values) == len(counts)
    return total


def strengths(tops: list[list[tuple[str, float]]]) -> dict[str, tuple[int, float, float]]:
    """Equations 5 and 6: tag -> (n, W, R)."""
    everything = [pair for top in tops for pair in top]
    found = {}
    for tag in {tag for tag, _ in everything}:
        p = [probability for name, probability in everything if name == tag]
        found[tag] = (len(p), len(p) / len(everything) * sum(p))
    weights = [w for _, w in found.values()]
    low, high = min(weights), max(weights)
    return {tag: (n, w, (w - low) / (high - low) if high > low else 1.0) for tag, (n, w) in found.items()}
