"""Sampling: video -> time segments -> the frame on screen at each second (the paper's section 4.4, "1 FPS").

Sample k = 0, 1, 2, … of a video is the frame on screen k / fps seconds after the video's first frame: the last frame
whose presentation time is not later. Presentation times decide, never frame counts or headers, so variable frame rate,
seeking and cutting into segments give the same frames.

A draft (`DraftClock`) decodes little but the codec's own key frames: it takes those on screen at each second, each
once and at its own presentation time.

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
from movie_tags.transforms.video.reader import Decoder, VideoError, is_seekable, missing_bytes, open_video, to_rgb

MAX_GAP_S = 3600
"""A longer silence between two frames is a damaged clock, not a still picture."""

FOREVER = 2**63
"""Later than any presentation time, in ticks."""

MAX_LOOKAHEAD_PACKETS = 1500
"""A queue of more packets than this is decoded without waiting to learn which frames are needed."""

MAX_HELD_PACKET_BYTES = 64 * 1024 * 1024
"""More bytes between two codec key frames than this are decoded without waiting for the second."""

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

    def last_number(self, number: int, end_s: float) -> int:
        """The last sample of a video whose last sample taken is `number` and which ends at `end_s` seconds."""
        return number


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
class DraftClock(SampleClock):
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
        """The time of number k in seconds after the video's first frame."""
        return float(k * self.time_base)

    def last_number(self, number: int, end_s: float) -> int:
        return max(number, round(end_s / self.time_base) - 1)


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
    """A sample of a video: `pixels` is uint8 RGB [H, W, 3], upright, short side at most ANALYSIS_SHORT_SIDE.

    Of exact samples, `index` is the number; of a draft, the first of the numbers that the picture stands for.
    """

    index: int
    pixels: np.ndarray


def plan_segments(
    uri: str, fps: float | Fraction = 1, segment_length: float | None = None, draft: Draft | None = None
) -> list[Segment]:
    """Cut a video into segments of at least `segment_length` seconds at its codec's random access points.

    Decodes one frame and reads one packet for each border. The lengths that headers state are not used for it: they
    lie. A file shorter than its outermost boxes state gets a warning.

    Args:
        uri: the video.
        fps: samples a second.
        segment_length: the shortest segment, in seconds; None for one segment.
        draft: what a draft may leave out; None samples exactly. A film is as long as its headers say, here alone; of
            one whose headers do not say, a draft is made.

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
        if draft is not None and not _shorter(container, stream, draft.min_length):
            gap = Fraction(draft.max_gap).limit_denominator(10**6)
            clock = DraftClock(clock.origin, clock.time_base, clock.fps, gap)
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


def _shorter(container: av.container.InputContainer, stream: av.VideoStream, seconds: float) -> bool:
    """Whether headers say that a video is shorter than that."""
    if stream.duration:
        return stream.duration * stream.time_base < seconds
    return container.duration is not None and container.duration < seconds * av.time_base


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
        for frame in _read(self.uri, clock, first, entries, self.tally, segment.start, segment.end):
            # A draft's picture belongs to the segment in which it is first due.
            if not isinstance(clock, DraftClock) or clock.first_due(clock.origin + frame.index) >= first:
                yield frame


def read_samples(uri: str, clock: SampleClock, wanted: Collection[int], tally: Tally) -> Iterator[Frame]:
    """Some samples of a video again, by their numbers, in order; one that is not there is left out.

    Of a draft, the pictures that stand for these numbers.

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
    if isinstance(clock, DraftClock):  # the picture was due at the instant before the number, or at the one after
        first = max(0, clock.first_due(clock.origin + first) - 1)
    entries = [_Entry(math.floor(clock.due(first))), *_entries_before(clock, first)]
    yield from _read(uri, clock, first, entries, tally, None, None, wanted)


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
            screen = _Screen(clock, tally)
            if isinstance(clock, DraftClock):
                packets = thin(packets, clock, end, screen, decoder.fresh)
            frames = decoder.frames(mark_needed(packets, clock, first))
            head = next(frames, None)
            if entry is None or (head is not None and head[0] <= clock.due(first)):
                frames = screen.watch(itertools.chain([head] if head else [], frames))
                if isinstance(clock, DraftClock):
                    samples = on_screen_once(frames, clock, first, end, screen)
                    samples = samples if wanted is None else _standing_for(wanted, samples)
                else:
                    samples = on_screen(frames, clock, first, end)
                    samples = samples if wanted is None else _numbered(wanted, samples)
                last_source, pixels = None, None
                try:
                    for k, source in samples:
                        if source is not last_source:  # a still picture is converted once
                            last_source, pixels = source, to_rgb(source)
                        yield Frame(k, pixels)
                finally:
                    tally.decoded += decoder.decoded
                    tally.damaged += decoder.damaged
                return
            tally.decoded += decoder.decoded


