"""Streams: which of a file's video streams a player shows, and the shape of its pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import av
from av.stream import Disposition

from movie_tags.transforms.video.errors import VideoError

BESIDE = Disposition.still_image | Disposition.timed_thumbnails
"""Of what stands beside a film: still pictures, the previews of a player's time line."""

UNSTATED = {"color_trc": 2, "color_primaries": 2, "colorspace": 2, "color_range": 0}
"""FFmpeg's numbers for what is not stated."""

PROBED_S = 10
PROBED_PACKETS = 2000
"""How much of a file is read, at most, to tell a film from a picture that stands beside it."""

SPEAKING = frozenset({"mov", "matroska"})
"""Containers that state the shape of pixels."""


@dataclass(frozen=True)
class Colours:
    """What a container says of its stream's colours, by FFmpeg's numbers; some decoders forget it.

    Attributes:
        stated: by the name of a frame's attribute.
    """

    stated: dict[str, int]

    @classmethod
    def of(cls, stream: av.VideoStream) -> Colours:
        """Those of a stream of which nothing was decoded yet."""
        return cls({name: int(getattr(stream.codec_context, name)) for name in UNSTATED})

    def complete(self, frame: av.VideoFrame) -> None:
        """Say of a frame what its codec does not."""
        for name, unstated in UNSTATED.items():
            if getattr(frame, name) == unstated != self.stated[name]:
                setattr(frame, name, self.stated[name])


def shown_streams(container: av.container.InputContainer) -> list[av.VideoStream]:
    """The video streams that can be decoded and are no covers.

    Raises:
        VideoError: there are none.
    """
    streams = container.streams.video
    films = [stream for stream in streams if not stream.disposition & Disposition.attached_pic]
    if not films:
        only = "a cover picture" if streams else "no picture at all"
        raise VideoError(f"has no video stream (sound, and {only})")
    known = [stream for stream in films if stream.codec_context is not None]
    if not known:
        raise VideoError("its video codec is not known to this build of FFmpeg; convert it, to H.264 for example")
    return known


def best_stream(container: av.container.InputContainer, streams: list[av.VideoStream]) -> av.VideoStream:
    """Which of several streams a player shows.

    One of more than one picture, then one flagged as the default, then the largest, then FFmpeg's choice, the first.

    Args:
        container: from which packets are read: it has to be opened anew, or sought in, before the film is read.
        streams: at least one.
    """
    counts = count_pictures(container, streams)
    preferred = container.streams.best("video")

    def rank(stream: av.VideoStream) -> tuple:
        context = stream.codec_context
        return (
            counts[stream.index] > 1,
            not stream.disposition & BESIDE,
            bool(stream.disposition & Disposition.default),
            context.width * context.height,
            preferred is not None and stream.index == preferred.index,
            -stream.index,
        )

    return max(streams, key=rank)


def count_pictures(container: av.container.InputContainer, streams: Iterable[av.VideoStream]) -> Counter[int]:
    """By a stream's index, how many packets of it a file's beginning has, up to two each."""
    counts: Counter[int] = Counter()
    waiting = {stream.index for stream in streams}
    try:
        for number, packet in enumerate(container.demux(list(streams))):
            late = packet.dts is not None and packet.dts * packet.time_base > PROBED_S + _start_s(container)
            if not waiting or number > PROBED_PACKETS or late:
                break
            counts[packet.stream_index] += packet.size > 0
            if counts[packet.stream_index] > 1:
                waiting.discard(packet.stream_index)
    except av.error.FFmpegError:
        pass  # what cannot be read here is met again, and counted, when the film is
    return counts


def _start_s(container: av.container.InputContainer) -> float:
    return (container.start_time or 0) / av.time_base


def pixel_aspect(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction | None:
    """Width of a pixel by its height, of the pictures just decoded; None where nothing says.

    What a container says of its stream counts before what the codec says; where a container says nothing, the codec
    may say something else in mid-stream, as broadcasts do between 4:3 and 16:9.
    """
    if SPEAKING.intersection(container.format.name.split(",")):
        return stream.sample_aspect_ratio
    return stream.codec_context.sample_aspect_ratio or stream.sample_aspect_ratio
