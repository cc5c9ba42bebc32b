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
import heapq
import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import apache_beam as beam
import av
import cv2
import numpy as np
from apache_beam.metrics import Metrics

from movie_tags.transforms.storage import StorageError, open_seekable, plainly

ANALYSIS_SHORT_SIDE = 360
"""Sampled frames are shrunk to this short side, in pixels, by area averaging: every later step sees that picture."""

MAX_PIXELS = 8192 * 8192
"""Larger frames are refused: FFmpeg itself would allocate whatever a damaged header asks for."""

MAX_GAP_S = 3600
"""A longer silence between two frames is a damaged clock, not a still picture."""

# Containers whose index leads to a random access point exactly; in others a seek lands by guess.
SEEKABLE_FORMATS = frozenset({"mov", "matroska"})
# A queue of more packets than this is decoded without waiting to learn which frames are needed.
MAX_LOOKAHEAD_PACKETS = 1500
# Codecs whose decoders can pass over pictures that no other refers to and stay exact, damaged streams included.
SKIPPING_CODECS = frozenset({"h264", "hevc", "mpeg2video"})

av.logging.set_level(av.logging.PANIC)  # FFmpeg's own remarks say nothing of the file; our errors do.


class VideoError(Exception):
    """A video that cannot be processed.

    Attributes:
        reason: what is wrong and what may help, in words for the user; the caller adds the video's name.
    """

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, order=True)
class Video:
    """One input: `uri` is a path or gs:// address, `id` names it in the results, `title` is for people."""

    id: str
    uri: str
    title: str = ""


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
        return max(0, math.ceil((pts - self.origin) * self.time_base * self.fps))

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
    """

    index: int
    count: int
    clock: SampleClock
    start: int | None = None
    end: int | None = None
    seek: int | None = None


@dataclass(frozen=True)
class Frame:
    """Sample `index` of a video: `pixels` is uint8 RGB [H, W, 3], upright, short side at most ANALYSIS_SHORT_SIDE."""

    index: int
    pixels: np.ndarray


@contextlib.contextmanager
def open_video(uri: str) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open a video's container and its first real picture stream.

    Raises:
        VideoError: it cannot be opened, or holds no moving pictures.
    """
    try:
        stream_of_bytes = open_seekable(uri)
    except Exception as error:  # every storage client has exceptions of its own
        raise VideoError(f"cannot be opened: {plainly(error)}") from error
    with stream_of_bytes:
        if not stream_of_bytes.read(1):
            raise VideoError("the file is empty; copy it again")
        stream_of_bytes.seek(0)
        try:
            container = av.open(
                stream_of_bytes,
                io_open=_refuse_other_files,
                options={"protocol_whitelist": "none"},
                buffer_size=1 << 18,
            )
        except PlaylistError as error:
            raise VideoError("is a playlist that points to other files, not a video; name those files") from error
        except StorageError as error:
            raise VideoError(f"cannot be opened: {plainly(error)}") from error
        except Exception as error:
            raise VideoError(
                f"is not a video that FFmpeg can read, or its beginning is damaged or missing ({plainly(error)})"
            ) from error
        with container:
            pictures = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            if not pictures:
                only = "a cover picture" if container.streams.video else "no picture at all"
                raise VideoError(f"has no video stream (sound, and {only})")
            stream = pictures[0]
            context = stream.codec_context
            if context is None:
                raise VideoError(
                    "its video codec is not known to this build of FFmpeg; convert it, to H.264 for example"
                )
            # One decoder thread each: the workers are what fills the cores.
            context.thread_count = 1
            context.thread_type = "NONE"
            context.options = {"max_pixels": str(MAX_PIXELS)}
            yield container, stream


class PlaylistError(OSError):
    """FFmpeg asked for a further file while opening a video."""


def _refuse_other_files(url: str, flags: int, options: dict) -> BinaryIO:
    raise PlaylistError(f"refused to open {url}")


def reason_of(error: Exception) -> str:
    """Why a video failed, in words for the user."""
    return error.reason if isinstance(error, VideoError) else f"could not be read to its end: {plainly(error)}"


