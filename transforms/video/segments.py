"""Segments: a video is cut at its codec's random access points into stretches that are decoded on their own.

A segment begins at one of the codec's own random access points, so almost nothing is decoded twice and a segment's
frames are those that decoding from the start would give. Where a container offers no dependable random access, its
video is one segment.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av

from movie_tags.transforms.video.clock import Clock
from movie_tags.transforms.video.containers import missing_bytes
from movie_tags.transforms.video.draft import Draft, DraftClock
from movie_tags.transforms.video.errors import VideoError
from movie_tags.transforms.video.exact import SampleClock
from movie_tags.transforms.video.reader import HERE, Access, Decoder, is_seekable, open_video


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
    clock: Clock
    start: int | None = None
    end: int | None = None
    seek: int | None = None
    seekable: bool = False
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
    with open_video(uri, access) as (container, stream):
        decoder = Decoder(stream.codec_context)
        first = next(decoder.frames((packet, True) for packet in container.demux(stream)), None)
        if first is None:
            raise VideoError(
                f"no frame could be decoded ({decoder.damaged} damaged packets); it may be encrypted or cut off"
            )
        clock: Clock = SampleClock(first[0], stream.time_base, Fraction(fps).limit_denominator(10**6))
        if draft is not None and not _shorter(container, stream, draft.min_length):
            gap = Fraction(draft.max_gap).limit_denominator(10**6)
            clock = DraftClock(clock.origin, clock.time_base, clock.fps, gap)
        seekable = is_seekable(container)
        borders = list(_borders(container, stream, clock, segment_length)) if segment_length and seekable else []
    missing = 0
    with contextlib.suppress(OSError), access.open(uri) as plain:
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


def _borders(container, stream, clock: Clock, segment_length: float) -> Iterator[tuple[int, int]]:
    """Random access points at least `segment_length` seconds apart, each with the time to seek to."""
    length = max(1, round(segment_length / clock.time_base))
    seek = clock.origin + length
    while True:
        try:
            start = next(packets_from_key(container, stream, seek, backward=False)).pts
        except (StopIteration, av.error.FFmpegError):
            return
        if start is None or start < seek:
            return
        yield start, seek
        seek = start + length


def packets_from_key(container, stream, seek: int, backward: bool) -> Iterator[av.Packet]:
    """The packets from the first random access point that a seek leads to."""
    container.seek(seek, stream=stream, backward=backward)
    packets = container.demux(stream)
    for packet in packets:
        if packet.is_keyframe and packet.size:
            yield packet
            yield from packets
