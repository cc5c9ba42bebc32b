"""Clocks: when each sample of a video is due, in the stream's own ticks."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from movie_tags.transforms.video.screen import Screen

MAX_GAP_S = 3600
"""A longer silence between two frames is a damaged clock, not a still picture."""

FOREVER = 2**63
"""Later than any presentation time, in ticks."""

Shown = Iterable[tuple[int, av.VideoFrame]]
"""Frames in presentation order, each with its presentation time in ticks."""

Numbered = Iterator[tuple[int, av.VideoFrame]]
"""Frames, each with the number of the sample that it is."""


@dataclass(frozen=True)
class Clock(ABC):
    """The instants at which a video is sampled, and which frames are taken at them.

    Attributes:
        origin: presentation time of the video's first frame, in ticks.
        time_base: seconds a tick.
        fps: instants a second.
    """

    origin: int
    time_base: Fraction
    fps: Fraction

    def due(self, k: int) -> Fraction:
        """The presentation time of instant k, in ticks."""
        return self.origin + k / (self.fps * self.time_base)

    def first_due(self, pts: int) -> int:
        """The first instant at or after a presentation time."""
        samples, ticks = self._rate
        return max(0, -((self.origin - pts) * samples // ticks))

    @functools.cached_property
    def _rate(self) -> tuple[int, int]:
        """So many instants fall into so many ticks."""
        return (self.time_base * self.fps).as_integer_ratio()

    @abstractmethod
    def seconds(self, k: int) -> float:
        """The time of number k in seconds after the video's first frame."""

    @abstractmethod
    def last_number(self, number: int, end_s: float) -> int:
        """The last number of a video whose last sample is `number` and which ends at `end_s` seconds."""

    @abstractmethod
    def instant_before(self, number: int) -> int:
        """The instant from which samples are taken to come to the one that stands for a number."""

    @abstractmethod
    def falls_due_from(self, number: int, first: int) -> bool:
        """Whether a sample that was taken from instant `first` on is due there, not before."""

    @abstractmethod
    def to_decode(
        self, packets: Iterable[av.Packet], end: int | None, screen: Screen, fresh: set[int]
    ) -> Iterable[av.Packet]:
        """The packets that are decoded, in decoding order.

        Args:
            packets: in decoding order, from one that can be decoded on.
            end: where the next segment takes over, in ticks, a key frame's time; None for the video's end.
            screen: is told until when pictures are shown.
            fresh: gets the presentation times of key frames before which packets were left out.
        """

    @abstractmethod
    def choose(self, frames: Shown, first: int, end: int | None, screen: Screen) -> Numbered:
        """The samples from instant `first` on and before presentation time `end`, in ticks, with their numbers.

        Args:
            frames: in presentation order; stragglers are passed over.
            first: the first instant. If the first frame is later, nothing comes out.
            end: where the next segment takes over; None for the video's end.
            screen: knows, once all frames were seen, until when the last is shown.
        """

    @abstractmethod
    def pick(self, wanted: Collection[int], samples: Numbered) -> Numbered:
        """Those of some samples that stand for the numbers wanted."""
