"""Draft sampling: little but the codec's own key frames is decoded.

Of the codec's key frames those on screen at each instant are taken, each once and at its own presentation time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av

from movie_tags.transforms.video.clock import FOREVER, Clock, Numbered, Shown
from movie_tags.transforms.video.screen import Screen

MAX_HELD_PACKET_BYTES = 64 * 1024 * 1024
"""More bytes between two codec key frames than this are decoded without waiting for the second."""


@dataclass(frozen=True)
class Draft:
    """What a draft may leave out.

    Attributes:
        max_gap: seconds; what lies between codec key frames further apart is sampled exactly.
        min_length: seconds; a shorter film is sampled exactly throughout, as its tags would hang on a few pictures.
    """

    max_gap: float
    min_length: float


@dataclass(frozen=True)
class DraftClock(Clock):
    """The clock of a draft: every tick after the video's first frame has a number, and a picture stands for the ticks
    from its own presentation time until the next picture's.

    Pictures are taken at the instants at which exact sampling would take them. Between two codec key frames at most
    `max_gap` apart the first stands for all; in a longer gap frames are taken as exact sampling does. A picture is
    taken once, and its number is the ticks from the video's first frame to its own presentation time.

    Attributes:
        max_gap: seconds; what lies between codec key frames further apart is sampled exactly.
    """

    max_gap: Fraction = Fraction(0)

    def seconds(self, k: int) -> float:
        return float(k * self.time_base)

    def last_number(self, number: int, end_s: float) -> int:
        return max(number, round(end_s / self.time_base) - 1)

    def instant_before(self, number: int) -> int:
        return max(0, self.first_due(self.origin + number) - 1)  # a picture was due at the instant before, or the next

    def falls_due_from(self, number: int, first: int) -> bool:
        return self.first_due(self.origin + number) >= first

    def to_decode(
        self, packets: Iterable[av.Packet], end: int | None, screen: Screen, fresh: set[int]
    ) -> Iterable[av.Packet]:
        return thin(packets, self, end, screen, fresh)

    def choose(self, frames: Shown, first: int, end: int | None, screen: Screen) -> Numbered:
        return on_screen_once(frames, self, first, end, screen)

    def pick(self, wanted: Collection[int], samples: Numbered) -> Numbered:
        left = deque(sorted(wanted))
        before = None  # a picture stands for the numbers from its own until the next
        for sample in samples:
            while left and left[0] < sample[0]:
                left.popleft()
                if before is not None:
                    yield before
            if not left:
                return
            before = sample
        if before is not None:
            yield before


NONE_YET = -(2**63)
"""Earlier than any presentation time, in ticks."""


def thin(
    packets: Iterable[av.Packet], clock: DraftClock, end: int | None, screen: Screen, fresh: set[int]
) -> Iterator[av.Packet]:
    """The packets that a draft decodes, in decoding order.

    Of a gap between two codec key frames the first alone, and that only where a sample is due in the gap; all of a gap
    longer than `clock.max_gap`, as of one whose packets have no times or fill more than MAX_HELD_PACKET_BYTES. What is
    decided of a gap depends on its own packets alone, so segments do not change it.

    Args:
        packets: in decoding order, from one that can be decoded on.
        clock: the draft's clock.
        end: where the next segment takes over, in ticks, a key frame's time; None for the video's end.
        screen: is told until when pictures are shown.
        fresh: gets the presentation times of key frames before which packets were left out.
    """
    longest = clock.max_gap / clock.time_base
    held: list[av.Packet] = []  # the latest key frame and what follows, while its gap may still be a short one
    begin: int = NONE_YET  # that key frame's presentation time
    before_whole = whole = closing = False  # whether the gap before and this one are decoded whole; past `end`
    size = 0

    def short(until: int) -> list[av.Packet]:
        if before_whole:  # pictures coded after the key frame and shown before it belong to the gap before
            return [held[0], *(packet for packet in held[1:] if packet.pts < begin)]
        return all_held()[:1] if clock.due(clock.first_due(begin)) < until else []

    def all_held() -> list[av.Packet]:
        if not before_whole:
            fresh.add(begin)
        return held

    for packet in packets:
        timed = packet.pts is not None
        if timed:
            screen.note(packet.pts, packet.duration)
        if timed and packet.is_keyframe:
            if begin != NONE_YET and not whole:
                whole = not 0 < packet.pts - begin <= longest
                yield from all_held() if whole else short(packet.pts)
            if closing or (end is not None and packet.pts >= end and not whole):
                return
            before_whole, whole = whole, False
            begin, held, size = packet.pts, [packet], packet.size
            if end is not None and begin >= end:
                closing = True
                yield packet
            continue
        if begin == NONE_YET:  # before the first key frame
            whole = True
            yield packet
            continue
        shown_before = timed and packet.pts < begin
        if closing and not shown_before:
            return
        if shown_before and not before_whole:
            continue
        if whole or closing:
            yield packet
            continue
        held.append(packet)
        size += packet.size
        if not timed or packet.pts > begin + longest or size > MAX_HELD_PACKET_BYTES:
            yield from all_held()
            whole, held = True, []
    if begin != NONE_YET and not whole and not closing:
        yield from short(screen.end if end is None else end)


def on_screen_once(frames: Shown, clock: DraftClock, first: int, end: int | None, screen: Screen) -> Numbered:
    """Pick the frames on screen at the instants of `clock`, each once, from instant `first` until time `end`.

    Args:
        frames: (presentation time in ticks, frame) in presentation order; stragglers are passed over.
        clock: when the instants are due.
        first: the first instant. If the first frame is later, nothing comes out.
        end: where the next segment takes over, in ticks; None for the video's end.
        screen: knows, once all frames were seen, until when the last is shown.

    Yields:
        (ticks from the video's first frame to the frame's presentation, frame)
    """
    limit = FOREVER if end is None else end
    current, current_pts = None, 0

    def is_due(until: float) -> bool:
        return clock.due(max(first, clock.first_due(current_pts))) < until

    for pts, frame in frames:
        if current is None:
            if pts > clock.due(first) or pts >= limit:
                return
        elif pts <= current_pts:
            continue
        else:
            if is_due(min(pts, limit)):
                yield current_pts - clock.origin, current
            if pts >= limit:
                return
        current, current_pts = frame, pts
    if current is not None and is_due(screen.end if end is None else end):
        yield current_pts - clock.origin, current
