"""Thumbnails: key frames -> small JPEG files beside the results, written by the worker that has the pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import apache_beam as beam
import cv2
import numpy as np
from apache_beam.metrics import Metrics

from movie_tags import storage
from movie_tags.records import Video
from movie_tags.transforms.shots.inside import KeyFramePicture
from movie_tags.transforms.thumbnail_folder import Thumbnails

LONG_SIDE = 320
QUALITY = 80


def thumbnail(pixels: np.ndarray) -> bytes:
    """A picture, uint8 RGB [H, W, 3], as a JPEG file whose long side is at most LONG_SIDE pixels."""
    height, width = pixels.shape[:2]
    scale = min(1.0, LONG_SIDE / max(height, width))
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes()


def place_of(jpeg: bytes) -> str:
    """A thumbnail's path in the folder, by its content: the same picture has the same name in any run."""
    name = hashlib.sha256(jpeg).hexdigest()[:32]
    return f"{name[:2]}/{name}.jpg"


class KeepThumbnails(beam.PTransform):
    """(Video, KeyFramePicture) -> the same, the thumbnail written and named; nothing is done where none are wanted."""

    def __init__(self, thumbnails: Thumbnails | None):
        super().__init__()
        self.thumbnails = thumbnails

    def expand(self, key_frames: beam.PCollection) -> beam.PCollection:
        if self.thumbnails is None:
            return key_frames
        return key_frames | "Write" >> beam.ParDo(_Write(self.thumbnails))


class _Write(beam.DoFn):
    def __init__(self, thumbnails: Thumbnails):
        self.thumbnails = thumbnails
        self.written = Metrics.counter("thumbnails", "thumbnails_written")
        self.failed = Metrics.counter("thumbnails", "thumbnails_failed")

    def process(self, element: tuple[Video, KeyFramePicture]) -> Iterator[tuple[Video, KeyFramePicture]]:
        video, key_frame = element
        jpeg = thumbnail(key_frame.pixels)
        place = place_of(jpeg)
        path = storage.join(self.thumbnails.folder, place)
        try:
            storage.make_folder(path.rpartition("/")[0])
            storage.write_bytes(path, jpeg)
        except OSError:  # a picture of a result is not worth the result; the table has no name for it then
            self.failed.inc()
            yield element
            return
        self.written.inc()
        named = replace(key_frame.frame, thumbnail=f"{self.thumbnails.listed_as}/{place}")
        yield video, replace(key_frame, frame=named)
