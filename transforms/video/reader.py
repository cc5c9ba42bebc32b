"""A video: what names it, why it failed, and its decoder behind one small interface, limits included.

FFmpeg reads through our own file objects only, one thread a decoder, frames of bounded size; damaged packets are
stepped over and counted. What a file states of itself (lengths, counts) is never believed.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import av
import cv2
import numpy as np

from movie_tags.storage import StorageError, open_seekable, plainly

ANALYSIS_SHORT_SIDE = 360
"""Sampled frames are shrunk to this short side, in pixels, by area averaging: every later step sees that picture."""

MAX_PIXELS = 8192 * 8192
"""Larger frames are refused: FFmpeg itself would allocate whatever a damaged header asks for."""

# Containers whose index leads to a random access point exactly; in others a seek lands by guess.
SEEKABLE_FORMATS = frozenset({"mov", "matroska"})
# Codecs whose decoders can pass over pictures that no other refers to and stay exact, damaged streams included.
SKIPPING_CODECS = frozenset({"h264", "hevc", "mpeg2video"})

av.logging.set_level(av.logging.PANIC)  # FFmpeg's own remarks say nothing of the file; our errors do.


@dataclass(frozen=True, order=True)
class Video:
    """One input: `uri` is a path or gs:// address, `id` names it in the results, `title` is for people.

    `version` tells what lies at the address from what lay there at another time (`storage.about`); "" if unknown.
    """

    id: str
    uri: str
    title: str = ""
    version: str = ""


@dataclass(frozen=True, order=True)
class Failure:
    """Why a video has no result, or which of its key frames has none.

    Attributes:
        stage: the step that failed: catalogue, opening, sampling, shots, tagging; worker (the film kills it), or
            accounting (something was lost).
        reason: what is wrong and what may help, in words for the user.
        again: whether trying again can help: a storage may answer tomorrow, a text file will never be a video.
    """

    stage: str
    reason: str
    again: bool = False


class VideoError(Exception):
    """A video that cannot be processed.

    Attributes:
        reason: what is wrong and what may help, in words for the user; the caller adds the video's name.
        again: whether trying again can help.
    """

    def __init__(self, reason: str, again: bool = False):
        super().__init__(reason)
        self.reason = reason
        self.again = again


def failure_of(error: Exception, stage: str) -> Failure:
    """What an error of whatever a storage client or a decoder raises means for the video."""
    if isinstance(error, VideoError):
        return Failure(stage, error.reason, error.again)
    # FFmpeg's errors are OSErrors, too, but of the file's content.
    passing = isinstance(error, OSError) and not isinstance(error, av.error.FFmpegError)
    return Failure(stage, f"could not be read to its end: {plainly(error)}", passing)


@contextlib.contextmanager
def open_video(uri: str) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open a video's container and its first real picture stream.

    Raises:
        VideoError: it cannot be opened, or holds no moving pictures.
    """
    try:
        stream_of_bytes = open_seekable(uri)
    except Exception as error:  # every storage client has exceptions of its own
        raise VideoError(f"cannot be opened: {plainly(error)}", again=True) from error
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
            raise VideoError(f"cannot be opened: {plainly(error)}", again=True) from error
        except MemoryError:
            raise
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


def is_seekable(container: av.container.InputContainer) -> bool:
    """Whether the container's index leads to a random access point exactly."""
    return bool(SEEKABLE_FORMATS.intersection(container.format.name.split(",")))


class Decoder:
    """Decodes packets one by one, steps over damaged ones and counts them.

    Attributes:
        fresh: presentation times of packets before which some were left out: decoding begins anew with them.
        decoded: frames so far.
        damaged: packets so far that could not be decoded, with presentation times from `begin` until `end`.
    """

    advanced: Callable[[], None] = staticmethod(lambda: None)
    """Called at each frame that is later than all before; whoever limits the time of decoding sets it."""

    def __init__(self, context: av.VideoCodecContext, begin: int | None = None, end: int | None = None):
        self.context = context
        self.can_skip = context.name in SKIPPING_CODECS
        self.begin, self.end = begin, end
        self.fresh: set[int] = set()
        self.decoded = 0
        self.damaged = 0
        self.latest: int | None = None

    def frames(self, marked: Iterable[tuple[av.Packet, bool]]) -> Iterator[tuple[int, av.VideoFrame]]:
        """(packet, whether its picture is needed) -> frames with their presentation times in ticks.

        Frames that are not needed may be missing.
        """
        try:
            for packet, needed in marked:
                if packet.size == 0:  # the demuxer's own end mark
                    continue
                if packet.pts in self.fresh:
                    # Across what was left out a decoder would put pictures in the wrong order.
                    self.fresh.remove(packet.pts)
                    yield from self._decode(None)
                    self.context.flush_buffers()
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
            if isinstance(error, MemoryError):
                raise
            if packet is None:
                return
            if packet.pts is None or (
                (self.begin is None or packet.pts >= self.begin) and (self.end is None or packet.pts < self.end)
            ):
                self.damaged += 1
            return
        self.decoded += len(frames)
        for frame in frames:
            pts = frame.pts if frame.pts is not None else frame.dts
            if pts is not None:
                if self.latest is None or pts > self.latest:
                    self.latest = pts
                    self.advanced()
                yield pts, frame


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


def missing_bytes(stream: BinaryIO) -> int:
    """How many bytes a file lacks of what its outermost boxes state, by MP4, Matroska and RIFF; 0 where none is known.

    A hint for a warning, no more: what a file states of itself can be wrong.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(128)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return max(0, _end_of_matroska(head) - size)
    if head[:4] == b"RIFF":
        return max(0, 8 + struct.unpack("<I", head[4:8])[0] - size)
    if head[4:8] not in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
        return 0
    at = 0
    for _ in range(MAX_BOXES):
        stream.seek(at)
        box = stream.read(16)
        if len(box) < 8:
            return 0
        length = struct.unpack(">I", box[:4])[0]
        if length == 1 and len(box) == 16:
            length = struct.unpack(">Q", box[8:])[0]
        if length < 8:  # to the file's end, or nonsense
            return 0
        at += length
        if at > size:
            return at - size
    return 0


MAX_BOXES = 16
"""Outermost boxes looked at: a plain film has a handful; one of thousands of fragments is not worth as many reads."""


def _end_of_matroska(head: bytes) -> int:
    """Where the segment of a Matroska file ends as it states; 0 where it does not."""

    def number(at: int) -> tuple[int | None, int]:
        length = 9 - head[at].bit_length() if at < len(head) and head[at] else 9
        data = head[at : at + length]
        if len(data) < length:
            return None, at
        value = int.from_bytes(data, "big") & ((1 << 7 * length) - 1)
        unknown = value == (1 << 7 * length) - 1
        return None if unknown else value, at + length

    length, at = number(4)
    if length is None or head[at + length : at + length + 4] != b"\x18\x53\x80\x67":
        return 0
    length, at = number(at + length + 4)
    return 0 if length is None else at + length
