"""Shots: videos -> shot boundaries by HSV histogram difference -> the median frame of each shot (section 4.4).

A segment of a video cannot know the shots that cross its borders. What it says of its own samples (`Stretch`) is small
and joins with its neighbour's by an associative operation (`join`), so that shots are found without moving frames: the
segment itself hands on the key frames of the shots that lie wholly inside it, and joining tells which samples are the
key frames of the others. Those are read again, as are the key frames of shots too long to be held in memory.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import apache_beam as beam
import cv2
import numpy as np
from apache_beam.metrics import Metrics

from movie_tags.progress import report_progress
from movie_tags.storage import is_remote
from movie_tags.transforms.video.decoding import Decoding
from movie_tags.transforms.video.limits import Limits
from movie_tags.transforms.video.reader import Failure, Video, failure_of, use_one_thread
from movie_tags.transforms.video.sampling import Draft, Frame, SampleClock, Segment, Tally

HISTOGRAM_BINS = (12, 3, 3)
"""Bins of hue, saturation and value. Set by benchmarks/shots.py, as is the distance."""

MAX_HELD_BYTES = 64 * 1024 * 1024
"""Pixels of a shot that are held while its end is awaited; of a longer shot the median frame is read again."""


@dataclass(frozen=True, order=True)
class Shot:
    """Samples `first` to `last` of a video, both included; of a draft, the numbers that its pictures stand for."""

    first: int
    last: int

    @property
    def median(self) -> int:
        """The number of the key frame's sample."""
        return (self.first + self.last) // 2


@dataclass(frozen=True)
class KeyFrame:
    """The median frame of a shot.

    Attributes:
        time_s: when it is on screen, in seconds after the video's first frame.
        shot_start_s, shot_end_s: its shot's first sample, and the first sample that is no longer in it, in seconds.
        pixels: uint8 RGB [H, W, 3].
        entropy: bits, of equation 4; NaN before they are known.
        thumbnail: the name of its JPEG file, where one was kept.
    """

    time_s: float
    shot_start_s: float
    shot_end_s: float
    pixels: np.ndarray
    entropy: float = float("nan")
    thumbnail: str = ""


@dataclass(frozen=True)
class Film:
    """What is known of a video when its shots are found.

    Attributes:
        duration_s: from its first frame to the last frame's leaving the screen, in seconds.
        frames_sampled, shots: counts.
        warnings: what a user should know of the file.
    """

    duration_s: float
    frames_sampled: int
    shots: int
    warnings: tuple[str, ...] = ()


def key_frame(clock: SampleClock, shot: Shot, frame: Frame) -> KeyFrame:
    """The key frame of a shot, with its times in seconds."""
    return KeyFrame(clock.seconds(frame.index), clock.seconds(shot.first), clock.seconds(shot.last + 1), frame.pixels)


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
class Compared:
    """A sample beside the one before it: its histogram, float32 [bins], and their difference; None for the first."""

    frame: Frame
    histogram: np.ndarray
    difference: float | None


def compare(frames: Iterable[Frame]) -> Iterator[Compared]:
    """Compare each sample with the one before it: a shot begins where the difference is above the threshold."""
    before: Compared | None = None
    for frame in frames:
        if before is None:
            before = Compared(frame, histogram(frame.pixels), None)
        else:
            still = frame.pixels is before.frame.pixels
            now = before.histogram if still else histogram(frame.pixels)
            before = Compared(frame, now, difference(before.histogram, now))
        yield before


