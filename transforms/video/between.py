"""Between samples: what is on screen from one sample to the next, in small pictures, where a cut is sought."""

from __future__ import annotations

import bisect
import contextlib
import heapq
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from movie_tags.transforms.video.reader import HERE, Access, Decoder, Source, open_video
from movie_tags.transforms.video.screen import Tally
from movie_tags.transforms.video.segments import packets_from_key

SIZE = (64, 36)
"""Width and height of the small pictures, in pixels, whatever the film's shape."""

MOST_HELD = 4096
"""Small pictures held, 28 MB, some minutes of film: between samples further apart no true cut is sought."""

BACK_S = (0, 2, 10, 60)
"""How many seconds before it a stretch of time is sought, before all is decoded from the start."""


@dataclass(frozen=True)
class Between:
    """The pictures from one sample to the next, both included, as far as they were decoded.

    Attributes:
        times: their presentation times, in ticks, ascending.
        pixels: uint8 RGB [n, 36, 64, 3]; neither turned upright nor in the film's shape.
        gaps: of each neighbouring two, whether pictures between them were not decoded; n - 1 of them.
    """

    times: tuple[int, ...]
    pixels: np.ndarray
    gaps: tuple[bool, ...]


def small(frame: av.VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
    """A decoded frame as a small picture, uint8 RGB [36, 64, 3], by FFmpeg's fastest scaler: a cut survives it."""
    return reformatter.reformat(frame, *SIZE, "rgb24", interpolation="FAST_BILINEAR", threads=1).to_ndarray()


class BetweenSamples:
    """Bounded buffer: small pictures of what is decoded, until the next sample is known.

    Attributes:
        latest: what is between the latest sample and the one before; None of the first, and of a still.
    """

    def __init__(self):
        self.reformatter = VideoReformatter()
        self.coded: list[int] = []  # presentation times of packets, those of pictures passed over included; a heap
        self.shown: deque[tuple[int, np.ndarray]] = deque(maxlen=MOST_HELD)
        self.sample: int | None = None  # presentation time of the sample before
        self.latest: Between | None = None

    def note(self, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        """The same packets, in decoding order; of each picture between two samples this must see the packet."""
        for packet in packets:
            if packet.size and packet.pts is not None:
                heapq.heappush(self.coded, packet.pts)
            yield packet

    def watch(self, frames: Iterable[tuple[int, av.VideoFrame]]) -> Iterator[tuple[int, av.VideoFrame]]:
        """The same frames, with their presentation times; stragglers are passed over as samplers do."""
        for pts, frame in frames:
            if not self.shown or pts > self.shown[-1][0]:
                self.shown.append((pts, small(frame, self.reformatter)))
            yield pts, frame

    def follow(self, samples: Iterable[tuple[int, av.VideoFrame]]) -> Iterator[tuple[int, av.VideoFrame]]:
        """The same samples, with their numbers; `latest` is of the one that was given last."""
        for number, frame in samples:
            self.latest = self._until(frame.pts if frame.pts is not None else frame.dts)
            yield number, frame

    def _until(self, pts: int) -> Between | None:
        """From the sample before until the one of that presentation time; None for the first, and for a still."""
        begun, self.sample = self.sample, pts
        taken = [one for one in self.shown if one[0] <= pts and begun is not None and one[0] >= begun]
        while self.shown and self.shown[0][0] < pts:
            self.shown.popleft()
        while self.coded and self.coded[0] < (pts if begun is None else begun):
            heapq.heappop(self.coded)
        if len(taken) < 2 or taken[0][0] != begun:
            return None
        times = tuple(time for time, _ in taken)
        coded = sorted(time for time in self.coded if time <= pts)
        places = [bisect.bisect(coded, time) for time in times]
        gaps = tuple(b - a > 1 for a, b in itertools.pairwise(places))
        return Between(times, np.stack([pixels for _, pixels in taken]), gaps)


def read_all(uri: str, seen: Between, tally: Tally, access: Access = HERE) -> Between:
    """Every picture of a stretch of time of which some were passed over, decoded from as near before it as can be.

    Where a seek leads to a wrong place or to damaged pictures, the first and last picture tell, which are known.

    Args:
        uri: the video.
        seen: the stretch, its first and last picture known.
        tally: is added to.
        access: how the video is opened.

    Returns:
        The stretch without gaps; as it was, where its pictures cannot be decoded again.

    Raises:
        VideoError: the video cannot be opened.
    """
    for back_s in (*BACK_S, None):
        with open_video(uri, access) as source:
            decoder = Decoder(source, advanced=access.advanced)
            packets = source.packets() if back_s is None else _packets_before(source, seen, back_s)
            found = _from_to(decoder, source.timed(packets), seen.times[0], seen.times[-1])
            tally.decoded += decoder.decoded
        if found is not None and np.array_equal(found.pixels[[0, -1]], seen.pixels[[0, -1]]):
            return found
    return replace(seen, gaps=(False,) * len(seen.gaps))


def _packets_before(source: Source, seen: Between, back_s: int) -> Iterator[av.Packet]:
    """The packets from a random access point so many seconds before a stretch; none where the seek leads nowhere."""
    with contextlib.suppress(av.error.FFmpegError):
        yield from packets_from_key(source, seen.times[0] - int(back_s / source.stream.time_base), backward=True)


def _from_to(decoder: Decoder, packets: Iterable[av.Packet], first: int, last: int) -> Between | None:
    """The pictures with presentation times from `first` until `last`; None unless both are there."""
    marked = ((packet, packet.pts is None or first <= packet.pts <= last) for packet in packets)
    reformatter, shown = VideoReformatter(), list[tuple[int, np.ndarray]]()
    for pts, frame in decoder.frames(marked):
        if pts > last or (not shown and pts > first):
            break
        if first <= pts and (not shown or pts > shown[-1][0]):
            shown.append((pts, small(frame, reformatter)))
    if not shown or (shown[0][0], shown[-1][0]) != (first, last):
        return None
    times = tuple(pts for pts, _ in shown)
    return Between(times, np.stack([pixels for _, pixels in shown]), (False,) * (len(times) - 1))