def plan_segments(uri: str, fps: float | Fraction = 1, segment_length: float | None = None) -> list[Segment]:
    """Cut a video into segments of at least `segment_length` seconds at its codec's random access points.

    Decodes one frame and reads one packet for each border. The lengths that headers state are not used: they lie.

    Args:
        uri: the video.
        fps: samples a second.
        segment_length: the shortest segment, in seconds; None for one segment.

    Raises:
        VideoError: the video cannot be opened, or no frame of it can be decoded.
    """
    with open_video(uri) as (container, stream):
        decoder = _Decoder(stream.codec_context)
        first = next(decoder.frames((packet, True) for packet in container.demux(stream)), None)
        if first is None:
            raise VideoError(
                f"no frame could be decoded ({decoder.damaged} damaged packets); it may be encrypted or cut off"
            )
        clock = SampleClock(first[0], stream.time_base, Fraction(fps).limit_denominator(10**6))
        borders = list(_borders(container, stream, clock, segment_length)) if segment_length else []
    starts: list[tuple[int | None, int | None]] = [(None, None), *borders]
    ends = [start for start, _ in borders] + [None]
    return [
        Segment(i, len(starts), clock, start, end, seek)
        for i, ((start, seek), end) in enumerate(zip(starts, ends, strict=True))
    ]


def _borders(container, stream, clock: SampleClock, segment_length: float) -> Iterator[tuple[int, int]]:
    """Random access points at least `segment_length` seconds apart, each with the time to seek to."""
    if not _is_seekable(container):
        return
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


def _is_seekable(container) -> bool:
    return bool(SEEKABLE_FORMATS.intersection(container.format.name.split(",")))


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


class SegmentReader:
    """Iterates over the sampled frames of a segment, or of some samples of it, in order.

    Attributes:
        damaged: packets that could not be decoded so far.
        end_s: when the last frame seen leaves the screen, in seconds after the video's first frame.
    """

    def __init__(self, uri: str, segment: Segment, only: range | None = None):
        """Args: the video's address, the segment, and the numbers of the samples to give (all of the segment's)."""
        self.uri = uri
        self.segment = segment
        self.only = only
        self.damaged = 0
        self.end_s = 0.0

    def __iter__(self) -> Iterator[Frame]:
        segment, clock = self.segment, self.segment.clock
        first = clock.first_due(segment.start) if segment.start is not None else 0
        seek, backward = segment.seek, False
        if self.only is not None:
            first = self.only.start
            seek, backward = math.floor(clock.due(first)), True
        started = False
        if seek is not None:
            with open_video(self.uri) as (container, stream):
                if _is_seekable(container):
                    _prime(container, stream)
                    packets = self._packets_before(container, stream, first, seek, backward)
                    for frame in self._sample(packets, stream, first):
                        started = True
                        yield frame
        if not started:
            # From the video's beginning: either asked for, or nothing decodable lies between the random access point
            # and the first sample. What is on screen then is known only by decoding from the start, as a player does.
            self.damaged = 0
            with open_video(self.uri) as (container, stream):
                yield from self._sample(container.demux(stream), stream, first)

    def _packets_before(self, container, stream, first: int, seek: int, backward: bool) -> Iterator[av.Packet]:
        """The packets from a random access point that is not later than sample `first`."""
        try:
            packets = _packets_from_key(container, stream, seek, backward)
            packet = next(packets, None)
            while packet is not None and not backward and packet.pts != self.segment.start:
                packet = next(packets, None)
        except av.error.FFmpegError:
            return
        if packet is not None and packet.pts is not None and packet.pts <= self.segment.clock.due(first):
            yield packet
            yield from packets

    def _sample(self, packets: Iterable[av.Packet], stream, first: int) -> Iterator[Frame]:
        clock, end = self.segment.clock, self.segment.end
        stop = math.inf if self.only is None else self.only.stop
        decoder = _Decoder(stream.codec_context, end)
        last_source, pixels = None, None
        frames = self._noting_the_end(decoder.frames(mark_needed(packets, clock, first)))
        for k, source in on_screen(frames, clock, first, end):
            if k >= stop:
                break
            if source is not last_source:  # a still picture is converted once
                last_source, pixels = source, to_rgb(source)
            self.damaged = decoder.damaged
            yield Frame(k, pixels)
        self.damaged = decoder.damaged

    def _noting_the_end(self, frames: Iterable[tuple[int, av.VideoFrame]]) -> Iterator[tuple[int, av.VideoFrame]]:
        clock = self.segment.clock
        for pts, frame in frames:
            shown_s = min(MAX_GAP_S, (frame.duration or 0) * clock.time_base)
            self.end_s = max(self.end_s, float((pts - clock.origin) * clock.time_base + shown_s))
            yield pts, frame


