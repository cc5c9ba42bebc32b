"""Sampling: video -> time segments -> the frame on screen at each second (the paper's section 4.4, "1 FPS").

Sample k = 0, 1, 2, … of a video is the frame on screen k / fps seconds after the video's first frame: the last frame
whose presentation time is not later. Presentation times decide, never frame counts or headers, so variable frame rate,
seeking and cutting into segments give the same frames.

A segment begins at one of the codec's own random access points, so almost nothing is decoded twice and a segment's
frames are those that decoding from the start would give. Where a container offers no dependable random access, its
video is one segment.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import itertools
import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from movie_tags.storage import open_seekable
from movie_tags.transforms.video import Decoder, VideoError, is_seekable, missing_bytes, open_video, to_rgb

MAX_GAP_S = 3600
"""A longer silence between two frames is a damaged clock, not a still picture."""

MAX_LOOKAHEAD_PACKETS = 1500
"""A queue of more packets than this is decoded without waiting to learn which frames are needed."""

LOOK_BACK_S = (10, 60, 360)
"""How far before a sample decoding begins where nothing nearer can be decoded, before all is decoded from the start."""


@dataclass(frozen=True)
class SampleClock:
    """When each sample is due, in the stream's own ticks.

    Attributes:
        origin: presentation time of the video's first frame, in ticks.
        time_base: seconds a tick.
        fps: samples a second.
    """

    origin: int
    time_base: Fraction
    fps: Fraction

    def due(self, k: int) -> Fraction:
        """The presentation time of sample k, in ticks."""
        return self.origin + k / (self.fps * self.time_base)

    def first_due(self, pts: int) -> int:
        """The first sample due at or after a presentation time."""
        samples, ticks = self._rate
        return max(0, -((self.origin - pts) * samples // ticks))

    @functools.cached_property
    def _rate(self) -> tuple[int, int]:
        """So many samples fall into so many ticks."""
        return (self.time_base * self.fps).as_integer_ratio()

    def seconds(self, k: int) -> float:
        """The time of sample k in seconds after the video's first frame."""
        return float(k / self.fps)


@dataclass(frozen=True)
class Segment:
    """A stretch of a video that is decoded on its own.

    Attributes:
        index, count: this segment's place among its video's segments.
        clock: the video's sampling clock.
        start: presentation time, in ticks, of the random access point it begins with; None at the video's beginning.
        end: where the next segment begins; None at the video's end.
        seek: the time to seek to, in ticks, so that the demuxer comes to `start`; None at the video's beginning.
        seekable: whether the video's container has dependable random access.
        warnings: what a user should know of the file; the first segment has them.
    """

    index: int
    count: int
    clock: SampleClock
    start: int | None = None
    end: int | None = None
    seek: int | None = None
    seekable: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Frame:
    """Sample `index` of a video: `pixels` is uint8 RGB [H, W, 3], upright, short side at most ANALYSIS_SHORT_SIDE."""

    index: int
    pixels: np.ndarray


def plan_segments(uri: str, fps: float | Fraction = 1, segment_length: float | None = None) -> list[Segment]:
    """Cut a video into segments of at least `segment_length` seconds at its codec's random access points.

    Decodes one frame and reads one packet for each border. The lengths that headers state are not used: they lie. A
    file shorter than its outermost boxes state gets a warning.

    Args:
        uri: the video.
        fps: samples a second.
        segment_length: the shortest segment, in seconds; None for one segment.

    Raises:
        VideoError: the video cannot be opened, or no frame of it can be decoded.
    """
    with open_video(uri) as (container, stream):
        decoder = Decoder(stream.codec_context)
        first = next(decoder.frames((packet, True) for packet in container.demux(stream)), None)
        if first is None:
            raise VideoError(
                f"no frame could be decoded ({decoder.damaged} damaged packets); it may be encrypted or cut off"
            )
        clock = SampleClock(first[0], stream.time_base, Fraction(fps).limit_denominator(10**6))
        seekable = is_seekable(container)
        borders = list(_borders(container, stream, clock, segment_length)) if segment_length and seekable else []
    missing = 0
    with contextlib.suppress(OSError), open_seekable(uri) as plain:
        missing = missing_bytes(plain)
    starts: list[tuple[int | None, int | None]] = [(None, None), *borders]
    ends = [start for start, _ in borders] + [None]
    warnings = (f"the file lacks the last {missing:,} bytes of what it states; copy it again",) if missing else ()
    return [
        Segment(i, len(starts), clock, start, end, seek, seekable, () if i else warnings)
        for i, ((start, seek), end) in enumerate(zip(starts, ends, strict=True))
    ]


