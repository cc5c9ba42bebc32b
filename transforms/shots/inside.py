"""The shots that lie wholly inside a segment of a video, and their key frames, found while its samples pass by."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from movie_tags.records import KeyFrame
from movie_tags.transforms.shots.detector import Compared, Rule, compare
from movie_tags.transforms.shots.stretches import Shot, Stretch
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
    times = clock.seconds(frame.index), clock.seconds(shot.first), clock.seconds(shot.last + 1)
    return KeyFramePicture(KeyFrame(*times), frame.pixels)


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

    def __init__(self, segment: Segment, rule: Rule, max_held_bytes: int = MAX_HELD_BYTES):
        """Args: the segment; what tells where a shot begins; the pixels that may be held."""
        self.segment = segment
        self.rule = rule
        self.held = _Held(max_held_bytes)
        self.begun: int | None = None  # first sample of the current shot, where its beginning is known
        self.tail: deque[np.ndarray] = deque(maxlen=rule.detector.context)
        self.stretch = Stretch((segment.index,) * 2, segment.count, segment.clock, seekable=segment.seekable)

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
        if closed:
            yield from self._end(segment.clock.last_number(self.stretch.samples[1], tally.end_s))
        self.held.clear()
        self.stretch = replace(
            self.stretch,
            tail=tuple(self.tail),
            closed=closed,
            end_s=tally.end_s,
            damaged=tally.damaged,
            warnings=segment.warnings,
        )

    def _take(self, sample: Compared) -> Iterator[KeyFramePicture]:
        """Take the next sample; the shot before ends where another begins with it."""
        known, k = self.stretch, sample.frame.index
        if sample.begins:
            if self.begun is not None:
                yield from self._end(k - 1)
            self.begun = k
            self.held.clear()
            known = replace(self.stretch, cuts=((known.cuts or (k, k))[0], k))
        elif sample.begins is None:
            known = replace(known, head=(*known.head, (k, sample.description)))
        self.stretch = replace(known, samples=((known.samples or (k, k))[0], k), sampled=known.sampled + 1)
        self.tail.append(sample.description)
        if self.begun is not None:
            self.held.add(sample.frame, Shot(self.begun, k).median)

    def _end(self, last: int) -> Iterator[KeyFramePicture]:
        """The key frame of the current shot, which ends with sample `last`; noted as unread where it is not held."""
        shot = Shot(self.begun, last)
        frame = self.held.frame(shot.median)
        unread = self.stretch.unread if frame else (*self.stretch.unread, shot)
        self.stretch = replace(self.stretch, shots=self.stretch.shots + 1, unread=unread)
        if frame:
            yield key_frame(self.segment.clock, shot, frame)
