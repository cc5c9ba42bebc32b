"""Decoding: in decoder processes with limits or in this process, behind one small interface."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from movie_tags.transforms.video.between import Between, read_all
from movie_tags.transforms.video.clock import Clock
from movie_tags.transforms.video.decoder_process import DecoderEnded, stream
from movie_tags.transforms.video.draft import Draft
from movie_tags.transforms.video.errors import VideoError
from movie_tags.transforms.video.limits import Limits
from movie_tags.transforms.video.reader import HERE, Access, open_video
from movie_tags.transforms.video.samples import Frame, SegmentReader, read_samples
from movie_tags.transforms.video.screen import Tally
from movie_tags.transforms.video.segments import Segment, plan_segments

MAX_REMEMBERED = 1000


@dataclass(frozen=True)
class Headers:
    """What a video's headers say: length in seconds, size in pixels, frames a second."""

    duration_s: float
    width: int
    height: int
    rate: float


class Decoding:
    """Plans and reads films, with the same answers wherever it is done.

    A film that has ended a decoder process is not tried again by the same object: each of its segments might cost as
    much.
    """

    def __init__(self, limits: Limits | None = Limits()):
        """Args: those of the decoder processes; None decodes in this process, without any."""
        self.limits = limits
        self.refused: dict[str, str] = {}

    def headers(self, uri: str) -> Headers:
        """What a video's headers say, true or not.

        Raises:
            VideoError: it cannot be opened.
        """
        (headers,) = self._stream(_headers, uri)
        return headers

    def plan(
        self, uri: str, fps: float | Fraction, segment_length: float | None, draft: Draft | None = None
    ) -> list[Segment]:
        """As `plan_segments`."""
        return list(self._stream(_segments, uri, fps, segment_length, draft))

    def samples(self, uri: str, segment: Segment, tally: Tally, between: bool = False) -> Iterator[Frame]:
        """The sampled frames of a segment, in order; the tally is complete when all were taken.

        `between`: with what was on screen since the sample before.

        Raises:
            VideoError: the video cannot be read.
        """
        return _frames(self._stream(_samples, uri, segment, between), tally)

    def samples_again(
        self, uri: str, clock: Clock, wanted: Collection[int], tally: Tally, between: bool = False
    ) -> Iterator[Frame]:
        """As `read_samples`; the tally is complete when all were taken."""
        return _frames(self._stream(_samples_again, uri, clock, tuple(wanted), between), tally)

    def all_between(self, uri: str, seen: Between, tally: Tally) -> Between:
        """As `read_all`."""
        found, met = self._stream(_all_between, uri, seen)
        tally.add(met)
        return found

    def _stream(self, function: Callable[..., Iterable], uri: str, *arguments: Any) -> Iterator:
        if self.limits is None:
            yield from function(HERE, uri, *arguments)
            return
        if uri in self.refused:
            raise VideoError(self.refused[uri], retryable=True)
        try:
            yield from stream(self.limits, function, uri, *arguments)
        except DecoderEnded as error:
            if len(self.refused) < MAX_REMEMBERED:
                self.refused[uri] = error.reason
            raise


def _headers(access: Access, uri: str) -> Iterator[Headers]:
    with open_video(uri, access) as source:
        seconds = max(0.0, (source.container.duration or 0) / 1e6)
        yield Headers(seconds, source.stream.width, source.stream.height, float(source.rate))


def _segments(
    access: Access, uri: str, fps: float | Fraction, length: float | None, draft: Draft | None
) -> list[Segment]:
    return plan_segments(uri, fps, length, draft, access)


def _samples(access: Access, uri: str, segment: Segment, between: bool) -> Iterator[Frame | int | Tally]:
    reader = SegmentReader(uri, segment, access, between)
    yield from _stills_as_numbers(reader)
    yield reader.tally


def _samples_again(
    access: Access, uri: str, clock: Clock, wanted: Collection[int], between: bool
) -> Iterator[Frame | int | Tally]:
    tally = Tally()
    yield from _stills_as_numbers(read_samples(uri, clock, wanted, tally, access, between))
    yield tally


def _all_between(access: Access, uri: str, seen: Between) -> Iterator[Between | Tally]:
    tally = Tally()
    yield read_all(uri, seen, tally, access)
    yield tally


def _stills_as_numbers(frames: Iterable[Frame]) -> Iterator[Frame | int]:
    """Where the picture is the one before, the sample's number alone: nothing large travels for a still picture."""
    pixels = None
    for frame in frames:
        yield frame.index if frame.pixels is pixels else frame
        pixels = frame.pixels


def _frames(items: Iterable[Frame | int | Tally], tally: Tally) -> Iterator[Frame]:
    """Frames again; the tally that comes last is added to the one given."""
    frame: Frame | None = None
    for item in items:
        if isinstance(item, Tally):
            tally.add(item)
        elif isinstance(item, Frame):
            frame = item
            yield frame
        elif frame is not None:
            frame = Frame(item, frame.pixels)
            yield frame
