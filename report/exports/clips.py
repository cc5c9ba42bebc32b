"""Clips: stretches of films as films of their own, their packets copied where the codec's key frames allow.

A stretch can be copied where its first frame is a key frame and none of its frames is coded after one that follows it.
Of others the pictures are decoded and encoded anew; sound is copied, as it can be cut nearly anywhere.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import PictureType

from movie_tags.transforms.video.errors import VideoError
from movie_tags.transforms.video.reader import Decoder, Source, open_video

COPIED, ENCODED = "copied", "re-encoded"
MP4_VIDEO = frozenset({"h264", "hevc", "av1", "mpeg4"})
MP4_SOUND = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus"})
ENCODERS = {"libx264": {"crf": "17"}, "mpeg4": {"qscale": "2"}}
"""Nearly without loss; the first that this build of FFmpeg has is taken."""
REORDERED = 64
"""More pictures than this are not coded before one that is shown before them."""


@dataclass(frozen=True)
class Clip:
    """A clip that was written: its file, COPIED or ENCODED, and how many frames it has."""

    path: str
    how: str
    frames: int


@dataclass(frozen=True)
class Part:
    """A stretch of a stream, in ticks: presentation times of its first frame and of the first that is not in it."""

    begin: int
    end: int

    def __contains__(self, pts: int) -> bool:
        return self.begin <= pts < self.end


def write_clip(uri: str, out: str, start_s: float, end_s: float) -> Clip:
    """Write a stretch of a film, with its sound, as OUT.mp4 or, where its codecs are none of MP4's, as OUT.mkv.

    The file is there whole or not at all.

    Args:
        uri: the film.
        out: the clip's path, local, without a suffix.
        start_s, end_s: its first frame and the first that is not in it, in seconds after the film's first frame.

    Raises:
        VideoError: the film cannot be read, or shows no frame then.
        OSError: the clip may not be written.
    """
    part = _part_of(uri, start_s, end_s)
    copied, joined = _to_copy(uri, part)
    with open_video(uri) as source, open_video(uri) as beside:
        sound = [] if joined else _sound_of(beside, part)
        fits = (not copied or source.stream.codec_context.name in MP4_VIDEO) and all(
            packet.stream.codec_context.name in MP4_SOUND for packet in sound[:1]
        )
        path = f"{out}.{'mp4' if fits else 'mkv'}"
        with _whole(path) as unfinished, av.open(unfinished, "w", format="mp4" if fits else "matroska") as made:
            cutter = _Cutter(source, sound, part, made)
            frames = cutter.copy(copied) if copied else cutter.encode()
            if not frames:
                raise VideoError(f"shows no frame between {start_s:g} and {end_s:g} s")
            cutter.mux_sound(None)
    return Clip(path, COPIED if copied else ENCODED, frames)


@contextlib.contextmanager
def _whole(path: str) -> Iterator[str]:
    """A file that takes its name when it is done; nothing is left of it where it fails."""
    unfinished = f"{path}.unfinished"
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(unfinished)


def _part_of(uri: str, start_s: float, end_s: float) -> Part:
    """A stretch of a film given in seconds after its first frame."""
    with open_video(uri) as source:
        packets = ((packet, True) for packet in source.timed(source.packets()))
        first = next(Decoder(source).frames(packets), None)
        if first is None:
            raise VideoError("no frame could be decoded")
        return Part(*(first[0] + round(seconds / source.stream.time_base) for seconds in (start_s, end_s)))


def _sound_of(source: Source, part: Part) -> list[av.Packet]:
    """The packets of a film's sound that begin within a stretch."""
    container = source.container
    begin_s, end_s = part.begin * source.stream.time_base, part.end * source.stream.time_base
    sound = container.streams.best("audio")
    if sound is None or sound.codec_context is None:
        return []
    if source.seekable:
        container.seek(int(begin_s * av.time_base), backward=True)
    found = []
    for packet in container.demux(sound):
        if packet.size and packet.pts is not None and packet.dts is not None:
            if packet.pts * packet.time_base >= end_s:
                break
            if packet.pts * packet.time_base >= begin_s:
                found.append(packet)
    return found


def turns_of(frame: av.VideoFrame) -> list[tuple[str, str]]:
    """FFmpeg's filters, (name, arguments), that do to a frame what its display matrix says (`rgb.upright`)."""
    matrix = frame.side_data.get(SideDataType.DISPLAYMATRIX)
    if matrix is None:
        return []
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(float)
    turned = abs(a) + abs(d) < abs(b) + abs(c)
    across, down = (c, b) if turned else (a, d)
    turns = [("transpose", "cclock_flip")] if turned else []
    return turns + [(name, "") for name, sign in (("hflip", across), ("vflip", down)) if sign < 0]


def _to_copy(uri: str, part: Part) -> tuple[list[int], bool]:
    """As `to_copy`, of a film; and whether its time stamps start again, so that nothing fits together as it is."""
    with open_video(uri) as source:
        timeline = source.timeline()
        _seek(source, part.begin)
        packets = timeline.count(source.packets(), source.stream.index)
        found = to_copy(((packet.pts, packet.dts, packet.is_keyframe) for packet in packets), part)
        joined = bool(timeline.begins_anew)
        return [] if joined else found, joined


