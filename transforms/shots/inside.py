"""The shots that lie wholly inside a segment of a video, and their key frames, found while its samples pass by."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from movie_tags.records import SAMPLED, KeyFrame
from movie_tags.transforms.shots.cuts import Cut
from movie_tags.transforms.shots.detector import Compared, Rule, compare
from movie_tags.transforms.shots.stretches import Boundary, Shot, Stretch, film_end, shot_between
from movie_tags.transforms.video.between import Between
from movie_tags.transforms.video.clock import Clock
from movie_tags.transforms.video.samples import Frame
from movie_tags.transforms.video.screen import Tally
from movie_tags.transforms.video.segments import Segment

MAX_HELD_BYTES = 64 * 1024 * 1024
"""Pixels of a shot that are held while its end is awaited; of a longer shot the median frame is read again."""


@dataclass(frozen=True)
class KeyFramePicture:
    """The median frame of a shot: its row, and its pixels, uint8 RGB [H, W, 3]."""

    frame: KeyFrame
    pixels: np.ndarray


def key_frame(clock: Clock, shot: Shot, frame: Frame) -> KeyFramePicture:
    """The key frame of a shot, with its times in seconds."""
    begins, ends = shot.begins, shot.ends
    start = clock.seconds(shot.first) if begins is None else seconds_of(clock, begins)
    end = clock.seconds(shot.last + 1) if begins is None or ends is None else seconds_of(clock, ends)
    how = SAMPLED if begins is None else begins.how
    return KeyFramePicture(KeyFrame(clock.seconds(frame.index), start, end, cut=how), frame.pixels)


def seconds_of(clock: Clock, cut: Cut) -> float:
    """When a cut is, in seconds after the video's first frame."""
    return float((cut.at - clock.origin) * clock.time_base)


class _Held:
    """Bounded buffer: the second half of a growing shot's frames, or nothing any more when that half is too large."""

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

    def __init__(
        self,
        segment: Segment,
        rule: Rule,
        max_held_bytes: int = MAX_HELD_BYTES,
        locate: Callable[[Between], Cut] | None = None,
    ):
        """
        Args:
            segment: the segment.
            rule: tells where a shot begins.
            max_held_bytes: the pixels that may be held.
            locate: finds the true cut between two samples; None where none is wanted.
        """
        self.segment = segment
        self.rule = rule
        self.locate = locate
        self.held = _Held(max_held_bytes)
        self.begun: Boundary | None = None  # of the current shot, where its beginning is known
        self.tail: deque[np.ndarray] = deque(maxlen=rule.detector.context)
        self.stretch = Stretch(
            (segment.index,) * 2,
            segment.count,
            segment.clock,
            seekable=segment.seekable,
            start_s=segment.start_s,
        )

    def key_frames(self, frames: Iterable[Frame], tally: Tally | None = None) -> Iterator[KeyFramePicture]:
        """The key frame of each shot inside, as soon as its shot has ended.

        Args:
            frames: the segment's samples in order.
            tally: what is met while they are read, whole when they end; a draft's last shot ends by it.
        """
        segment, tally = self.segment, Tally() if tally is None else tally
        for sample in compare(frames, self.rule):
            yield from self._take(sample)
        closed = self.begun is not None and segment.index == segment.count - 1
        if closed and self.stretch.samples is not None:
            yield from self._end(film_end(segment.clock, self.stretch.samples[1], tally.end_s))
        self.held.clear()
        self.stretch = replace(
            self.stretch,
            tail=tuple(self.tail),
            closed=closed,
            end_s=tally.end_s,
            damaged=tally.damaged,
            warnings=(*segment.warnings, *tally.warnings),
        )

    def _take(self, sample: Compared) -> Iterator[KeyFramePicture]:
        """Take the next sample; the shot before ends where another begins with it."""
        known, k = self.stretch, sample.frame.index
        if sample.begins:
            boundary = Boundary(k, self._cut_before(sample.frame))
            if self.begun is not None:
                yield from self._end(boundary)
            self.begun = boundary
            self.held.clear()
            known = replace(self.stretch, cuts=((known.cuts or (boundary,))[0], boundary))
        elif sample.begins is None:
            known = replace(known, head=(*known.head, (k, sample.description)))
        self.stretch = replace(known, samples=((known.samples or (k, k))[0], k), sampled=known.sampled + 1)
        self.tail.append(sample.description)
        if self.begun is not None:
            self.held.add(sample.frame, Shot(self.begun.first, k).median)

    def _cut_before(self, frame: Frame) -> Cut | None:
        """The true cut before a sample with which a shot begins, where it is wanted; the film's beginning is one."""
        if self.locate is None:
            return None
        if frame.index == 0:
            return Cut(self.segment.clock.origin)
        return self.locate(frame.between) if frame.between else None

    def _end(self, after: Boundary) -> Iterator[KeyFramePicture]:
        """The key frame of the current shot, which ends with a boundary; noted as unread where it is not held."""
        if self.begun is None:
            return
        shot = shot_between(self.begun, after)
        frame = self.held.frame(shot.median)
        unread = self.stretch.unread if frame else (*self.stretch.unread, shot)
        self.stretch = replace(self.stretch, shots=self.stretch.shots + 1, unread=unread)
        if frame:
            yield key_frame(self.segment.clock, shot, frame)
