"""Shots: frames -> shot boundaries by HSV histogram difference -> the median frame of each shot (section 4.4).

A segment of a video cannot know the shots that cross its borders. What it says of its own samples (`Run`) is small and
joins with its neighbour's by an associative operation (`join`), so that shots are found without moving frames: the
segment itself hands on the key frames of the shots that lie wholly inside it, and joining tells which samples are the
key frames of the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import apache_beam as beam
import cv2
import numpy as np
from apache_beam.metrics import Metrics

from movie_tags.transforms.progress import report_progress
from movie_tags.transforms.sampling import (
    Frame,
    SampleClock,
    Segment,
    SegmentReader,
    Video,
    VideoError,
    reason_of,
    use_one_thread,
)

HISTOGRAM_BINS = (12, 3, 3)
"""Bins of hue, saturation and value. Set by benchmarks/shots.py, as is the distance."""


@dataclass(frozen=True, order=True)
class Shot:
    """Samples `first` to `last` of a video, both included."""

    first: int
    last: int

    @property
    def median(self) -> int:
        """The number of the key frame's sample."""
        return (self.first + self.last) // 2


@dataclass(frozen=True)
class KeyFrame:
    """The median frame of a shot: uint8 RGB [H, W, 3]."""

    shot: Shot
    pixels: np.ndarray


def histogram(pixels: np.ndarray) -> np.ndarray:
    """Joint HSV histogram of a frame.

    Args:
        pixels: uint8 RGB [H, W, 3].

    Returns:
        float32 [bins], summing to 1.
    """
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, list(HISTOGRAM_BINS), [0, 180, 0, 256, 0, 256])
    return (counts / counts.sum()).ravel().astype(np.float32)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """How far apart two histograms lie: half their L1 distance, the share of pixels that changed bin; in [0, 1]."""
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).sum() / 2)


@dataclass(frozen=True)
class Run:
    """What one segment, or several neighbours joined, say of their samples.

    Attributes:
        segments: first and last segment, both included.
        samples: first and last sample; None where nothing was sampled.
        head, tail: histograms of the first and last sample, float32 [bins].
        cuts: the first sample of the first and of the last shot that begins inside; None if none does.
        shots: shots begun and ended inside, `crossing` included.
        crossing: those of them that were found by joining, whose key frames nobody has read yet.
        closed: the video's end has ended the last shot.
        end_s: when the last frame leaves the screen, in seconds.
        damaged: packets that could not be decoded.
    """

    segments: tuple[int, int]
    samples: tuple[int, int] | None = None
    head: np.ndarray | None = None
    tail: np.ndarray | None = None
    cuts: tuple[int, int] | None = None
    shots: int = 0
    crossing: tuple[Shot, ...] = ()
    closed: bool = False
    end_s: float = 0.0
    damaged: int = 0


def join(left: Run, right: Run, threshold: float) -> Run:
    """Join the runs of two neighbouring stretches of a video. Associative.

    Args:
        left, right: the runs; `right` begins with the segment after `left`'s last.
        threshold: a difference above it is a shot boundary.
    """
    assert left.segments[1] + 1 == right.segments[0], "only neighbours can be joined"
    whole = replace(
        left,
        segments=(left.segments[0], right.segments[1]),
        shots=left.shots + right.shots,
        crossing=left.crossing + right.crossing,
        closed=right.closed,
        end_s=max(left.end_s, right.end_s),
        damaged=left.damaged + right.damaged,
    )
    if right.samples is None:
        return whole
    whole = replace(whole, tail=right.tail)
    if left.samples is None:
        return replace(whole, samples=right.samples, head=right.head, cuts=right.cuts)
    cuts = [*(left.cuts or ()), *(right.cuts or ())]
    if difference(left.tail, right.head) > threshold:
        border = right.samples[0]
        ended = [Shot(left.cuts[1], border - 1)] if left.cuts else []
        ended += [Shot(border, right.cuts[0] - 1)] if right.cuts else []
        cuts.append(border)
    else:
        ended = [Shot(left.cuts[1], right.cuts[0] - 1)] if left.cuts and right.cuts else []
    return replace(
        whole,
        samples=(left.samples[0], right.samples[1]),
        cuts=(min(cuts), max(cuts)) if cuts else None,
        shots=whole.shots + len(ended),
        crossing=tuple(sorted((*whole.crossing, *ended))),
    )


def close(run: Run) -> Run:
    """The run of a whole video, whose last shot ends with the video.

    Raises:
        VideoError: nothing was sampled.
    """
    if run.samples is None or run.cuts is None:
        raise VideoError("no frame could be sampled")
    if run.closed:
        return run
    last = Shot(run.cuts[1], run.samples[1])
    return replace(run, shots=run.shots + 1, crossing=(*run.crossing, last), closed=True)


