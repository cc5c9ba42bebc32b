"""What is met while a video is read: counts, and until when pictures are shown."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import av

from movie_tags.transforms.video.clock import MAX_GAP_S, Clock, Shown

DISORDER_S = 1
"""Frames that come so much too late are no mere disorder of a decoder's output."""


@dataclass
class Tally:
    """What was met while samples were read.

    Attributes:
        decoded: frames decoded.
        damaged: packets that could not be decoded.
        end_s: when the last frame seen leaves the screen, in seconds after the video's first frame.
        warnings: what a user should know of what was read.
    """

    decoded: int = 0
    damaged: int = 0
    end_s: float = 0.0
    warnings: tuple[str, ...] = ()

    def add(self, other: Tally) -> None:
        self.decoded += other.decoded
        self.damaged += other.damaged
        self.end_s = max(self.end_s, other.end_s)
        self.warn(*other.warnings)

    def warn(self, *warnings: str) -> None:
        """Note warnings, each once."""
        self.warnings = tuple(dict.fromkeys((*self.warnings, *warnings)))


class Screen:
    """Notes until when something is on screen: `end`, in ticks, here and, in seconds, in the tally."""

    def __init__(self, clock: Clock, tally: Tally):
        self.clock = clock
        self.tally = tally
        self.end = clock.origin
        self.latest: int | None = None
        self.warning = ""  # of the first picture that could not be shown
        self.longest = math.floor(MAX_GAP_S / clock.time_base)
        self.disorder = math.ceil(DISORDER_S / clock.time_base)

    def note(self, pts: int, duration: int | None) -> bool:
        """A picture is shown from `pts` on, so many ticks long; for at most MAX_GAP_S and for no less than a tick.

        Returns:
            whether that can be: more than MAX_GAP_S after all before, its time stamp is damaged.
        """
        if self.latest is not None and pts > self.latest + self.longest:
            self._warn(f"jump ahead by {float((pts - self.latest) * self.clock.time_base):.0f} s")
            return False
        self.latest = pts if self.latest is None else max(self.latest, pts)
        shown = min(self.longest, duration or 0)
        self.end = max(self.end, pts + max(1, shown))
        second = self.clock.time_base
        ended_s = (pts + shown - self.clock.origin) * second.numerator / second.denominator
        self.tally.end_s = max(self.tally.end_s, ended_s)
        return True

    def watch(self, frames: Shown) -> Iterator[tuple[int, av.VideoFrame]]:
        """The same frames, noted as they come, but for those that cannot be shown then."""
        latest = None
        for pts, frame in frames:
            if latest is not None and pts < latest - self.disorder:
                self._warn("go back")
            if self.note(pts, frame.duration):
                latest = pts if latest is None else max(latest, pts)
                yield pts, frame

    def _warn(self, what: str) -> None:
        at = float(((self.latest or 0) - self.clock.origin) * self.clock.time_base)
        self.warning = self.warning or f"the times of its pictures {what} at {at:.0f} s; some were left out"
