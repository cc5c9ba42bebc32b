"""Frames: a film's true rate, and which frame is on screen at a time."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from movie_tags import storage
from movie_tags.records import Film
from movie_tags.report.exports import FilmError, film_address

STANDARD_RATES = (
    *(Fraction(n * 1000, 1001) for n in (24, 30, 48, 60, 120)),
    *(Fraction(n) for n in (24, 25, 30, 48, 50, 60, 100, 120)),
)
NEAR = Fraction(1, 5000)
"""Containers round: 2997/100 is 30000/1001. The nearest two rates, 24 and 24000/1001, are 1/1001 apart."""


class FrameError(FilmError):
    """A film whose frames are not known; the message says why and what helps."""


@dataclass(frozen=True)
class Frames:
    """How a film's frames are counted.

    Attributes:
        rate: frames a second, exact.
        count: frames of the whole film.
        width, height: pixels.
        timecode: of the first frame, where the file states one.
    """

    rate: Fraction
    count: int
    width: int
    height: int
    timecode: str | None = None

    def at(self, seconds: float) -> int:
        """The number of the frame on screen at a time, from 0; the film's end at most."""
        return min(self.count, int(Fraction(seconds).limit_denominator(10**6) * self.rate))

    def between(self, start_s: float, end_s: float) -> tuple[int, int]:
        """A stretch's first frame and the first that is no longer in it; at least one frame long."""
        first = min(self.at(start_s), self.count - 1)
        return first, max(first + 1, self.at(end_s))


def exact(rate: Fraction) -> Fraction:
    """The standard rate that a container's rounded one means; others as they are."""
    nearest = min(STANDARD_RATES, key=lambda standard: abs(standard - rate))
    return nearest if abs(nearest - rate) <= rate * NEAR else rate


def frames_of(film: Film) -> Frames:
    """Read a film's rate from its file.

    Raises:
        FilmError: the file is not there, is no video any more, or states no rate.
    """
    uri = film_address(film)
    from movie_tags.transforms.video.errors import VideoError  # imports the decoder
    from movie_tags.transforms.video.reader import open_video

    if not storage.is_remote(uri) and not storage.exists(uri):
        raise FrameError(
            f"{uri} is not there any more, and its frame rate is needed; put the film back, or tag it where it is now"
        )
    try:
        with open_video(uri) as (container, stream):
            rate = stream.average_rate or stream.guessed_rate
            width, height = stream.codec_context.width, stream.codec_context.height
            timecode = stream.metadata.get("timecode") or container.metadata.get("timecode")
    except VideoError as error:
        raise FrameError(f"{uri}: its frame rate cannot be read: {error.reason}") from error
    if not rate or not 0 < rate <= 1000:
        raise FrameError(f"{uri}: states no frame rate; convert it to a constant one, with ffmpeg -r for example")
    rate = exact(Fraction(rate))
    return Frames(
        rate, max(1, round(Fraction(film.duration_s).limit_denominator(10**6) * rate)), width, height, timecode
    )
