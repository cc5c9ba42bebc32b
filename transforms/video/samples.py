"""Samples: the frames of a segment that are taken at the clock's instants, and single ones read again."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import av
import numpy as np

from movie_tags.transforms.video.between import Between, BetweenSamples
from movie_tags.transforms.video.clock import Clock, Shown
from movie_tags.transforms.video.exact import mark_needed
from movie_tags.transforms.video.reader import HERE, Access, Decoder, Source, open_video
from movie_tags.transforms.video.rgb import to_rgb
from movie_tags.transforms.video.screen import Screen, Tally
from movie_tags.transforms.video.segments import Segment, packets_from_key
from movie_tags.transforms.video.streams import pixel_aspect

LOOK_BACK_S = (10, 60, 360)
"""How far before a sample decoding begins where nothing nearer can be decoded, before all is decoded from the start."""


@dataclass(frozen=True)
class Frame:
    """A sample of a video: `pixels` is uint8 RGB [H, W, 3], upright, short side at most ANALYSIS_SHORT_SIDE.

    Of exact samples, `index` is the number; of a draft, the first of the numbers that the picture stands for. `between`
    has what was on screen since the sample before, where that is wanted and not the same picture.
    """

    index: int
    pixels: np.ndarray
    between: Between | None = None


@dataclass(frozen=True)
class _Entry:
    """Where decoding begins: seek to a time, in ticks, and go on to the random access point at `exactly`, if given."""

    seek: int
    backward: bool = True
    exactly: int | None = None


class SegmentReader:
    """Iterates over the sampled frames of a segment, in order.

    Attributes:
        tally: what was met so far.
    """

    def __init__(self, uri: str, segment: Segment, access: Access = HERE, between: bool = False):
        self.uri = uri
        self.between = between
        self.segment = segment
        self.access = access
        self.tally = Tally()

    def __iter__(self) -> Iterator[Frame]:
        segment, clock = self.segment, self.segment.clock
        first = clock.first_due(segment.start) if segment.start is not None else 0
        if segment.end is not None and clock.due(first) >= segment.end:
            return  # no sample is due here
        entries = []
        if segment.seek is not None:
            entries = [_Entry(segment.seek, False, segment.start), *_entries_before(clock, first)]
        reading = _Reading(
            self.uri, clock, first, self.tally, self.access, segment.start, segment.end, None, self.between
        )
        for frame in reading.frames(entries):
            if clock.falls_due_from(frame.index, first):
                yield frame


def read_samples(
    uri: str, clock: Clock, wanted: Collection[int], tally: Tally, access: Access = HERE, between: bool = False
) -> Iterator[Frame]:
    """Some samples of a video again, by their numbers, in order; one that is not there is left out.

    Of a draft, the pictures that stand for these numbers.

    All are read in one pass from a random access point before the first, so samples far apart are better asked for one
    by one where the container has dependable random access.

    Args:
        uri: the video.
        clock: its sampling clock.
        wanted: the numbers.
        tally: is added to.
        access: how the video is opened.
        between: with what was on screen since the sample before.

    Raises:
        VideoError: the video cannot be read.
    """
    first = max(0, clock.instant_before(min(wanted)) - between)
    entries = [_Entry(math.floor(clock.due(first))), *_entries_before(clock, first)]
    yield from _Reading(uri, clock, first, tally, access, wanted=wanted, between=between).frames(entries)


def _entries_before(clock: Clock, first: int) -> list[_Entry]:
    """Places ever further before a sample."""
    back = [math.floor(clock.due(first) - seconds / clock.time_base) for seconds in LOOK_BACK_S]
    return [_Entry(seek) for seek in back if seek > clock.origin]


@dataclass(frozen=True)
class _Reading:
    """One reading of a video: the samples from instant `first` on and before `end`, or those `wanted` of them."""

    uri: str
    clock: Clock
    first: int
    tally: Tally
    access: Access
    begin: int | None = None
    end: int | None = None
    wanted: Collection[int] | None = None
    between: bool = False

    def frames(self, entries: Iterable[_Entry]) -> Iterator[Frame]:
        """The samples, decoded from the first of the entries that leads to them.

        What is on screen at the first sample is known where some frame not later was decoded; after the last entry all
        is decoded from the video's beginning, as a player does.
        """
        for entry in (*entries, None):
            with open_video(self.uri, self.access) as source:
                start = entry if source.seekable else None
                from_start = start is None
                timeline = source.timeline(self.clock.origin)
                packets: Iterable[av.Packet] = source.packets() if start is None else _packets_from(source, start)
                decoder = Decoder(source, self.begin, self.end, self.access.advanced)
                decoder.fresh = timeline.begins_anew
                screen = Screen(self.clock, self.tally)
                packets = timeline.count(packets, source.stream.index)
                packets = self.clock.to_decode(packets, self.end, screen, decoder.fresh)
                between = BetweenSamples() if self.between else None
                if between:
                    packets = between.note(packets)
                frames = decoder.frames(mark_needed(packets, self.clock, self.first))
                head = next(frames, None)
                if from_start or (head is not None and head[0] <= self.clock.due(self.first)):
                    try:
                        frames = itertools.chain([head] if head else [], frames)
                        yield from self._samples(frames, screen, between, source)
                    finally:
                        self.tally.decoded += decoder.decoded
                        self.tally.damaged += decoder.damaged + timeline.broken
                        self.tally.warn(*(timeline.warnings or filter(None, [screen.warning])))
                        if decoder.at_end:
                            self.tally.warn(*decoder.lost.warnings(self.clock.origin, self.clock.time_base))
                    return
                self.tally.decoded += decoder.decoded

    def _samples(
        self,
        frames: Shown,
        screen: Screen,
        between: BetweenSamples | None,
        opened: Source,
    ) -> Iterator[Frame]:
        shown = between.watch(frames) if between else frames
        samples = self.clock.choose(screen.watch(shown), self.first, self.end, screen)
        samples = between.follow(samples) if between else samples
        last_source, pixels = None, np.empty(0, np.uint8)
        for k, source in samples if self.wanted is None else self.clock.pick(self.wanted, samples):
            if source is not last_source:  # a still picture is converted once
                opened.colours.complete(source)
                last_source, pixels = source, to_rgb(source, pixel_aspect(opened.container, opened.stream))
            yield Frame(k, pixels, between.latest if between else None)


def _packets_from(source: Source, entry: _Entry) -> Iterator[av.Packet]:
    """The packets from an entry on; none where the seek leads nowhere."""
    _prime(source)
    with contextlib.suppress(av.error.FFmpegError):
        packets = packets_from_key(source, entry.seek, entry.backward)
        packet = next(packets, None)
        while packet is not None and entry.exactly is not None and packet.pts != entry.exactly:
            packet = next(packets, None)
        if packet is not None and packet.pts is not None:
            yield packet
            yield from packets


def _prime(source: Source) -> None:
    """Show the decoder the stream's first packet, whose notes on the encoder decide how later ones are decoded."""
    with contextlib.suppress(StopIteration, av.error.FFmpegError):
        source.stream.codec_context.decode(next(packet for packet in source.packets() if packet.size))
