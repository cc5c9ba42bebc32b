"""What is met while a video is read: counts, and until when pictures are shown."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import av

from movie_tags.transforms.video.clock import MAX_GAP_S, Clock, Shown


@dataclass
class Tally:
    """What was met while samples were read.

    Attributes:
        decoded: frames decoded.
        damaged: packets that could not be decoded.
        end_s: when the last frame seen leaves the screen, in seconds after the video's first frame.
    """

    decoded: int = 0
    damaged: int = 0
    end_s: float = 0.0

    def add(self, other: Tally) -> None:
        self.decoded += other.decoded
        self.damaged += other.damaged
        self.end_s = max(self.end_s, other.end_s)


class Screen:
    """Notes until when something is on screen: `end`, in ticks, here and, in seconds, in the tally."""

    def __init__(self, clock: Clock, tally: Tally):
        self.clock = clock
        self.tally = tally
        self.end = clock.origin

    def note(self, pts: int, duration: int | None) -> None:
        """A picture is shown from `pts` on, so many ticks long; for at most MAX_GAP_S and for no less than a tick."""
        shown = min(math.floor(MAX_GAP_S / self.clock.time_base), duration or 0)
        self.end = max(self.end, pts + max(1, shown))
        ended_s = float((pts + shown - self.clock.origin) * self.clock.time_base)
        self.tally.end_s = max(self.tally.end_s, ended_s)

    def watch(self, frames: Shown) -> Iterator[tuple[int, av.VideoFrame]]:
        """The same frames, noted as they come."""
        for pts, frame in frames:
            self.note(pts, frame.duration)
            yield pts, frame
