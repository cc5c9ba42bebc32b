"""What containers say of themselves in their first bytes, read without FFmpeg: hints, as any of it can be wrong."""

from __future__ import annotations

import struct
from typing import BinaryIO

MAX_BOXES = 16
"""Outermost boxes looked at: a plain film has a handful; one of thousands of fragments is not worth as many reads."""


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