def to_copy(packets: Iterable[tuple[int | None, int | None, bool]], part: Part) -> list[int]:
    """The presentation times, in order of decoding, of a stretch's packets; none if they cannot be copied.

    Args:
        packets: (presentation time, decoding time where it is known, whether it is a key frame) in order of decoding.
        part: the stretch.
    """
    found: list[int] = []
    beyond = 0  # pictures coded since the stretch's last that come after it
    for pts, dts, is_key in packets:
        if pts is None:
            return []
        if (dts is not None and dts >= part.end) or beyond > REORDERED:
            break
        if pts in part:
            if beyond or not (found or is_key):  # it hangs on a picture that is not in the stretch
                return []
            found.append(pts)
        beyond += pts >= part.end
    return found if found and found[0] == min(found) else []


def decoding_times(presented: Sequence[int]) -> list[int]:
    """Decoding times, in ticks, for packets of these presentation times, given in order of decoding.

    They ascend, and none is later than its packet's presentation; containers do not always know them.
    """
    ordered = sorted(presented)
    delay = max(late - pts for late, pts in zip(ordered, presented, strict=True))
    return [time - delay for time in ordered]


def _seek(source: Source, pts: int) -> None:
    """Go to a random access point not later than a presentation time; to the beginning where seeking is a guess."""
    if source.seekable:
        source.container.seek(pts, stream=source.stream, backward=True)


class _Cutter:
    """Writes a stretch of a film into another file."""

    def __init__(self, source: Source, sound: Sequence[av.Packet], part: Part, made: Any):
        """Args: the film; the sound of the stretch; the stretch; the file."""
        self.source = source
        self.stream = source.stream
        self.part = part
        self.made = made
        self.begin_s = part.begin * source.stream.time_base
        self.sound = deque(sound)
        self.sound_made = made.add_stream_from_template(sound[0].stream) if sound else None

    def copy(self, presented: Sequence[int]) -> int:
        """Copy the packets of these presentation times, in order of decoding; returns how many pictures these are."""
        video, begin, frames = self.made.add_stream_from_template(self.stream), self.part.begin, 0
        decoded = dict(zip(presented, decoding_times(presented), strict=True))
        for packet in itertools.dropwhile(lambda packet: packet.pts != presented[0], self._packets()):
            if packet.pts in decoded:
                packet.pts, packet.dts = packet.pts - begin, decoded[packet.pts] - begin
                self._mux(packet, video)
                frames += 1
            if frames == len(presented):
                break
        return frames

    def encode(self) -> int:
        """Encode the stretch's pictures anew; returns how many these are."""
        video, graph, frames = None, None, 0
        for frame in self._pictures():
            graph = graph or _upright(frame, self.stream.time_base)
            graph.push(frame)
            picture: Any = graph.pull()
            video = video or _encoder(self.made, self.stream, picture)
            picture.pict_type = PictureType.NONE  # the encoder decides which are key frames
            for packet in video.encode(picture):
                self._mux(packet, video)
            frames += 1
        for packet in video.encode(None) if video else ():
            self._mux(packet, video)
        return frames

    def _packets(self) -> Iterator[av.Packet]:
        """The packets of pictures from a random access point before the stretch until its last."""
        _seek(self.source, self.part.begin)
        for packet in self.source.timed(self.source.packets()):
            if packet.dts is not None and packet.dts >= self.part.end:
                return  # no picture is shown before it is decoded
            yield packet

    def _pictures(self) -> Iterator[av.VideoFrame]:
        """The stretch's pictures in order, their times counted from its beginning."""
        marked = ((packet, packet.pts is None or packet.pts in self.part) for packet in self._packets())
        latest = self.part.begin - 1
        for pts, frame in Decoder(self.source).frames(marked):
            if pts in self.part and pts > latest:
                latest = pts
                frame.pts = pts - self.part.begin
                yield frame

    def _mux(self, packet: av.Packet, stream: Any) -> None:
        """Write a packet of pictures after the sound that is heard before it."""
        packet.stream = stream
        self.mux_sound(packet.dts * packet.time_base)
        self.made.mux(packet)

    def mux_sound(self, until_s: Fraction | None) -> None:
        """Write the sound that begins by a time of the clip; all of it where none is given."""
        while self.sound and (until_s is None or self.sound[0].pts * self.sound[0].time_base - self.begin_s <= until_s):
            packet = self.sound.popleft()
            begin = round(self.begin_s / packet.time_base)
            packet.pts, packet.dts = packet.pts - begin, packet.dts - begin
            packet.stream = self.sound_made
            self.made.mux(packet)


def _encoder(made: Any, stream: Any, picture: av.VideoFrame) -> Any:
    """The stream into which pictures like this one are encoded."""
    codec = next(name for name in ENCODERS if name in av.codecs_available)
    formats = {one.name for one in av.codec.Codec(codec, "w").video_formats or ()}
    video = made.add_stream(codec, rate=stream.average_rate or 25, options=ENCODERS[codec])
    video.width, video.height = picture.width, picture.height
    video.pix_fmt = picture.format.name if picture.format.name in formats else "yuv420p"
    video.time_base = video.codec_context.time_base = stream.time_base
    if stream.sample_aspect_ratio:
        video.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio
    for name in ("color_range", "color_primaries", "color_trc", "colorspace"):
        setattr(video.codec_context, name, getattr(stream.codec_context, name))
    return video


def _upright(frame: av.VideoFrame, time_base: Fraction) -> Graph:
    """What turns and mirrors pictures as the display matrix says, and makes their size even, as encoders want it."""
    graph = Graph()
    steps = [
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=time_base),
        *(graph.add(name, value) for name, value in turns_of(frame)),
        graph.add("crop", "trunc(iw/2)*2:trunc(ih/2)*2"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*steps).configure()
    return graph