@dataclass(frozen=True)
class Stretch:
    """What one segment, or several neighbours joined, say of their samples.

    Attributes:
        segments: first and last segment, both included.
        count: how many segments the video has.
        clock: the video's sampling clock.
        samples: first and last sample; None where nothing was sampled.
        head, tail: histograms of the first and last sample, float32 [bins].
        sampled: how many samples that are.
        cuts: the first sample of the first and of the last shot that begins inside; None if none does.
        shots: shots begun and ended inside, `unread` included.
        unread: those of them whose key frames nobody has read yet.
        closed: the video's end has ended the last shot.
        end_s: when the last frame leaves the screen, in seconds.
        damaged: packets that could not be decoded.
        seekable: whether the video's container has dependable random access.
        warnings: what a user should know of the file.
    """

    segments: tuple[int, int]
    count: int
    clock: SampleClock
    samples: tuple[int, int] | None = None
    head: np.ndarray | None = None
    tail: np.ndarray | None = None
    sampled: int = 0
    cuts: tuple[int, int] | None = None
    shots: int = 0
    unread: tuple[Shot, ...] = ()
    closed: bool = False
    end_s: float = 0.0
    damaged: int = 0
    seekable: bool = False
    warnings: tuple[str, ...] = ()


def join(left: Stretch, right: Stretch, threshold: float) -> Stretch:
    """Join two neighbouring stretches of a video. Associative.

    Args:
        left, right: the stretches; `right` begins with the segment after `left`'s last.
        threshold: a difference above it is a shot boundary.
    """
    assert left.segments[1] + 1 == right.segments[0], "only neighbours can be joined"
    whole = replace(
        left,
        segments=(left.segments[0], right.segments[1]),
        sampled=left.sampled + right.sampled,
        shots=left.shots + right.shots,
        unread=left.unread + right.unread,
        closed=right.closed,
        end_s=max(left.end_s, right.end_s),
        damaged=left.damaged + right.damaged,
        warnings=left.warnings + right.warnings,
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
        unread=tuple(sorted((*whole.unread, *ended))),
    )


def close(stretch: Stretch) -> Stretch:
    """The stretch of a whole video, whose last shot ends with the video.

    Raises:
        ValueError: it is not whole, or nothing was sampled.
    """
    if stretch.segments != (0, stretch.count - 1):
        first, last = stretch.segments
        raise ValueError(f"of its segments 0 to {stretch.count - 1} only {first} to {last} came back")
    if stretch.samples is None or stretch.cuts is None:
        raise ValueError("no frame could be sampled")
    if stretch.closed:
        return stretch
    last_shot = Shot(stretch.cuts[1], stretch.clock.last_number(stretch.samples[1], stretch.end_s))
    return replace(stretch, shots=stretch.shots + 1, unread=(*stretch.unread, last_shot), closed=True)


class _Held:
    """The second half of a shot's frames as it grows, or nothing any more when that half is too large."""

    def __init__(self, max_bytes: int):
        self.max_bytes = max_bytes
        self.clear()

    def clear(self) -> None:
        self.frames: deque[Frame] = deque()
        self.bytes = 0
        self.overflowed = False

    def add(self, frame: Frame, median: int) -> None:
        """Take the shot's next frame, and let go those before its median so far."""
        if self.overflowed:
            return
        if not self.frames or self.frames[-1].pixels is not frame.pixels:  # a still picture is held once
            self.bytes += frame.pixels.nbytes
        self.frames.append(frame)
        while len(self.frames) > 1 and self.frames[1].index <= median:
            gone = self.frames.popleft()
            if self.frames[0].pixels is not gone.pixels:
                self.bytes -= gone.pixels.nbytes
        if self.bytes > self.max_bytes:
            self.clear()
            self.overflowed = True

    def frame(self, k: int) -> Frame | None:
        """What is on screen at sample k, where it is held: the last frame that is not later."""
        return next((frame for frame in reversed(self.frames) if frame.index <= k), None)


