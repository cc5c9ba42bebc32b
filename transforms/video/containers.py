"""What containers say of themselves in their first bytes, read without FFmpeg: hints, as any of it can be wrong."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

MAX_BOXES = 16
"""Outermost boxes looked at: a plain film has a handful; one of thousands of fragments is not worth as many reads."""

MAX_FRAGMENTS = 20_000
"""Boxes looked at where a read costs next to nothing: fragments of a day."""

EBML = b"\x1a\x45\xdf\xa3"
MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
FRAGMENT_BOXES = (b"styp", b"moof", b"sidx")
WEBP_ANIMATION = 0x02


def is_joined(stream: BinaryIO) -> bool:
    """Whether a Matroska or MP4 file may hold several, one after another, whose times start again.

    An index is then of the first alone. So it may be where Matroska is of unknown length, as live streams are. MP4 on
    remote storage is not looked through: each of its boxes would be a request.
    """
    stream.seek(0)
    head = stream.read(128)
    if head[:4] == EBML:
        end = _end_of_matroska(head)
        if not end:
            return True
        stream.seek(end)
        return stream.read(4) == EBML
    if head[4:8] not in MP4_BOXES:
        return False
    return _is_local(stream) and sum(name == b"moov" for name, _ in _boxes(stream, MAX_FRAGMENTS)) > 1


def count_joined(stream: BinaryIO) -> int:
    """How many whole MP4 films a file holds, one after another, of which FFmpeg reads the first; 0 unless several."""
    stream.seek(0)
    names = [name for name, _ in _boxes(stream, MAX_BOXES)]
    films = names.count(b"moov")
    return films if films > 1 and b"moof" not in names else 0


def _is_local(stream: BinaryIO) -> bool:
    try:
        stream.fileno()
    except OSError:
        return False
    return True


def _boxes(stream: BinaryIO, most: int) -> Iterator[tuple[bytes, int]]:
    """The outermost boxes of an MP4 file, so many at most: name and where it ends; none after nonsense."""
    size, at = stream.seek(0, 2), 0
    for _ in range(most):
        stream.seek(at)
        box = stream.read(16)
        if len(box) < 8:
            return
        length = struct.unpack(">I", box[:4])[0]
        if length == 1 and len(box) == 16:
            length = struct.unpack(">Q", box[8:])[0]
        if length < 8:  # to the file's end, or nonsense
            return
        at += length
        yield box[4:8], at
        if at > size:
            return


def missing_bytes(stream: BinaryIO) -> int:
    """How many bytes a file lacks of what its outermost boxes state, by MP4, Matroska and RIFF; 0 where none is known.

    A hint for a warning, no more: what a file states of itself can be wrong.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(128)
    if head[:4] == EBML:
        return max(0, _end_of_matroska(head) - size)
    if head[:4] == b"RIFF":
        return max(0, 8 + struct.unpack("<I", head[4:8])[0] - size)
    if head[4:8] not in MP4_BOXES:
        return 0
    return max(0, max((end for _, end in _boxes(stream, MAX_BOXES)), default=0) - size)


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


def what_it_is(stream: BinaryIO) -> str | None:
    """What a file is of which no picture can be had, with what may help, in words for the user; None if unknown."""
    stream.seek(0)
    head = stream.read(32)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        moving = head[12:16] == b"VP8X" and head[20] & WEBP_ANIMATION
        what = "an animated WebP picture, which FFmpeg does not decode" if moving else "a WebP picture that is damaged"
        return f"is {what}, not a video; convert it to one"
    names = [name for name, _ in _boxes(stream, MAX_BOXES)]
    if not set(names) & {*MP4_BOXES, *FRAGMENT_BOXES}:
        return None
    if b"moov" not in names and b"moof" in names:
        return "is a fragment of a stream without its header; join it to its initialisation segment, which comes first"
    if b"moov" in names and not set(names) & {b"mdat", b"moof"}:
        return "is the initialisation segment of a stream, without pictures; join its fragments to it"
    return None
