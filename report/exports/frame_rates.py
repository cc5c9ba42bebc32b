"""Frames: a film's true rate, whether it is constant, its own timecode, and which frame is on screen at a time."""

from __future__ import annotations

import itertools
import re
import statistics
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from movie_tags import storage
from movie_tags.records import Film
from movie_tags.report.exports import FilmError, film_address

STANDARD_RATES = (
    *(Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120)),
    *(Fraction(n) for n in (24, 25, 30, 48, 50, 60, 100, 120)),
)
DROP_FRAME_RATES = (Fraction(30000, 1001), Fraction(60000, 1001))
NEAR = Fraction(1, 5000)
"""Containers round: 2997/100 is 30000/1001. The nearest two rates, 24 and 24000/1001, are 1/1001 apart."""
NEAR_FRAME = Fraction(1, 25)
"""Of a frame: a time in the tables that is so little before a frame's is the frame's own, rounded."""
BACK_S = 2.0
"""Seconds by which time stamps go back only where a recording begins anew; decoders reorder frames by less."""
TAIL_S = 1.0
"""Seconds at a stream's end of which frames may be missing."""
MOST_ANAMORPHIC = 4
"""Pixels that are said to be so many times as wide as high, or less than its inverse, are taken for square."""


class FrameError(FilmError):
    """A film whose frames are not known; the message says why and what helps."""


@dataclass(frozen=True)
class Sound:
    """The sound of a film: streams, and of the first one its channels and samples a second."""

    streams: int
    channels: int
    rate: int


@dataclass(frozen=True)
class Frames:
    """How a film's frames are counted.

    Attributes:
        rate: frames a second, exact; where it varies, the average.
        count: frames of the whole film.
        width, height: as shown, upright, in square pixels.
        timecode: of the first frame, where the file states one.
        sound: None where there is none.
        times: where the rate varies, when each frame is shown, and when the last one ends: seconds after the first
            one; empty where it is constant.
    """

    rate: Fraction
    count: int
    width: int
    height: int
    timecode: str | None = None
    sound: Sound | None = None
    times: tuple[float, ...] = ()

    @property
    def drop_frame(self) -> bool:
        """Whether the film's own timecode leaves out numbers (SMPTE ST 12-1), which its last separator says."""
        found = re.search(r"([:;.,])\d+$", self.timecode or "")
        return found is not None and found.group(1) != ":" and self.rate in DROP_FRAME_RATES

    @property
    def constant(self) -> Frames:
        """The frames as players number them by the clock, at the average rate."""
        return replace(self, times=())

    def at(self, seconds: float) -> int:
        """The number of the frame on screen at a time, from 0; the film's end at most."""
        if self.times:
            return max(0, bisect_right(self.times, seconds + 1e-3) - 1)
        return min(self.count, int(Fraction(seconds).limit_denominator(10**6) * self.rate + NEAR_FRAME))

    def between(self, start_s: float, end_s: float) -> tuple[int, int]:
        """A stretch's first frame and the first that is no longer in it; at least one frame long."""
        first = min(self.at(start_s), self.count - 1)
        return first, max(first + 1, self.at(end_s))


def exact(rate: Fraction) -> Fraction:
    """The standard rate that a container's rounded one means; others as they are."""
    nearest = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return nearest if abs(nearest - rate) <= rate * NEAR else rate


def in_order(stamps: Iterable[float]) -> list[float]:
    """When frames are shown: seconds after the first one, in order.

    Where a recording begins anew, its frames go on from the last one, as players and this pipeline count them.

    Args:
        stamps: presentation times in seconds, in order of decoding.
    """
    parts: list[list[float]] = []
    latest = float("-inf")
    for stamp in stamps:
        if not parts or stamp < latest - BACK_S:
            parts.append([])
            latest = stamp
        parts[-1].append(stamp)
        latest = max(latest, stamp)
    shown: list[float] = []
    for part in map(sorted, parts):
        begin = shown[-1] + _usual_length(part) if shown else 0.0
        shown += [begin + stamp - part[0] for stamp in part]
    return shown


def _usual_length(times: Sequence[float]) -> float:
    return statistics.median([b - a for a, b in itertools.pairwise(times)] or [0.0])


def is_steady(times: Sequence[float], rate: Fraction, within: float = 0.5) -> bool:
    """Whether each frame is shown within so much of a frame of where it would be at a constant rate.

    The last second is not asked: where a stream was cut, frames of it are missing, and no number before them changes.
    """
    fps, end = float(rate), times[-1] - TAIL_S
    return all(abs(time * fps - number) <= within for number, time in enumerate(times) if time <= max(end, 0.0))