def _borders(container, stream, clock: SampleClock, segment_length: float) -> Iterator[tuple[int, int]]:
    """Random access points at least `segment_length` seconds apart, each with the time to seek to."""
    length = max(1, round(segment_length / clock.time_base))
    seek = clock.origin + length
    while True:
        try:
            start = next(_packets_from_key(container, stream, seek, backward=False)).pts
        except (StopIteration, av.error.FFmpegError):
            return
        if start is None or start < seek:
            return
        yield start, seek
        seek = start + length


def _prime(container, stream) -> None:
    """Show the decoder the stream's first packet, whose notes on the encoder decide how later ones are decoded."""
    with contextlib.suppress(StopIteration, av.error.FFmpegError):
        stream.codec_context.decode(next(packet for packet in container.demux(stream) if packet.size))


def _packets_from_key(container, stream, seek: int, backward: bool) -> Iterator[av.Packet]:
    """The packets from the first random access point that a seek leads to."""
    container.seek(seek, stream=stream, backward=backward)
    packets = container.demux(stream)
    for packet in packets:
        if packet.is_keyframe and packet.size:
            yield packet
            yield from packets


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

    def __init__(self, uri: str, segment: Segment):
        self.uri = uri
        self.segment = segment
        self.tally = Tally()

    def __iter__(self) -> Iterator[Frame]:
        segment, clock = self.segment, self.segment.clock
        first = clock.first_due(segment.start) if segment.start is not None else 0
        if segment.end is not None and clock.due(first) >= segment.end:
            return  # no sample is due here
        entries = []
        if segment.seek is not None:
            entries = [_Entry(segment.seek, False, segment.start), *_entries_before(clock, first)]
        yield from _read(self.uri, clock, first, entries, self.tally, segment.start, segment.end)


def read_samples(uri: str, clock: SampleClock, wanted: Collection[int], tally: Tally) -> Iterator[Frame]:
    """Some samples of a video again, by their numbers, in order; one that is not there is left out.

    All are read in one pass from a random access point before the first, so samples far apart are better asked for one
    by one where the container has dependable random access.

    Args:
        uri: the video.
        clock: its sampling clock.
        wanted: the numbers.
        tally: is added to.

    Raises:
        VideoError: the video cannot be read.
    """
    first = min(wanted)
    entries = [_Entry(math.floor(clock.due(first))), *_entries_before(clock, first)]
    last = max(wanted)
    for frame in _read(uri, clock, first, entries, tally, None, None, wanted):
        yield frame
        if frame.index >= last:
            return


def read_sample(uri: str, clock: SampleClock, k: int) -> Frame | None:
    """One sample of a video again, by its number; None where it is not there.

    Raises:
        VideoError: the video cannot be read.
    """
    return next(read_samples(uri, clock, (k,), Tally()), None)


def _entries_before(clock: SampleClock, first: int) -> list[_Entry]:
    """Places ever further before a sample."""
    back = [math.floor(clock.due(first) - seconds / clock.time_base) for seconds in LOOK_BACK_S]
    return [_Entry(seek) for seek in back if seek > clock.origin]


def _read(
    uri: str,
    clock: SampleClock,
    first: int,
    entries: Iterable[_Entry],
    tally: Tally,
    begin: int | None,
    end: int | None,
    wanted: Collection[int] | None = None,
) -> Iterator[Frame]:
    """The samples from number `first` on and before `end`, decoded from the first of the entries that leads to them.

    What is on screen at the first sample is known where some frame not later was decoded; after the last entry all is
    decoded from the video's beginning, as a player does.
    """
    for entry in (*entries, None):
        with open_video(uri) as (container, stream):
            if entry is None or not is_seekable(container):
                entry, packets = None, container.demux(stream)
            else:
                _prime(container, stream)
                packets = _packets_from(container, stream, entry)
            decoder = Decoder(stream.codec_context, begin, end)
            frames = decoder.frames(mark_needed(packets, clock, first))
            head = next(frames, None)
            if entry is None or (head is not None and head[0] <= clock.due(first)):
                frames = _noting_the_end(itertools.chain([head] if head else [], frames), clock, tally)
                last_source, pixels = None, None
                try:
                    for k, source in on_screen(frames, clock, first, end):
                        if wanted is not None and k not in wanted:
                            continue
                        if source is not last_source:  # a still picture is converted once
                            last_source, pixels = source, to_rgb(source)
                        yield Frame(k, pixels)
                finally:
                    tally.decoded += decoder.decoded
                    tally.damaged += decoder.damaged
                return
            tally.decoded += decoder.decoded