class _Decoder:
    """Decodes packets one by one, steps over damaged ones and counts them."""

    def __init__(self, context: av.VideoCodecContext, end: int | None = None):
        self.context = context
        self.can_skip = context.name in SKIPPING_CODECS
        self.end = end
        self.damaged = 0

    def frames(self, marked: Iterable[tuple[av.Packet, bool]]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their presentation times in ticks; frames that are not needed may be missing."""
        try:
            for packet, needed in marked:
                if packet.size == 0:  # the demuxer's own end mark
                    continue
                mode = "DEFAULT" if needed or not self.can_skip else "NONREF"
                if self.context.skip_frame != mode:
                    self.context.skip_frame = mode
                yield from self._decode(packet)
        except av.error.InvalidDataError:  # of the container: there is nothing to read beyond
            self.damaged += 1
        self.context.skip_frame = "DEFAULT"
        yield from self._decode(None)

    def _decode(self, packet: av.Packet | None) -> Iterator[tuple[int, av.VideoFrame]]:
        try:
            frames = self.context.decode(packet)
        except av.error.EOFError:
            return
        except (av.error.FFmpegError, ValueError) as error:
            if packet is None:
                return
            if isinstance(error, MemoryError):
                raise
            if self.end is None or packet.pts is None or packet.pts < self.end:
                self.damaged += 1
            return
        for frame in frames:
            pts = frame.pts if frame.pts is not None else frame.dts
            if pts is not None:
                yield pts, frame


def mark_needed(packets: Iterable[av.Packet], clock: SampleClock, first: int) -> Iterator[tuple[av.Packet, bool]]:
    """Say of each packet, in decoding order, whether its picture is (or might be) a sample from number `first` on.

    Pictures that are no sample and that no other picture refers to need not be decoded. A packet is held back until
    packets with decoding times past its sample have been seen: presentation never precedes decoding, so by then the
    last picture before the sample's time is known. Where a file's times are missing or break that rule, every packet
    counts as needed.
    """
    waiting: deque[av.Packet] = deque()
    ahead: list[int] = []  # presentation times seen and later than every sample settled so far; a heap
    targets: set[int] = set()
    on_screen_pts: int | None = None
    k, settled, due = first, clock.due(first - 1), clock.due(first)
    packets = iter(packets)
    for packet in packets:
        if packet.size == 0:
            continue
        if packet.pts is None or packet.dts is None or packet.dts > packet.pts:
            yield from ((held, True) for held in waiting)
            waiting.clear()
            yield packet, True
            break
        waiting.append(packet)
        heapq.heappush(ahead, packet.pts)
        while due < packet.dts:
            k, settled, due = k + 1, due, clock.due(k + 1)
            while ahead and ahead[0] <= settled:
                on_screen_pts = heapq.heappop(ahead)
            targets.add(on_screen_pts)
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
            if (min(pts, limit) - current_pts) * clock.time_base > MAX_GAP_S:
                at = float((current_pts - clock.origin) * clock.time_base)
                raise VideoError(
                    f"its clock jumps by {float((pts - current_pts) * clock.time_base):.0f} s at {at:.0f} s; "
                    "copy it to a new container to repair its time stamps"
                )
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
        while clock.due(k) < end:
            yield k, current
            k += 1


def to_rgb(frame: av.VideoFrame) -> np.ndarray:
    """A decoded frame as uint8 RGB [H, W, 3]: upright, short side at most ANALYSIS_SHORT_SIDE, by area averaging.

    Raises:
        VideoError: the frame is larger than MAX_PIXELS.
    """
    width, height = frame.width, frame.height
    if width * height > MAX_PIXELS:
        raise VideoError(f"its frames of {width} x {height} pixels are larger than can be decoded safely")
    scale = min(1.0, ANALYSIS_SHORT_SIDE / min(width, height))
    pixels = frame.to_ndarray(format="rgb24")
    if scale < 1:  # OpenCV averages areas at half the price of FFmpeg's scaler
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    quarter_turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns)) if quarter_turns else pixels


def use_one_thread() -> None:
    """Keep OpenCV from starting threads of its own: the worker processes are what fills the cores."""
    cv2.setNumThreads(1)


class PlanSegments(beam.DoFn):
    """Video -> (video, segment) for each of its segments; what fails goes to the output FAILED as (video, reason)."""

    FAILED = "failed"

    def __init__(self, fps: float, segment_length: float | None):
        self.fps = fps
        self.segment_length = segment_length
        self.planned = Metrics.counter("sampling", "segments_planned")
        self.failed = Metrics.counter("sampling", "videos_not_opened")

    def process(self, video: Video) -> Iterator:
        try:
            segments = plan_segments(video.uri, self.fps, self.segment_length)
        except Exception as error:  # whatever a storage client or a decoder may raise costs this video alone
            self.failed.inc()
            yield beam.pvalue.TaggedOutput(self.FAILED, (video, reason_of(error)))
            return
        self.planned.inc(len(segments))
        for segment in segments:
            yield video, segment