def _numbered(
    wanted: Collection[int], samples: Iterable[tuple[int, av.VideoFrame]]
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Those of some samples whose numbers are wanted."""
    last = max(wanted)
    for k, frame in samples:
        if k in wanted:
            yield k, frame
        if k >= last:
            return


def _standing_for(
    wanted: Collection[int], samples: Iterable[tuple[int, av.VideoFrame]]
) -> Iterator[tuple[int, av.VideoFrame]]:
    """The pictures of a draft that stand for the numbers wanted: each the last that is not later."""
    left = deque(sorted(wanted))
    before = None
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


class _Screen:
    """Notes until when something is on screen: `end`, in ticks, here and, in seconds, in the tally."""

    def __init__(self, clock: SampleClock, tally: Tally):
        self.clock = clock
        self.tally = tally
        self.end = clock.origin

    def note(self, pts: int, duration: int | None) -> None:
        """A picture is shown from `pts` on, so many ticks long; for at most MAX_GAP_S and for no less than a tick."""
        shown = min(math.floor(MAX_GAP_S / self.clock.time_base), duration or 0)
        self.end = max(self.end, pts + max(1, shown))
        ended_s = float((pts + shown - self.clock.origin) * self.clock.time_base)
        self.tally.end_s = max(self.tally.end_s, ended_s)

    def watch(self, frames: Iterable[tuple[int, av.VideoFrame]]) -> Iterator[tuple[int, av.VideoFrame]]:
        """The same frames, noted as they come."""
        for pts, frame in frames:
            self.note(pts, frame.duration)
            yield pts, frame


def thin(
    packets: Iterable[av.Packet], clock: DraftClock, end: int | None, screen: _Screen, fresh: set[int]
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
    begin: int | None = None  # that key frame's presentation time
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

    packets = iter(packets)
    broken = None
    while True:
        try:
            packet = next(packets, None)
        except av.error.InvalidDataError as error:  # nothing can be read beyond; what is held still counts
            packet, broken = None, error
        if packet is None:
            break
        if packet.size == 0:
            continue
        timed = packet.pts is not None
        if timed:
            screen.note(packet.pts, packet.duration)
        if timed and packet.is_keyframe:
            if begin is not None and not whole:
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
        if begin is None:  # before the first key frame
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
    if begin is not None and not whole and not closing:
        yield from short(screen.end if end is None else end)
    if broken is not None:
        raise broken


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
    limit = FOREVER if end is None else end
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


def on_screen_once(
    frames: Iterable[tuple[int, av.VideoFrame]], clock: DraftClock, first: int, end: int | None, screen: _Screen
) -> Iterator[tuple[int, av.VideoFrame]]:
    """Pick the frames on screen at the instants of `clock`, each once, from instant `first` until time `end`.

    Args:
        frames: (presentation time in ticks, frame) in presentation order; stragglers are passed over.
        clock: when the instants are due.
        first: the first instant. If the first frame is later, nothing comes out.
        end: where the next segment takes over, in ticks; None for the video's end.
        screen: knows, once all frames were seen, until when the last is shown.

    Yields:
        (ticks from the video's first frame to the frame's presentation, frame)

    Raises:
        VideoError: presentation times jump by more than MAX_GAP_S.
    """
    limit = FOREVER if end is None else end
    current = current_pts = None

    def is_due(until: float) -> bool:
        return clock.due(max(first, clock.first_due(current_pts))) < until

    for pts, frame in frames:
        if current is None:
            if pts > clock.due(first) or pts >= limit:
                return
        elif pts <= current_pts:
            continue
        else:
            _check_gap(clock, current_pts, min(pts, limit))
            if is_due(min(pts, limit)):
                yield current_pts - clock.origin, current
            if pts >= limit:
                return
        current, current_pts = frame, pts
    if current is not None:
        if end is not None:
            _check_gap(clock, current_pts, end)
        if is_due(screen.end if end is None else end):
            yield current_pts - clock.origin, current


def _check_gap(clock: SampleClock, shown: int, until: int) -> None:
    if (until - shown) * clock.time_base > MAX_GAP_S:
        jump, at = (float(ticks * clock.time_base) for ticks in (until - shown, shown - clock.origin))
        raise VideoError(
            f"its clock jumps by {jump:.0f} s at {at:.0f} s; copy it to a new container to repair its time stamps"
        )