def _packets_from(container, stream, entry: _Entry) -> Iterator[av.Packet]:
    """The packets from an entry on; none where the seek leads nowhere."""
    with contextlib.suppress(av.error.FFmpegError):
        packets = _packets_from_key(container, stream, entry.seek, entry.backward)
        packet = next(packets, None)
        while packet is not None and entry.exactly is not None and packet.pts != entry.exactly:
            packet = next(packets, None)
        if packet is not None and packet.pts is not None:
            yield packet
            yield from packets


def _noting_the_end(
    frames: Iterable[tuple[int, av.VideoFrame]], clock: SampleClock, tally: Tally
) -> Iterator[tuple[int, av.VideoFrame]]:
    for pts, frame in frames:
        shown_s = min(MAX_GAP_S, (frame.duration or 0) * clock.time_base)
        tally.end_s = max(tally.end_s, float((pts - clock.origin) * clock.time_base + shown_s))
        yield pts, frame


def mark_needed(packets: Iterable[av.Packet], clock: SampleClock, first: int) -> Iterator[tuple[av.Packet, bool]]:
    """Say of each packet, in decoding order, whether its picture is (or might be) a sample from number `first` on.

    Pictures that are no sample and that no other picture refers to need not be decoded. A packet is held back until
    packets with decoding times past its sample have been seen: presentation never precedes decoding, so by then the
    next picture's time is known, and a picture is a sample where one falls due between the two. Where a file's times
    are missing, break that rule or leap, every packet counts as needed.
    """
    waiting: deque[av.Packet] = deque()
    ahead: list[int] = []  # presentation times seen and later than every sample settled so far; a heap
    targets: set[int] = set()
    k, settled = first, clock.due(first - 1)  # every sample before number k, the last of them due at `settled`
    leap = int(MAX_GAP_S / clock.time_base)
    last_dts: int | None = None

    def sample_at(pts: int) -> int:
        return max(first, clock.first_due(pts))

    packets = iter(packets)
    for packet in packets:
        if packet.size == 0:
            continue
        if (
            packet.pts is None
            or packet.dts is None
            or packet.dts > packet.pts
            or (last_dts is not None and not last_dts <= packet.dts <= last_dts + leap)
        ):
            yield from ((held, True) for held in waiting)
            waiting.clear()
            yield packet, True
            break
        last_dts = packet.dts
        waiting.append(packet)
        heapq.heappush(ahead, packet.pts)
        if k != sample_at(packet.dts):
            k = sample_at(packet.dts)
            settled = clock.due(k - 1)
        while ahead and ahead[0] <= settled:
            pts = heapq.heappop(ahead)
            if sample_at(pts) < sample_at(ahead[0] if ahead else packet.dts):
                targets.add(pts)
        while waiting and (waiting[0].pts <= settled or len(waiting) > MAX_LOOKAHEAD_PACKETS):
            released = waiting.popleft()
            yield released, released.pts in targets or released.pts > settled
            targets.discard(released.pts)
    yield from ((held, True) for held in waiting)
    yield from ((packet, True) for packet in packets)


def on_screen(
    frames: Iterable[tuple[int, av.VideoFrame]], clock: SampleClock, first: int, end: int | None
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Pick the frame on screen at each sample's time, from sample `first` until presentation time `end`.

    Args:
        frames: (presentation time in ticks, frame) in presentation order; stragglers are passed over.
        clock: when the samples are due.
        first: the first sample. If the first frame is later than that sample, nothing comes out.
        end: where the next segment takes over, in ticks; None for the video's end. A last frame's stated duration is
            believed for at most one sample, since durations in damaged files can be anything.

    Yields:
        (sample number, frame)

    Raises:
        VideoError: presentation times jump by more than MAX_GAP_S.
    """
    k, due = first, clock.due(first)
    current = current_pts = None
    limit = math.inf if end is None else end
    for pts, frame in frames:
        if current is None:
            if pts > due or pts >= limit:
                return
        elif pts <= current_pts:
            continue
        else:
            _check_gap(clock, current_pts, min(pts, limit))
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
        _check_gap(clock, current_pts, end)
        while clock.due(k) < end:
            yield k, current
            k += 1


def _check_gap(clock: SampleClock, shown: int, until: int) -> None:
    if (until - shown) * clock.time_base > MAX_GAP_S:
        jump, at = (float(ticks * clock.time_base) for ticks in (until - shown, shown - clock.origin))
        raise VideoError(
            f"its clock jumps by {jump:.0f} s at {at:.0f} s; copy it to a new container to repair its time stamps"
        )
