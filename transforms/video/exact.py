"""Exact sampling: the frame on screen at each instant (the paper's section 4.4, "1 FPS").

Sample k = 0, 1, 2, … of a video is the frame on screen k / fps seconds after the video's first frame: the last frame
whose presentation time is not later. Presentation times decide, never frame counts or headers, so variable frame rate,
seeking and cutting into segments give the same frames.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import av

from movie_tags.transforms.video.clock import FOREVER, MAX_GAP_S, Clock, Numbered, Shown
from movie_tags.transforms.video.screen import Screen

MAX_LOOKAHEAD_PACKETS = 1500
"""A queue of more packets than this is decoded without waiting to learn which frames are needed."""


@dataclass(frozen=True)
class SampleClock(Clock):
    """The clock of exact sampling: a sample has the number of the instant at which it is on screen."""

    def seconds(self, k: int) -> float:
        return float(k / self.fps)

    def last_number(self, number: int, end_s: float) -> int:
        return number

    def instant_before(self, number: int) -> int:
        return number

    def falls_due_from(self, number: int, first: int) -> bool:
        return True

    def to_decode(
        self, packets: Iterable[av.Packet], end: int | None, screen: Screen, fresh: set[int]
    ) -> Iterable[av.Packet]:
        return packets

    def choose(self, frames: Shown, first: int, end: int | None, screen: Screen) -> Numbered:
        return on_screen(frames, self, first, end)

    def pick(self, wanted: Collection[int], samples: Numbered) -> Numbered:
        last = max(wanted)
        for k, frame in samples:
            if k in wanted:
                yield k, frame
            if k >= last:
                return


def mark_needed(packets: Iterable[av.Packet], clock: Clock, first: int) -> Iterator[tuple[av.Packet, bool]]:
    """Say of each packet, in decoding order, whether its picture is (or might be) a sample from number `first` on.

    Pictures that are no sample and that no other picture refers to need not be decoded. A packet is held back until
    packets with decoding times past its sample have been seen: presentation never precedes decoding, so by then the
    next picture's time is known, and a picture is a sample where one falls due between the two. Where a file's times
    are missing, break that rule or leap, every packet counts as needed.
    """
    waiting: deque[av.Packet] = deque()
    ahead: list[int] = []  # presentation times seen and later than every sample settled so far; a heap
    targets: set[int] = set()
    k, settled = first, math.floor(clock.due(first - 1))  # samples before number k, the last of them due at `settled`
    leap = int(MAX_GAP_S / clock.time_base)
    last_dts: int | None = None

    def sample_at(pts: int) -> int:
        return max(first, clock.first_due(pts))

    packets = iter(packets)
    for packet in packets:
        pts, dts = packet.pts, packet.dts
        if pts is None or dts is None or dts > pts or (last_dts is not None and not last_dts <= dts <= last_dts + leap):
            yield from ((held, True) for held in waiting)
            waiting.clear()
            yield packet, True
            break
        last_dts = dts
        waiting.append(packet)
        heapq.heappush(ahead, pts)
        next_due = sample_at(dts)
        if k != next_due:
            k, settled = next_due, math.floor(clock.due(next_due - 1))
        while ahead and ahead[0] <= settled:
            pts = heapq.heappop(ahead)
            if sample_at(pts) < sample_at(ahead[0] if ahead else dts):
                targets.add(pts)
        while waiting and (waiting[0].pts <= settled or len(waiting) > MAX_LOOKAHEAD_PACKETS):
            released = waiting.popleft()
            yield released, released.pts in targets or released.pts > settled
            targets.discard(released.pts)
    yield from ((held, True) for held in waiting)
    yield from ((packet, True) for packet in packets)


def on_screen(frames: Shown, clock: Clock, first: int, end: int | None) -> Numbered:
    """Pick the frame on screen at each sample's time, from sample `first` until presentation time `end`.

    Args:
        frames: (presentation time in ticks, frame) in presentation order; stragglers are passed over.
        clock: when the samples are due.
        first: the first sample. If the first frame is later than that sample, nothing comes out.
        end: where the next segment takes over, in ticks; None for the video's end. A last frame's stated duration is
            believed for at most one sample, since durations in damaged files can be anything.

    Yields:
        (sample number, frame)
    """
    k, due = first, clock.due(first)
    current, current_pts = None, 0
    limit = FOREVER if end is None else end
    for pts, frame in frames:
        if current is None:
            if pts > due or pts >= limit:
                return
        elif pts <= current_pts:
            continue
        else:
            while due < min(pts, limit):
                yield k, current
                k, due = k + 1, clock.due(k + 1)
            if pts >= limit:
                return
        current, current_pts = frame, pts
    if current is None:
        return
    if end is None:
        while clock.due(k) <= current_pts:
            yield k, current
            k += 1
        if clock.due(k) < current_pts + (current.duration or 0):
            yield k, current
    else:
        shown_until = min(end, current_pts + int(MAX_GAP_S / clock.time_base))
        while clock.due(k) < shown_until:
            yield k, current
            k += 1
