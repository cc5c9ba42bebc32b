"""Frames of labelled videos: which are taken, decoded as in tagging."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import cv2
import numpy as np

from movie_tags.training.data.labels import FrameLabels, LabelledVideo, Span
from movie_tags.transforms.entropy import entropy
from movie_tags.transforms.shots.detector import compare, rule_of
from movie_tags.transforms.video.decoding import Decoding
from movie_tags.transforms.video.samples import Frame
from movie_tags.transforms.video.screen import Tally

JPEG_QUALITY = 95


def choose_samples(
    times: Iterable[tuple[int, float]], spans: Iterable[Span], every: bool
) -> dict[int, tuple[str, ...]]:
    """Which samples of one shot are taken, and their tags.

    Args:
        times: (sample number, seconds) of the shot's samples.
        spans: the video's labelled spans.
        every: take every sample in a span rather than the median one of each span's part of the shot.

    Returns:
        {sample number: the tags of all spans that it lies in}
    """
    times = list(times)
    taken = set()
    for span in spans:
        inside = [k for k, at in times if span.start_s <= at < span.end_s]
        if inside:
            taken.update(inside if every else [inside[(len(inside) - 1) // 2]])
    return {
        k: tuple(sorted({span.tag for span in spans if span.start_s <= at < span.end_s}))
        for k, at in times
        if k in taken
    }


def frames_of_spans(
    video: LabelledVideo,
    fps: float,
    threshold: float,
    min_entropy: float,
    every: bool,
    decoding: Decoding = Decoding(None),
) -> Iterator[tuple[float, tuple[str, ...], np.ndarray | None]]:
    """The labelled frames of a video, sampled and cut into shots as in tagging.

    Yields:
        (seconds, tags, uint8 RGB pixels [H, W, 3]); None for pixels that carry too little information (equation 4).

    Raises:
        VideoError: the video cannot be read.
    """
    (segment,) = decoding.plan(video.uri, fps, None)
    clock = segment.clock

    def close(shot: list[Frame]):
        chosen = choose_samples(((f.index, clock.seconds(f.index)) for f in shot), video.spans, every)
        for frame in shot:
            if frame.index in chosen:
                pixels = _decoded(frame.pixels)
                kept = pixels if entropy(pixels) > min_entropy else None
                yield clock.seconds(frame.index), chosen[frame.index], kept

    shot: list[Frame] = []  # of the samples that a span holds, encoded: a long shot must fit in memory
    for sample in compare(decoding.samples(video.uri, segment, Tally()), rule_of(threshold=threshold)):
        if sample.begins:
            yield from close(shot)
            shot = []
        frame = sample.frame
        if any(span.start_s <= clock.seconds(frame.index) < span.end_s for span in video.spans):
            shot.append(Frame(frame.index, np.frombuffer(to_jpeg(frame.pixels), np.uint8)))
    yield from close(shot)


def labelled_frames(
    video: LabelledVideo, fps: float, decoding: Decoding = Decoding(None)
) -> Iterator[tuple[FrameLabels, np.ndarray | None]]:
    """The frames that a video's labels speak of: uint8 RGB pixels [H, W, 3]; None for one that is not there.

    Raises:
        VideoError: the video cannot be read.
    """
    on_the_clock = all(abs(frame.time_s * fps - round(frame.time_s * fps)) < 1e-6 for frame in video.frames)
    rate = Fraction(fps).limit_denominator(10**6) if on_the_clock else Fraction(1000)
    (segment,) = decoding.plan(video.uri, rate, None)
    wanted: dict[int, list[FrameLabels]] = {}
    for frame in video.frames:
        wanted.setdefault(round(frame.time_s * rate), []).append(frame)
    for sample in decoding.samples_again(video.uri, segment.clock, wanted.keys(), Tally()):
        for frame in wanted.pop(sample.index):
            yield frame, sample.pixels
    for frames in wanted.values():
        yield from ((frame, None) for frame in frames)


def to_jpeg(pixels: np.ndarray) -> bytes:
    """Uint8 RGB [H, W, 3] as a JPEG file."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


def decode_picture(data: bytes) -> np.ndarray | None:
    """An encoded picture as uint8 RGB [H, W, 3], upright; None where it is none."""
    array = np.frombuffer(data, np.uint8)
    pixels = cv2.imdecode(array, cv2.IMREAD_COLOR) if len(array) else None
    return None if pixels is None else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def pixels_of(data: bytes) -> np.ndarray:
    """A picture of a data set, which was decoded before it was put there, as uint8 RGB [H, W, 3].

    Raises:
        ValueError: it is none.
    """
    pixels = decode_picture(data)
    if pixels is None:
        raise ValueError("a picture of the data set cannot be decoded")
    return pixels


def _decoded(jpeg: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