def constant_rate(times: Sequence[float], stated: Iterable[Fraction]) -> Fraction | None:
    """The constant rate of frames: a stated one that holds throughout, or else the measured one; None if it varies."""
    found = next((rate for rate in map(exact, stated) if is_steady(times, rate)), None)
    if found or times[-1] <= 0:
        return found
    measured = exact(Fraction((len(times) - 1) / times[-1]).limit_denominator(100_000))
    return measured if is_steady(times, measured, 0.1) else None  # a frame that is missing also shifts the average


def frames_of(film: Film) -> Frames:
    """Read how a film's frames are counted from its file: all of its packets, but of remote ones the header alone.

    Raises:
        FilmError: the file is not there, is no video any more, or states no rate.
    """
    from movie_tags.transforms.video.errors import VideoError  # imports the decoder
    from movie_tags.transforms.video.reader import open_video

    uri = film_address(film)
    remote = storage.is_remote(uri)
    if not remote and not storage.exists(uri):
        raise FrameError(
            f"{uri} is not there any more, and its frame rate is needed; put the film back, or tag it where it is now"
        )
    try:
        with open_video(uri) as source:
            picture, stamps = _looked_into(source, all_of_it=not remote)
            return _counted(film, source.container, source.stream, picture, in_order(stamps))
    except VideoError as error:
        raise FrameError(f"{uri}: its frame rate cannot be read: {error.reason}") from error


def _looked_into(source: Any, all_of_it: bool) -> tuple[Any, list[float]]:
    """The first frame, if one can be decoded, and the presentation times of all packets in seconds."""
    picture, stamps = None, []
    for packet in _packets(source):
        if picture is None:
            picture = _decoded(packet)
        if packet.size and packet.pts is not None and not packet.is_discard:
            stamps.append(float(packet.pts * source.stream.time_base))
        if picture is not None and not all_of_it:
            return picture, []
    return picture, stamps


def _packets(source: Any) -> Iterator[Any]:
    """The packets up to the first that cannot be read."""
    from av.error import FFmpegError

    try:
        yield from source.timed(source.packets())
    except FFmpegError:
        return


def _decoded(packet: Any) -> Any:
    from av.error import FFmpegError

    try:
        return next(iter(packet.decode()), None)
    except (FFmpegError, ValueError):
        return None


def _counted(film: Film, container: Any, stream: Any, picture: Any, times: list[float]) -> Frames:
    stated = [Fraction(rate) for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate) if rate]
    stated = [rate for rate in stated if 0 < rate <= 1000]
    rate = constant_rate(times, stated) if len(times) > 1 else None
    if not rate and not stated:
        raise FrameError(f"{film.uri}: states no frame rate; convert it to a constant one, with ffmpeg -r for example")
    varies = len(times) > 1 and rate is None
    length = Fraction(film.duration_s).limit_denominator(10**6)
    rate = rate or exact(stated[0])
    count = max(1, len(times) or round(length * rate))
    if picture is not None and picture.interlaced_frame and stated and rate == 2 * exact(stated[0]):
        rate, count = rate / 2, (count + 1) // 2  # each packet is a field
    return Frames(
        rate,
        count,
        *_size(stream, picture),
        _timecode(container, stream),
        _sound(container),
        (*times, max(film.duration_s, times[-1] + _usual_length(times))) if varies else (),
    )


def _size(stream: Any, picture: Any) -> tuple[int, int]:
    """Width and height of the picture as a player shows it."""
    width, height = (picture or stream.codec_context).width, (picture or stream.codec_context).height
    ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if ratio and Fraction(1, MOST_ANAMORPHIC) <= ratio <= MOST_ANAMORPHIC:
        width = round(width * ratio)
    return (height, width) if picture is not None and round(picture.rotation / 90) % 2 else (width, height)


def _timecode(container: Any, stream: Any) -> str | None:
    """The film's own timecode: of its pictures, of the film, or of a track that has nothing else."""
    places = (stream, container, *container.streams)
    stated = (value for place in places for key, value in place.metadata.items() if key.lower() == "timecode")
    return next(filter(None, stated), None)


def _sound(container: Any) -> Sound | None:
    streams = [stream for stream in container.streams.audio if stream.codec_context]
    return Sound(len(streams), streams[0].channels, streams[0].sample_rate) if streams else None
