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

from movie_tags.transforms.video.clock import FOREVER, MAX_GAP_S

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
        self.least = -FOREVER  # no decoding time is earlier
        self.end: int | None = None  # when all so far have left the screen
        self.sound = _Sound()
        # In ticks: whole numbers, as every packet is compared.
        self.back = -int(BACK_S[self.may_jump] / self.time_base) if self.in_one_piece else -FOREVER
        self.ahead = int((AHEAD_S if self.may_jump and self.in_one_piece else MAX_GAP_S) / self.time_base)
        self.gap = int(MAX_GAP_S / self.time_base)
        self.longest = int(AHEAD_S / self.time_base)

    def count(self, packets: Iterable[av.Packet], index: int) -> Iterator[av.Packet]:
        """The packets of the stream of that index, with time stamps that go on; those of others are listened to."""
        before: av.Packet | None = None  # held until it is known that nothing jumps away after it
        for packet in self._readable(packets):
            if self.may_jump and packet.stream_index != index:
                self.sound.hear(packet)
            elif packet.size == 0:  # the demuxer's own end mark
                continue
            elif self._follow(packet):
                if before is not None:
                    yield before
                before = packet
            else:
                if before is not None and before.duration:
                    before.duration = min(before.duration, self.frame_ticks)
                break
        if before is not None:
            yield before

    def _readable(self, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        try:
            yield from packets
        except (av.error.InvalidDataError, av.error.PatchWelcomeError):  # of the container: nothing is read beyond
            self.broken = True

    def _follow(self, packet: av.Packet) -> bool:
        """Let a packet follow on those before; returns whether it and what comes after it can."""
        pts, dts = packet.pts, packet.dts
        stamp = pts if dts is None else dts
        if stamp is None:
            return True
        if self.last is not None:
            step = stamp + self.offset - self.last
            if not self.back <= step <= self.ahead and not self._across(packet, step, stamp):
                return False
        self.last = stamp + self.offset
        if self.offset:
            pts = self._shift(packet)
        shown, duration = stamp if pts is None else pts, packet.duration
        until = shown + (duration if duration and 0 < duration < self.longest else self.frame_ticks)
        if self.end is None or (self.end < until and shown - self.end <= self.gap):  # it may be the first beyond a jump
            self.end = until
        self.sound.broken = False
        return True

    def _across(self, packet: av.Packet, step: int, stamp: int) -> bool:
        """Whether time goes on with a packet that is so many ticks off, counted on from it where it begins anew."""
        if not self.in_one_piece:
            self._warn(f"its clock jumps ahead by {self._length(step)} at {{:.0f}} s; what lies beyond was left out")
            return False
        if step < 0 or step > self.gap or not self.sound.lasts_until(stamp * self.time_base):
            what = "start again" if step < 0 else f"jump ahead by {self._length(step)}"
            self._warn(f"its time stamps {what} at {{:.0f}} s, as where recordings were joined or paused: counted on")
            end = 0 if self.end is None else self.end
            self.offset = end - (stamp if packet.pts is None else packet.pts)
            self.least = self.last or 0
            self.begins_anew.add(end)
        return True

    def _shift(self, packet: av.Packet) -> int | None:
        """Count a packet's time stamps on; returns its presentation time."""
        if packet.dts is not None:  # presentation of what came before is not to be overtaken
            packet.dts = max(packet.dts + self.offset, self.least)
        if packet.pts is not None:
            packet.pts += self.offset
        return packet.pts

    def _length(self, ticks: int) -> str:
        seconds = float(ticks * self.time_base)
        return f"{seconds:,.0f} s" if seconds < 30 * 86400 else "more than a month"

    def _warn(self, text: str) -> None:
        """Note a warning; `{}` is where the time stands."""
        if len(self.warnings) < MAX_WARNINGS:
            begun = self.origin if self.origin is not None else 0
            self.warnings.append(text.format(float(((self.end or begun) - begun) * self.time_base)))


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
