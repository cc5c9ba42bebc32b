"""The time line: packets' time stamps as a player counts them, on and on, though a file's own start again or jump.

Joined recordings, DVD cells and recorders that were paused leave time stamps that start again or jump ahead. What is
read in one piece is counted on from there, as the ffmpeg command does for formats that allow for it. In a container
with an index time stamps are what seeks go by: they stay as they are, and what lies beyond a jump is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import av

from movie_tags.transforms.video.clock import MAX_GAP_S

BACK_S = {True: Fraction(1, 10), False: Fraction(1)}
"""Decoding times that go back further start again, in formats that allow for it and in others: ffmpeg's own 0.1 s, and
room for the disorder of others."""

AHEAD_S = 10
"""A longer step ahead is a gap in formats that allow for it, unless the sound goes on through it: ffmpeg's own."""

MAX_WARNINGS = 3
"""More of them would say nothing new of a file."""


@dataclass
class Timeline:
    """Counts the time stamps of one reading of a video's packets.

    Attributes:
        time_base: seconds a tick.
        frame_ticks: how long a frame is shown whose packet does not say.
        in_one_piece: the video is read from its beginning to its end, never by seeks.
        may_jump: its format allows for time stamps that jump (FFmpeg's AVFMT_TS_DISCONT).
        origin: of the times in warnings, in ticks; None before it is known.
        begins_anew: gets the presentation times of packets that do not follow on what was decoded before.
        warnings: what a user should know.
        broken: the container could not be read to its end.
    """

    time_base: Fraction
    frame_ticks: int
    in_one_piece: bool = False
    may_jump: bool = False
    origin: int | None = None
    begins_anew: set[int] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)
    broken: bool = False

    def __post_init__(self):
        self.offset = 0  # added to the file's time stamps
        self.last: int | None = None  # the packet before: its decoding time, counted on
        self.least: int | None = None  # no decoding time is earlier
        self.end: int | None = None  # when all so far have left the screen
        self.sound = _Sound()

    def count(self, packets: Iterable[av.Packet], index: int) -> Iterator[av.Packet]:
        """The packets of the stream of that index, with time stamps that go on; those of others are listened to."""
        before: av.Packet | None = None  # held until it is known that nothing jumps away after it
        for packet in self._readable(packets):
            if packet.stream_index != index:
                self.sound.hear(packet)
                continue
            if packet.size == 0:  # the demuxer's own end mark
                continue
            if not self._follow(packet):
                if before is not None and before.duration:
                    before.duration = min(before.duration, self.frame_ticks)
                break
            if before is not None:
                yield before
            before = packet
        if before is not None:
            yield before

    def _readable(self, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        try:
            yield from packets
        except (av.error.InvalidDataError, av.error.PatchWelcomeError):  # of the container: nothing is read beyond
            self.broken = True

    def _follow(self, packet: av.Packet) -> bool:
        """Let a packet follow on those before; returns whether it and what comes after it can."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return True
        if self.last is not None:
            step = (stamp + self.offset - self.last) * self.time_base
            if step > MAX_GAP_S and not self.in_one_piece:
                self._warn(f"its clock jumps ahead by {_length(step)} at {{:.0f}} s; what lies beyond was left out")
                return False
            if self.in_one_piece and self._is_break(step, stamp):
                self._begin_anew(packet, step)
        self.last = stamp + self.offset
        self._shift(packet)
        self.sound.broken = False
        return True

    def _is_break(self, step: Fraction, stamp: int) -> bool:
        if step < -BACK_S[self.may_jump] or step > MAX_GAP_S:
            return True
        return self.may_jump and step > AHEAD_S and not self.sound.lasts_until(stamp * self.time_base)

    def _begin_anew(self, packet: av.Packet, step: Fraction) -> None:
        """Count on so that a packet's picture follows on the last that was shown."""
        what = "start again" if step < 0 else f"jump ahead by {_length(step)}"
        self._warn(f"its time stamps {what} at {{:.0f}} s, as where recordings were joined or paused: counted on")
        first = packet.pts if packet.pts is not None else packet.dts
        end = 0 if self.end is None else self.end
        self.offset, self.least = end - first, self.last
        self.begins_anew.add(end)

    def _shift(self, packet: av.Packet) -> None:
        if self.offset:
            if packet.pts is not None:
                packet.pts += self.offset
            if packet.dts is not None:
                packet.dts += self.offset
        if self.least is not None and packet.dts is not None:
            packet.dts = max(packet.dts, self.least)  # presentation of what came before is not to be overtaken
        shown = packet.pts if packet.pts is not None else packet.dts
        duration = packet.duration if 0 < (packet.duration or 0) * self.time_base < AHEAD_S else self.frame_ticks
        if self.end is None:
            self.end = shown + duration
        elif (shown - self.end) * self.time_base <= MAX_GAP_S:  # it may be the first beyond a jump
            self.end = max(self.end, shown + duration)

    def _warn(self, text: str) -> None:
        """Note a warning; `{}` is where the time stands."""
        if len(self.warnings) < MAX_WARNINGS:
            begun = self.origin if self.origin is not None else 0
            self.warnings.append(text.format(float(((self.end or begun) - begun) * self.time_base)))


def _length(seconds: Fraction) -> str:
    return f"{float(seconds):,.0f} s" if seconds < 30 * 86400 else "more than a month"


class _Sound:
    """The sound beside the pictures: whether it goes on while no picture comes."""

    def __init__(self) -> None:
        self.last: dict[int, Fraction] = {}  # by stream, in seconds by the file's own time stamps
        self.broken = False  # since the last picture

    def hear(self, packet: av.Packet) -> None:
        if packet.dts is None:
            return
        time = packet.dts * packet.time_base
        before = self.last.get(packet.stream_index, time)
        self.broken = self.broken or not -BACK_S[True] <= time - before <= AHEAD_S
        self.last[packet.stream_index] = time

    def lasts_until(self, time: Fraction) -> bool:
        """Whether sound went on without a break until about then."""
        return not self.broken and any(abs(last - time) <= AHEAD_S for last in self.last.values())
