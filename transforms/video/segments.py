"""Segments: a video is cut at its codec's random access points into stretches that are decoded on their own.

A segment begins at one of the codec's own random access points, so almost nothing is decoded twice and a segment's
frames are those that decoding from the start would give. Where a container offers no dependable random access, its
video is one segment.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av

from movie_tags.transforms.video.clock import MAX_GAP_S, Clock
from movie_tags.transforms.video.containers import count_joined, missing_bytes, what_it_is
from movie_tags.transforms.video.draft import Draft, DraftClock
from movie_tags.transforms.video.errors import VideoError
from movie_tags.transforms.video.exact import SampleClock
from movie_tags.transforms.video.reader import HERE, Access, Decoder, Source, open_video
from movie_tags.wording import number

ENCRYPTED = "its pictures are encrypted; only a player that has the key can show them"


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
        start_s: where the video's first frame lies on a player's clock, which begins with the container, in seconds.
        warnings: what a user should know of the file; the first segment has them.
    """

    index: int
    count: int
    clock: Clock
    start: int | None = None
    end: int | None = None
    seek: int | None = None
    seekable: bool = False
    start_s: float = 0.0
    warnings: tuple[str, ...] = ()


def plan_segments(
    uri: str,
    fps: float | Fraction = 1,
    segment_length: float | None = None,
    draft: Draft | None = None,
    access: Access = HERE,
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
        access: how files are opened.

    Raises:
        VideoError: the video cannot be opened, or no frame of it can be decoded.
    """
    with open_video(uri, access) as source:
        timeline = source.timeline()
        decoder = Decoder(source)
        packets = timeline.count(source.packets(), source.stream.index)
        locked: set[bool] = set()  # of some encrypted packets a decoder makes pictures all the same
        first = next(decoder.frames(_noting_locked(packets, locked)), None)
        if True in locked:
            raise VideoError(ENCRYPTED)
        if first is None:
            raise VideoError(_why_nothing(uri, access, decoder.damaged + timeline.broken))
        clock = _clock(source, first[0], fps, draft)
        borders = list(_borders(source, clock, segment_length)) if segment_length and source.seekable else []
        seekable, start_s, warnings = source.seekable, _start_s(source, clock), _warnings(source)
    with contextlib.suppress(OSError), access.open(uri) as plain:
        missing = missing_bytes(plain)
        if films := count_joined(plain):
            warnings += (f"the file holds {films} films one after another, of which players show the first; part them",)
        if missing:
            warnings += (f"the file lacks the last {missing:,} bytes of what it states; copy it again",)
    starts: list[tuple[int | None, int | None]] = [(None, None), *borders]
    ends = [start for start, _ in borders] + [None]
    return [
        Segment(i, len(starts), clock, start, end, seek, seekable, start_s, () if i else warnings)
        for i, ((start, seek), end) in enumerate(zip(starts, ends, strict=True))
    ]


def _noting_locked(packets: Iterable[av.Packet], locked: set[bool]) -> Iterator[tuple[av.Packet, bool]]:
    """Packets to decode, all of them; whether they are encrypted is added to `locked`."""
    for packet in packets:
        locked.add(packet.has_sidedata("encryption_info"))
        yield packet, True


def _why_nothing(uri: str, access: Access, damaged: int) -> str:
    """Why no frame of a video could be decoded, in words for the user."""
    with access.open(uri) as plain:
        known = what_it_is(plain)
    if known:
        return known
    if not damaged:
        return "holds no pictures, though it has a stream for them; copy it again if it should"
    return f"no frame could be decoded ({number(damaged, 'damaged packet')}); it is damaged or cut off; copy it again"


def _clock(source: Source, origin: int, fps: float | Fraction, draft: Draft | None) -> Clock:
    exact = SampleClock(origin, source.stream.time_base, Fraction(fps).limit_denominator(10**6))
    if draft is None or _shorter(source, draft.min_length):
        return exact
    return DraftClock(origin, exact.time_base, exact.fps, Fraction(draft.max_gap).limit_denominator(10**6))


def _shorter(source: Source, seconds: float) -> bool:
    """Whether headers say that a video is shorter than that."""
    stream, container = source.stream, source.container
    if stream.duration:
        return stream.duration * stream.time_base < seconds
    return container.duration is not None and container.duration < seconds * av.time_base


def _start_s(source: Source, clock: Clock) -> float:
    """Where the first frame lies on a player's clock, which begins where the container does, in seconds."""
    if source.container.start_time is None:
        return 0.0
    start_s = clock.origin * clock.time_base - Fraction(source.container.start_time, av.time_base)
    return round(float(start_s), 6) if 0 < start_s < MAX_GAP_S else 0.0


def _warnings(source: Source) -> tuple[str, ...]:
    if not source.lacks_time_stamps:
        return ()
    return (f"it has no time stamps: its frames were counted, {float(source.rate):.6g} a second",)


def _borders(source: Source, clock: Clock, segment_length: float) -> Iterator[tuple[int, int]]:
    """Random access points at least `segment_length` seconds apart, each with the time to seek to.

    None lies beyond a jump of the clock, which a time line does not follow.
    """
    length = max(1, round(segment_length / clock.time_base))
    stride = max(1, round(MAX_GAP_S / 4 / clock.time_base))
    begun = at = clock.origin
    while True:
        seek = min(at + stride, begun + length)
        try:
            start = next(packets_from_key(source, seek, backward=False)).pts
        except (StopIteration, av.error.FFmpegError):
            return
        if start is None or start < seek or (start - seek > stride and _jumps(source, at, start)):
            return
        at = start
        if start >= begun + length:
            yield start, seek
            begun = start


def _jumps(source: Source, begun: int, until: int) -> bool:
    """Whether the clock jumps between two random access points, and the time line ends there."""
    timeline = source.timeline(begun)
    for packet in timeline.count(packets_from_key(source, begun, backward=True), source.stream.index):
        if packet.dts is not None and packet.dts >= until:
            return False
    return bool(timeline.warnings)


def packets_from_key(source: Source, seek: int, backward: bool) -> Iterator[av.Packet]:
    """The packets from the first random access point that a seek leads to."""
    source.container.seek(seek, stream=source.stream, backward=backward)
    packets = source.packets()
    for packet in packets:
        if packet.is_keyframe and packet.size:
            yield packet
            yield from packets
