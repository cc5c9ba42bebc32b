"""Damaged films, made from whole ones: bit flips, cuts, splices, lying headers, far time stamps.

    python tests/soak/damage.py NUMBER FILE        (makes the damaged film of that number again)

A damaged film is determined by its number and the clips at hand: those made here and, where there are any, shared ones.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from films import VIDEOS, picture, write_video

MADE = (
    ("h264.mp4", "libx264", {"g": "12", "bf": "2"}),
    ("h264.mkv", "libx264", {"g": "30", "bf": "3"}),
    ("h264.ts", "libx264", {"g": "12"}),
    ("h264.avi", "libx264", {"g": "12"}),
    ("h264.flv", "libx264", {"g": "25", "bf": "2"}),
    ("hevc.mp4", "libx265", {"x265-params": "log-level=none:pools=none"}),
    ("vp8.webm", "libvpx", {"deadline": "realtime"}),
    ("vp8.ivf", "libvpx", {"deadline": "realtime"}),
    ("vp9.webm", "libvpx-vp9", {"deadline": "realtime"}),
    ("vp9.mp4", "libvpx-vp9", {"deadline": "realtime"}),
    ("mpeg4.avi", "mpeg4", {"bf": "2"}),
    ("mpeg4.mov", "mpeg4", {}),
    ("mpeg2.ts", "mpeg2video", {"bf": "2"}),
    ("mpeg2.vob", "mpeg2video", {}),
    ("msmpeg4.avi", "msmpeg4v3", {}),
    ("wmv2.wmv", "wmv2", {}),
)
SHARED = ("clips", "odd", "hostile")
MAX_SHARED_BYTES = 700_000

EXTREMES = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**62,
    2**63 - 1,
    2**64 - 1,
)
HEADERS = re.compile(
    rb"ftyp|moov|trak|mdia|minf|stbl|stsd|stsz|stsc|stco|stss|avc1|avcC|hvcC|esds|mdat|moof|traf|trun|tfhd|sidx|udta|"
    rb"RIFF|LIST|avih|strh|strf|idx1|movi|DKIF|OggS|\.RMF|PROP|MDPR|FLV\x01|onMetaData|"
    rb"\x1aE\xdf\xa3|\x18S\x80g|\x16T\xaek|\x11M\x9bt|\x1cS\xbbk|\x15I\xa9f|G\x40\x00|\x00\x00\x01[\xb3\xb5\xba\xbb]"
)
"""Where headers begin, in MP4, AVI, IVF, Ogg, RealMedia, FLV, Matroska, MPEG."""
TIMES = {
    rb"stts|ctts|elst": (8, 24),
    rb"mvhd|mdhd|tkhd": (8, 28),
    rb"tfdt|trun": (4, 24),
    rb"\x1fC\xb6u.{1,8}\xe7": (0, 3),
    rb"OggS": (2, 10),
    rb"\x00\x00\x01[\xe0-\xef].{2}[\x80-\xbf]": (2, 12),
    rb"strh": (20, 40),
    rb"avih": (4, 12),
    rb"DKIF": (12, 40),
}
"""Where times stand: by what is before them, from so many bytes after it to so many."""

Mutation = Callable[[bytearray, np.random.Generator], None]


def make_clips(folder: Path) -> list[Path]:
    """Short whole films of many kinds, in order; those that there are already are kept."""
    clips = []
    for number, (name, codec, options) in enumerate(MADE):
        path = folder / name
        if not path.exists():
            width = 128 if number % 2 else 176
            height = 96 if number % 2 else 144
            pictures = [picture(number * 10 + k // 20, height, width) for k in range(75)]
            write_video(path, pictures, codec=codec, options=options)
        clips.append(path)
    shared = [path for part in SHARED for path in sorted((VIDEOS / part).glob("*"))] if VIDEOS.is_dir() else []
    return [*clips, *(path for path in shared if 0 < path.stat().st_size <= MAX_SHARED_BYTES)]


def flip_bits(data: bytearray, random: np.random.Generator) -> None:
    """1 to some 500 bits, anywhere or close together."""
    count = int(2 ** random.uniform(0, 9))
    begin = int(random.integers(len(data)))
    width = len(data) if random.random() < 0.5 else 4096
    for _ in range(count):
        data[(begin + int(random.integers(width))) % len(data)] ^= 1 << int(random.integers(8))


def cut(data: bytearray, random: np.random.Generator) -> None:
    """The end, the beginning or a piece from within is missing."""
    a, b = sorted(random.integers(0, len(data) + 1, 2).tolist())
    where = random.integers(3)
    if where == 0:
        del data[max(1, a) :]
    elif where == 1:
        del data[: min(a, len(data) - 1)]
    else:
        del data[a : min(b, a + len(data) - 1)]


def splice(data: bytearray, random: np.random.Generator, other: bytes) -> None:
    """A piece of a film inside another, in place of what was there or beside it."""
    begin = int(random.integers(len(other)))
    piece = other[begin : begin + int(2 ** random.uniform(3, 17))]
    at = int(random.integers(len(data) + 1))
    data[at : at + (len(piece) if random.random() < 0.5 else 0)] = piece


def lie(data: bytearray, random: np.random.Generator) -> None:
    """A number in or before a header is some other one."""
    places = [found.start() for found in HEADERS.finditer(data)] or [0]
    for _ in range(int(random.integers(1, 4))):
        at = places[int(random.integers(len(places)))] + int(random.integers(-8, 48))
        write_number(data, random, max(0, at))


def far_times(data: bytearray, random: np.random.Generator) -> None:
    """Times far from what they were."""
    places = [(found.end(), reach) for mark, reach in TIMES.items() for found in re.finditer(mark, data, re.DOTALL)]
    if data[:4] == b"DKIF":
        places += [(at + 4, (0, 8)) for at in ivf_frames(data)]
    for _ in range(int(random.integers(1, 6))):
        at, (low, high) = places[int(random.integers(len(places)))] if places else (0, (0, 64))
        write_number(data, random, at + int(random.integers(low, high)))


def ivf_frames(data: bytearray) -> list[int]:
    """Where the frame headers of an IVF file begin."""
    places, at = [], 32
    while at + 12 <= len(data):
        places.append(at)
        at += 12 + int.from_bytes(data[at : at + 4], "little")
    return places


def write_number(data: bytearray, random: np.random.Generator, at: int) -> None:
    size = int(random.choice([1, 2, 4, 8]))
    number = int(random.choice(len(EXTREMES)))
    value = EXTREMES[number] if random.random() < 0.7 else int(random.integers(2**63))
    order = "big" if random.random() < 0.7 else "little"
    data[at : at + size] = (value % 256**size).to_bytes(size, order)


def damaged(number: int, clips: Sequence[Path]) -> tuple[str, bytes]:
    """The damaged film of a number: (a name that tells what was done, its bytes)."""
    random = np.random.default_rng([number, 20261125])
    source, other = (clips[int(random.integers(len(clips)))] for _ in range(2))
    mutations: dict[str, Mutation] = {
        "flips": flip_bits,
        "cut": cut,
        "splice": partial(splice, other=other.read_bytes()),
        "lies": lie,
        "times": far_times,
    }
    data, done = bytearray(source.read_bytes()), []
    for _ in range(int(random.integers(1, 4))):
        name = list(mutations)[int(random.integers(len(mutations)))]
        if data:
            mutations[name](data, random)
            done.append(name)
    return f"{number:06}-{'-'.join(done)}-{source.name}", bytes(data)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        Path(sys.argv[2]).write_bytes(damaged(int(sys.argv[1]), make_clips(Path(scratch)))[1])