def find_key_frames(frames: Iterable[Frame], segment: Segment, threshold: float) -> Iterator[KeyFrame | Run]:
    """Yield the key frame of each shot that lies wholly inside a segment, then the segment's run.

    Holds no more than the second half of the current shot's frames.

    Args:
        frames: the segment's samples in order.
        segment: which of the video's segments it is.
        threshold: a difference of normalised histograms above it is a shot boundary.
    """
    kept: deque[Frame] = deque()
    begun: int | None = None  # first sample of the current shot, where its beginning is known
    samples = cuts = head = tail = previous = None
    shots = 0
    for frame in frames:
        if samples is None:
            samples = (frame.index, frame.index)
            head = tail = histogram(frame.pixels)
            is_cut = frame.index == 0
        else:
            before = tail
            tail = before if frame.pixels is previous else histogram(frame.pixels)
            is_cut = difference(before, tail) > threshold
            samples = (samples[0], frame.index)
        if is_cut:
            if begun is not None:
                yield _key_frame(Shot(begun, frame.index - 1), kept)
                shots += 1
            begun = frame.index
            cuts = (cuts[0] if cuts else begun, begun)
            kept.clear()
        previous = frame.pixels
        if begun is not None:
            kept.append(frame)
            while kept[0].index < Shot(begun, frame.index).median:
                kept.popleft()
    closed = begun is not None and segment.index == segment.count - 1
    if closed:
        yield _key_frame(Shot(begun, samples[1]), kept)
        shots += 1
    yield Run((segment.index, segment.index), samples, head, tail, cuts, shots, closed=closed)


def _key_frame(shot: Shot, kept: deque[Frame]) -> KeyFrame:
    return KeyFrame(shot, next(frame.pixels for frame in kept if frame.index == shot.median))


def join_all(runs: Iterable[Run], threshold: float) -> list[Run]:
    """Join whichever of some runs of one video are neighbours; those left apart come in order."""
    joined: list[Run] = []
    for run in sorted(runs, key=lambda run: run.segments):
        if joined and joined[-1].segments[1] + 1 == run.segments[0]:
            joined[-1] = join(joined[-1], run, threshold)
        else:
            joined.append(run)
    return joined


class FindKeyFrames(beam.DoFn):
    """(video, segment) -> (video, clock, key frame) of each shot inside the segment.

    Outputs besides: RUNS, (video id, (clock, run)); FAILED, (video, reason).
    """

    RUNS, FAILED = "runs", "failed"

    def __init__(self, threshold: float):
        self.threshold = threshold
        self.frames = Metrics.counter("shots", "frames_sampled")
        self.found = Metrics.counter("shots", "shots_inside_segments")
        self.damaged = Metrics.counter("sampling", "packets_damaged")

    def setup(self) -> None:
        use_one_thread()

    def process(self, element: tuple[Video, Segment]) -> Iterator:
        video, segment = element
        reader = SegmentReader(video.uri, segment)
        found = 0
        try:
            for item in find_key_frames(reader, segment, self.threshold):
                if isinstance(item, KeyFrame):
                    found += 1
                    yield video, segment.clock, item
                else:
                    run = replace(item, end_s=reader.end_s, damaged=reader.damaged)
        except Exception as error:  # whatever a storage client or a decoder may raise costs this video alone
            yield beam.pvalue.TaggedOutput(self.FAILED, (video, reason_of(error)))
            return
        sampled = run.samples[1] - run.samples[0] + 1 if run.samples else 0
        self.frames.inc(sampled)
        self.found.inc(found)
        self.damaged.inc(run.damaged)
        report_progress(
            video=video.id, segments=segment.count, seconds=float(sampled / segment.clock.fps), key_frames=found
        )
        yield beam.pvalue.TaggedOutput(self.RUNS, (video.id, (segment.clock, run)))


class JoinRuns(beam.CombineFn):
    """Joins (clock, run) of a video's segments, in whatever order they come.

    The result is the clock and the joined runs: one, unless a segment is missing.
    """

    def __init__(self, threshold: float):
        self.threshold = threshold

    def create_accumulator(self) -> tuple:
        return None, []

    def add_input(self, accumulator: tuple, element: tuple[SampleClock, Run]) -> tuple:
        clock, run = element
        return clock, join_all([*accumulator[1], run], self.threshold)

    def merge_accumulators(self, accumulators: Iterable[tuple]) -> tuple:
        accumulators = list(accumulators)
        clock = next((clock for clock, _ in accumulators if clock is not None), None)
        return clock, join_all((run for _, runs in accumulators for run in runs), self.threshold)

    def extract_output(self, accumulator: tuple) -> tuple[SampleClock, list[Run]]:
        return accumulator


class ReadCrossingKeyFrames(beam.DoFn):
    """(video, clock, shot that crosses a segment border) -> (video, clock, key frame), by reading that frame again."""

    FAILED = "failed"

    def __init__(self):
        self.read = Metrics.counter("shots", "shots_across_segments")

    def process(self, element: tuple[Video, SampleClock, Shot]) -> Iterator:
        video, clock, shot = element
        # Any segment but the first tells the reader to seek; it then stops after the one sample.
        nearby = Segment(1, 2, clock, seek=clock.origin)
        try:
            frame = next(iter(SegmentReader(video.uri, nearby, range(shot.median, shot.median + 1))), None)
        except Exception as error:
            yield beam.pvalue.TaggedOutput(self.FAILED, (video, reason_of(error)))
            return
        if frame is None:
            reason = f"the frame at {clock.seconds(shot.median):g} s could not be read a second time"
            yield beam.pvalue.TaggedOutput(self.FAILED, (video, reason))
            return
        self.read.inc()
        report_progress(video=video.id, key_frames=1)
        yield video, clock, KeyFrame(shot, frame.pixels)