class ShotFinder:
    """Finds the shots that lie wholly inside a segment, and says of the others what joining needs.

    Attributes:
        stretch: what is known of the segment, once all of its key frames were taken.
    """

    def __init__(self, segment: Segment, threshold: float, max_held_bytes: int = MAX_HELD_BYTES):
        """Args: the segment; a difference above the threshold is a shot boundary; the pixels that may be held."""
        self.segment = segment
        self.threshold = threshold
        self.held = _Held(max_held_bytes)
        self.stretch = Stretch((segment.index,) * 2, segment.count, segment.clock)

    def key_frames(self, frames: Iterable[Frame], tally: Tally | None = None) -> Iterator[KeyFrame]:
        """The key frame of each shot inside, as soon as its shot has ended.

        Args:
            frames: the segment's samples in order.
            tally: what is met while they are read, whole when they end; a draft's last shot ends by it.
        """
        segment, clock = self.segment, self.segment.clock
        held, tally = self.held, Tally() if tally is None else tally
        samples = cuts = head = tail = None
        begun: int | None = None  # first sample of the current shot, where its beginning is known
        shots = sampled = 0
        unread: list[Shot] = []

        def end(shot: Shot) -> Iterator[KeyFrame]:
            frame = held.frame(shot.median)
            if frame is None:
                unread.append(shot)
            else:
                yield key_frame(clock, shot, frame)

        for sample in compare(frames):
            k = sample.frame.index
            sampled += 1
            if samples is None:
                head = sample.histogram
                is_cut = k == 0
            else:
                is_cut = sample.difference > self.threshold
            samples, tail = ((samples or (k, k))[0], k), sample.histogram
            if is_cut:
                if begun is not None:
                    yield from end(Shot(begun, k - 1))
                    shots += 1
                begun = k
                cuts = ((cuts or (k, k))[0], k)
                held.clear()
            if begun is not None:
                held.add(sample.frame, Shot(begun, k).median)
        closed = begun is not None and segment.index == segment.count - 1
        if closed:
            yield from end(Shot(begun, clock.last_number(samples[1], tally.end_s)))
            shots += 1
        held.clear()
        self.stretch = replace(
            self.stretch,
            samples=samples,
            head=head,
            tail=tail,
            sampled=sampled,
            cuts=cuts,
            shots=shots,
            unread=tuple(unread),
            closed=closed,
            end_s=tally.end_s,
            damaged=tally.damaged,
            seekable=segment.seekable,
            warnings=segment.warnings,
        )


def join_all(stretches: Iterable[Stretch], threshold: float) -> list[Stretch]:
    """Join whichever of some stretches of one video are neighbours; those left apart come in order."""
    joined: list[Stretch] = []
    for stretch in sorted(stretches, key=lambda stretch: stretch.segments):
        if joined and joined[-1].segments[1] + 1 == stretch.segments[0]:
            joined[-1] = join(joined[-1], stretch, threshold)
        else:
            joined.append(stretch)
    return joined


class JoinStretches(beam.CombineFn):
    """Joins the stretches of a video's segments, in whatever order they come: to one, unless a segment is missing."""

    def __init__(self, threshold: float):
        self.threshold = threshold

    def create_accumulator(self) -> list[Stretch]:
        return []

    def add_input(self, accumulator: list[Stretch], stretch: Stretch) -> list[Stretch]:
        return join_all([*accumulator, stretch], self.threshold)

    def merge_accumulators(self, accumulators: Iterable[list[Stretch]]) -> list[Stretch]:
        return join_all((stretch for stretches in accumulators for stretch in stretches), self.threshold)

    def extract_output(self, accumulator: list[Stretch]) -> list[Stretch]:
        return accumulator


