"""A video's decoder behind one small interface, limits included.

FFmpeg reads through our own file objects only, one thread a decoder, frames of bounded size; damaged packets are
stepped over and counted. What a file states of itself (lengths, counts) is never believed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import av
from av.format import Flags

from movie_tags.records import Failure
from movie_tags.storage import StorageError, open_seekable, plainly
from movie_tags.transforms.video.containers import is_joined, what_it_is
from movie_tags.transforms.video.errors import VideoError
from movie_tags.transforms.video.streams import Colours, best_stream, shown_streams
from movie_tags.transforms.video.timeline import Timeline

MAX_PIXELS = 8192 * 8192
"""Larger frames are refused: FFmpeg itself would allocate whatever a damaged header asks for."""

MAX_RATE = 1000
"""Frames a second; what a header states beyond is no rate."""

# Containers whose index leads to a random access point exactly; in others a seek lands by guess.
SEEKABLE_FORMATS = frozenset({"mov", "matroska"})
# Codecs whose decoders can pass over pictures that no other refers to and stay exact, damaged streams included.
SKIPPING_CODECS = frozenset({"h264", "hevc", "mpeg2video"})

av.logging.set_level(av.logging.PANIC)  # FFmpeg's own remarks say nothing of the file; our errors do.


def failure_of(error: Exception, stage: str) -> Failure:
    """What an error of whatever a storage client or a decoder raises means for the video."""
    if isinstance(error, VideoError):
        return Failure(stage, error.reason, error.retryable)
    # FFmpeg's errors are OSErrors, too, but of the file's content.
    passing = isinstance(error, OSError) and not isinstance(error, av.error.FFmpegError)
    return Failure(stage, f"could not be read to its end: {plainly(error)}", passing)


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Access:
    """How a process comes to files, and whom it tells of progress.

    Attributes:
        open: opens the file at an address for random reading; raises OSError.
        advanced: is called at each frame that is later than all before; whoever limits the time of decoding wants it.
    """

    open: Callable[[str], BinaryIO] = open_seekable
    advanced: Callable[[], None] = _nothing


HERE = Access()
"""Access of a process that reads storage itself and has no limits."""


@dataclass(frozen=True)
class Source:
    """An open video.

    Attributes:
        container: its container.
        stream: the stream of pictures that a player shows.
        seekable: whether an index leads to a random access point exactly.
        colours: what the container says of them.
    """

    container: av.container.InputContainer
    stream: av.VideoStream
    seekable: bool
    colours: Colours

    @property
    def rate(self) -> Fraction:
        """Frames a second, as far as anything says so."""
        said = self.stream.average_rate, self.stream.guessed_rate
        rate = said[1] or said[0] if self.lacks_time_stamps else said[0] or said[1]  # FFmpeg averages what it supposed
        return rate if rate and 0 < rate <= MAX_RATE else Fraction(25)

    @property
    def frame_ticks(self) -> int:
        """How long a frame is on screen by that rate, in ticks, at least one."""
        return max(1, round(1 / (self.rate * self.stream.time_base)))

    @property
    def lacks_time_stamps(self) -> bool:
        """Whether it is a bare stream of pictures in no container, whose frames have to be counted."""
        return self._has(Flags.no_timestamps)

    def timeline(self, origin: int | None = None) -> Timeline:
        """A time line for one reading; `origin` is of the times in its warnings, in ticks."""
        may_jump = self._has(Flags.ts_discont)
        return Timeline(self.stream.time_base, self.frame_ticks, not self.seekable, may_jump, origin)

    def packets(self) -> Iterator[av.Packet]:
        """The stream's packets in order; among them those of the sound, where a time line listens to it."""
        if self._has(Flags.ts_discont):
            return self.container.demux([self.stream, *self.container.streams.audio])
        return self.container.demux(self.stream)

    def timed(self, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        """The stream's own among some packets, by a time line of theirs."""
        return self.timeline().count(packets, self.stream.index)

    def _has(self, flag: Flags) -> bool:
        return bool(self.container.format.flags & flag.value)


@contextlib.contextmanager
def open_video(uri: str, access: Access = HERE) -> Iterator[Source]:
    """Open a video: its container and the stream of pictures that a player shows.

    Args:
        uri: the video.
        access: how it is opened.

    Raises:
        VideoError: it cannot be opened, or holds no moving pictures.
    """
    with _open_container(uri, access) as (container, whole):
        streams = shown_streams(container)
        if len(streams) == 1:
            yield _source(container, streams[0], whole)
            return
        index = best_stream(container, streams).index
    with _open_container(uri, access) as (container, whole):  # anew, as packets were read to choose
        yield _source(container, container.streams[index], whole)


@contextlib.contextmanager
def _open_container(uri: str, access: Access) -> Iterator[tuple[av.container.InputContainer, bool]]:
    """A container, and whether it is a single one, so that its index is of all of the file."""
    try:
        stream_of_bytes = access.open(uri)
    except Exception as error:  # every storage client has exceptions of its own
        raise VideoError(f"cannot be opened: {plainly(error)}", retryable=True) from error
    with stream_of_bytes:
        if not stream_of_bytes.read(1):
            raise VideoError("the file is empty; copy it again")
        whole = not is_joined(stream_of_bytes)
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
            raise VideoError(f"cannot be opened: {plainly(error)}", retryable=True) from error
        except MemoryError:
            raise
        except Exception as error:
            unreadable = (
                f"is not a video that FFmpeg can read, or its beginning is damaged or missing ({plainly(error)})"
            )
            raise VideoError(what_it_is(stream_of_bytes) or unreadable) from error
        with container:
            yield container, whole


def _source(container: av.container.InputContainer, stream: av.VideoStream, whole: bool) -> Source:
    """A video with one decoder thread and bounded frames: the workers are what fills the cores."""
    context = stream.codec_context
    context.thread_count = 1
    context.thread_type = "NONE"
    context.options = {"max_pixels": str(MAX_PIXELS)}
    return Source(container, stream, whole and is_seekable(container), Colours.of(stream))


class PlaylistError(OSError):
    """FFmpeg asked for a further file while opening a video."""


def _refuse_other_files(url: str, flags: int, options: dict) -> BinaryIO:
    raise PlaylistError(f"refused to open {url}")


def is_seekable(container: av.container.InputContainer) -> bool:
    """Whether the container's index leads to a random access point exactly."""
    return bool(SEEKABLE_FORMATS.intersection(container.format.name.split(",")))


WINDOW = 100
"""Packets by which it is judged whether pictures come of them."""
LEAST_SHARE = 1 / 20
"""Of them that must give one: where pictures that no other refers to are passed over, 1 in 17 is left at least."""


class Lost:
    """Notices where packets go on and next to no picture comes of them, as of another codec than the stream's.

    Attributes:
        begin, end: presentation times of the first such packet and the last, in ticks; None where there is none.
    """

    def __init__(self) -> None:
        self.begin: int | None = None
        self.end: int | None = None
        self._packets = self._pictures = 0
        self._silent: int | None = None  # since which packet no picture has come
        self._since = 0  # the first packet of these, or since when none had come before it
        self._latest = 0

    def note(self, pts: int, pictures: int) -> None:
        """A packet was decoded, and so many pictures came."""
        if pictures:
            self._silent = None
        elif self._silent is None:
            self._silent = pts
        if not self._packets:
            self._since = pts if self._silent is None else self._silent
        self._latest = max(pts, self._latest) if self._packets else pts
        self._packets += 1
        self._pictures += pictures
        if self._packets == WINDOW:
            self.judge()

    def judge(self) -> None:
        """Tell whether pictures came of the packets since this was told last."""
        if self._packets >= WINDOW // 2 and self._pictures < LEAST_SHARE * self._packets:
            self.begin = self._since if self.begin is None else self.begin
            self.end = self._latest
        self._packets = self._pictures = 0

    def warnings(self, origin: int, time_base: Fraction) -> tuple[str, ...]:
        """In words, of a video that begins at `origin`, in ticks; none where nothing was lost."""
        if self.begin is None or self.end is None:
            return ()
        begin_s, seconds = (float(ticks * time_base) for ticks in (self.begin - origin, self.end - self.begin))
        return (
            f"its pictures from {begin_s:.0f} s on, {seconds:.0f} s of them, could not be decoded and are lost: they "
            "are of another codec, as where two recordings were joined, or damaged",
        )


class Decoder:
    """Decodes packets one by one, steps over damaged ones and counts them.

    Attributes:
        fresh: presentation times of packets before which some were left out: decoding begins anew with them.
        decoded: frames so far.
        damaged: packets so far that could not be decoded, with presentation times from `begin` until `end`.
        lost: where next to nothing could be decoded, of a video that is read in one piece; known `at_end`.
    """

    def __init__(
        self,
        source: Source,
        begin: int | None = None,
        end: int | None = None,
        advanced: Callable[[], None] = HERE.advanced,
    ):
        self.context = source.stream.codec_context
        self.advanced = advanced
        self.can_skip = self.context.name in SKIPPING_CODECS
        self.counts = source.lacks_time_stamps
        self.frame_ticks = source.frame_ticks
        self.begin, self.end = begin, end
        self.fresh: set[int] = set()
        self.decoded = 0
        self.damaged = 0
        self.latest: int | None = None
        self.lost = Lost()
        self.in_one_piece = not source.seekable
        self.at_end = False

    def frames(self, marked: Iterable[tuple[av.Packet, bool]]) -> Iterator[tuple[int, av.VideoFrame]]:
        """(packet, whether its picture is needed) -> frames with their presentation times in ticks.

        Frames that are not needed may be missing.
        """
        for packet, needed in marked:
            if packet.pts in self.fresh:
                # Across what was left out a decoder would put pictures in the wrong order.
                self.fresh.remove(packet.pts)
                yield from self._decode(None)
                self.context.flush_buffers()
            mode = "DEFAULT" if needed or not self.can_skip else "NONREF"
            if self.context.skip_frame != mode:
                self.context.skip_frame = mode
            yield from self._decode(packet)
        self.context.skip_frame = "DEFAULT"
        yield from self._decode(None)
        self.lost.judge()
        self.at_end = True

    def _note(self, packet: av.Packet | None, pictures: int) -> None:
        if self.in_one_piece and self.decoded and packet is not None and packet.pts is not None:
            self.lost.note(packet.pts, pictures)

    def _decode(self, packet: av.Packet | None) -> Iterator[tuple[int, av.VideoFrame]]:
        try:
            frames = self.context.decode(packet)
        except av.error.EOFError:
            return
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, MemoryError):
                raise
            if packet is None:
                return
            self._note(packet, 0)
            if packet.pts is None or (
                (self.begin is None or packet.pts >= self.begin) and (self.end is None or packet.pts < self.end)
            ):
                self.damaged += 1
            return
        self._note(packet, len(frames))
        self.decoded += len(frames)
        for frame in frames:
            pts = frame.pts if frame.pts is not None else frame.dts
            if pts is None and self.counts:
                pts = frame.pts = 0 if self.latest is None else self.latest + self.frame_ticks
                frame.duration = self.frame_ticks
            if pts is not None:
                if self.latest is None or pts > self.latest:
                    self.latest = pts
                    self.advanced()
                yield pts, frame