class FindShots(beam.PTransform):
    """Videos -> what is known of them, and the key frames of their shots.

    The result has a collection for each output: INSIDE and CROSSING hold (Video, KeyFrame) of the shots that lie inside
    a segment and of those whose key frames had to be read again (kept apart, since a flatten would hold pixels), FILMS
    (Video, Film), FAILED (Video, Failure).
    """

    INSIDE, CROSSING, FILMS, FAILED = "inside", "crossing", "films", "failed"

    def __init__(
        self,
        fps: float,
        threshold: float,
        segment_length: float | None,
        limits: Limits | None = Limits(),
        draft: Draft | None = None,
    ):
        """
        Args:
            fps: samples a second.
            threshold: the difference above which a shot begins.
            segment_length: the shortest segment, in seconds.
            limits: of the processes in which films are decoded; None decodes in the workers themselves.
            draft: what a draft may leave out; None samples exactly.
        """
        super().__init__()
        self.decoding = Decoding(limits)
        self.fps = fps
        self.threshold = threshold
        self.segment_length = segment_length
        self.draft = draft

    def expand(self, videos: beam.PCollection) -> dict[str, beam.PCollection]:
        planned = videos | "Plan" >> beam.ParDo(
            _PlanSegments(self.decoding, self.fps, self.segment_length, self.draft)
        ).with_outputs(self.FAILED, main="segments")
        found = (
            planned.segments
            | "Spread" >> beam.Reshuffle()
            | "Find"
            >> beam.ParDo(_FindInside(self.decoding, self.threshold)).with_outputs(
                _FindInside.STRETCHES, self.FAILED, main=self.INSIDE
            )
        )
        joined = found[_FindInside.STRETCHES] | "Join" >> beam.CombinePerKey(JoinStretches(self.threshold))
        closed = joined | "Close" >> beam.ParDo(_Close()).with_outputs(_Close.UNREAD, self.FAILED, main=self.FILMS)
        crossing = (
            closed[_Close.UNREAD]
            | "SpreadUnread" >> beam.Reshuffle()
            | "ReadAgain" >> beam.ParDo(_ReadAgain(self.decoding)).with_outputs(self.FAILED, main=self.CROSSING)
        )
        failed = [step[self.FAILED] for step in (planned, found, closed, crossing)] | "Failed" >> beam.Flatten()
        return {
            self.INSIDE: found[self.INSIDE],
            self.CROSSING: crossing[self.CROSSING],
            self.FILMS: closed[self.FILMS],
            self.FAILED: failed,
        }


def _failed(video: Video, error: Exception, stage: str) -> beam.pvalue.TaggedOutput:
    return beam.pvalue.TaggedOutput(FindShots.FAILED, (video, failure_of(error, stage)))


def _report(video: Video, segments: int, **what) -> None:
    """Say that one of a video's segments is done, and its share of the file's bytes, as far as these are known here."""
    size = 0
    if not is_remote(video.uri):
        with contextlib.suppress(OSError):
            size = os.path.getsize(video.uri)
    report_progress(video=video.id, segments=segments, bytes=round(size / segments), **what)


class _PlanSegments(beam.DoFn):
    """Video -> (video, segment) for each of its segments."""

    def __init__(self, decoding: Decoding, fps: float, segment_length: float | None, draft: Draft | None):
        self.decoding = decoding
        self.fps = fps
        self.segment_length = segment_length
        self.draft = draft
        self.planned = Metrics.counter("sampling", "segments_planned")
        self.failed = Metrics.counter("sampling", "videos_not_opened")
        self.decoded = Metrics.counter("sampling", "frames_decoded")

    def process(self, video: Video) -> Iterator:
        try:
            segments = self.decoding.plan(video.uri, self.fps, self.segment_length, self.draft)
        except Exception as error:  # whatever a storage client or a decoder may raise costs this video alone
            self.failed.inc()
            _report(video, 1)
            yield _failed(video, error, "opening")
            return
        self.decoded.inc()
        self.planned.inc(len(segments))
        for segment in segments:
            yield video, segment


class _FindInside(beam.DoFn):
    """(video, segment) -> (video, key frame) of each shot inside; (video, stretch) in the output STRETCHES."""

    STRETCHES = "stretches"

    def __init__(self, decoding: Decoding, threshold: float):
        self.decoding = decoding
        self.threshold = threshold
        self.frames = Metrics.counter("shots", "frames_sampled")
        self.found = Metrics.counter("shots", "shots_inside_segments")
        self.decoded = Metrics.counter("sampling", "frames_decoded")
        self.damaged = Metrics.counter("sampling", "packets_damaged")

    def setup(self) -> None:
        use_one_thread()

    def process(self, element: tuple[Video, Segment]) -> Iterator:
        video, segment = element
        finder, tally = ShotFinder(segment, self.threshold), Tally()
        found = 0
        try:
            for item in finder.key_frames(self.decoding.samples(video.uri, segment, tally), tally):
                found += 1
                yield video, item
        except Exception as error:  # whatever a storage client or a decoder may raise costs this video alone
            _report(video, segment.count)
            yield _failed(video, error, "sampling")
            return
        stretch = finder.stretch
        self.frames.inc(stretch.sampled)
        self.found.inc(found)
        self.decoded.inc(tally.decoded)
        self.damaged.inc(stretch.damaged)
        clock, begun = segment.clock, segment.start
        begun_s = 0.0 if begun is None else float((begun - clock.origin) * clock.time_base)
        ended_s = stretch.end_s if segment.end is None else float((segment.end - clock.origin) * clock.time_base)
        seconds = max(0.0, ended_s - begun_s)
        _report(video, segment.count, seconds=seconds, key_frames=found)
        yield beam.pvalue.TaggedOutput(self.STRETCHES, (video, stretch))


@dataclass(frozen=True)
class _Unread:
    """Shots of a video whose key frames are to be read again in one pass."""

    clock: SampleClock
    shots: tuple[Shot, ...]


class _Close(beam.DoFn):
    """(video, joined stretches) -> (video, film); (video, shots to read again) in the output UNREAD."""

    UNREAD = "unread"

    def process(self, element: tuple[Video, list[Stretch]]) -> Iterator:
        video, stretches = element
        if len(stretches) != 1:
            there = ", ".join(f"{first} to {last}" for first, last in (stretch.segments for stretch in stretches))
            reason = f"of its segments 0 to {stretches[0].count - 1} only {there} came back; run again"
            yield beam.pvalue.TaggedOutput(FindShots.FAILED, (video, Failure("accounting", reason, again=True)))
            return
        try:
            whole = close(stretches[0])
        except ValueError as error:
            lost = stretches[0].segments != (0, stretches[0].count - 1)
            failure = Failure("accounting" if lost else "sampling", str(error), again=lost)
            yield beam.pvalue.TaggedOutput(FindShots.FAILED, (video, failure))
            return
        # Where a seek lands by guess, each pass would decode from the film's beginning: one does for all.
        passes = [(shot,) for shot in whole.unread] if whole.seekable else [whole.unread] if whole.unread else []
        for shots in passes:
            yield beam.pvalue.TaggedOutput(self.UNREAD, (video, _Unread(whole.clock, shots)))
        damage = (f"{whole.damaged} damaged packets were passed over",) if whole.damaged else ()
        yield video, Film(whole.end_s, whole.sampled, whole.shots, (*damage, *whole.warnings))


class _ReadAgain(beam.DoFn):
    """(video, shots to read again) -> (video, key frame)."""

    def __init__(self, decoding: Decoding):
        self.decoding = decoding
        self.read = Metrics.counter("shots", "shots_read_again")
        self.decoded = Metrics.counter("sampling", "frames_decoded")

    def setup(self) -> None:
        use_one_thread()

    def process(self, element: tuple[Video, _Unread]) -> Iterator:
        video, unread = element
        unseen = list(unread.shots)
        tally = Tally()
        try:
            medians = [shot.median for shot in unseen]
            for frame in self.decoding.samples_again(video.uri, unread.clock, medians, tally):
                shot = next(shot for shot in unseen if shot.first <= frame.index <= shot.last)
                unseen.remove(shot)
                self.read.inc()
                report_progress(video=video.id, key_frames=1)
                yield video, key_frame(unread.clock, shot, frame)
        except Exception as error:
            yield _failed(video, error, "shots")
            return
        self.decoded.inc(tally.decoded)
        for shot in unseen:
            reason = f"the frame at {unread.clock.seconds(shot.median):g} s could not be read a second time"
            yield beam.pvalue.TaggedOutput(FindShots.FAILED, (video, Failure("shots", reason)))
