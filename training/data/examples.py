"""Examples: labelled pictures and frames, read and hashed, as tf.train.Examples -> candidates for a data set."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import apache_beam as beam
import imagehash
import tensorflow as tf
from apache_beam.metrics import Metrics
from PIL import Image

from movie_tags import storage
from movie_tags.progress import report_progress
from movie_tags.training.data.frames import decode_picture, frames_of_spans, labelled_frames, to_jpeg
from movie_tags.training.data.labels import LabelledPicture, LabelledVideo, Span
from movie_tags.transforms.video.decoding import Decoding
from movie_tags.transforms.video.limits import Limits
from movie_tags.transforms.video.reader import failure_of


@dataclass(frozen=True)
class Candidate:
    """A picture that may become part of a data set.

    Attributes:
        id: the file's address, with `#t=SECONDS` for a video's frame.
        key: SHA-256 of its encoded bytes, in hex.
        hash: its perceptual hash, 64 bits.
        source: the film, clip or collection it comes from.
        tags: what is in it.
        image: its encoded bytes (JPEG, PNG, …); left out where only the decision about it is at stake.
        maybe, complete, film: as of `LabelledPicture`.
    """

    id: str
    key: str
    hash: int
    source: str
    tags: tuple[str, ...]
    image: bytes = field(default=b"", repr=False, compare=False)
    maybe: tuple[str, ...] = ()
    complete: bool = False
    film: bool = False


def candidate(
    id: str,
    image: bytes,
    source: str,
    tags: Iterable[str],
    maybe: Iterable[str] = (),
    complete: bool = False,
    film: bool = False,
) -> Candidate | None:
    """Hash an encoded picture; None where the bytes are no picture."""
    pixels = decode_picture(image)
    if pixels is None:
        return None
    bits = imagehash.phash(Image.fromarray(pixels)).hash.ravel()
    number = int("".join("1" if bit else "0" for bit in bits), 2)
    key = hashlib.sha256(image).hexdigest()
    return Candidate(id, key, number, source, tuple(tags), image, tuple(maybe), complete, film)


def to_example(item: Candidate) -> bytes:
    """A candidate as a serialised tf.train.Example."""

    def strings(*values: str) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode() for value in values]))

    feature = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[item.image])),
        "id": strings(item.id),
        "key": strings(item.key),
        "hash": strings(f"{item.hash:016x}"),
        "source": strings(item.source),
        "tags": strings(*item.tags),
        "maybe": strings(*item.maybe),
        "complete": tf.train.Feature(int64_list=tf.train.Int64List(value=[item.complete])),
        "film": tf.train.Feature(int64_list=tf.train.Int64List(value=[item.film])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(deterministic=True)


def from_example(data: bytes) -> Candidate:
    """The candidate in a serialised tf.train.Example."""
    feature = tf.train.Example.FromString(data).features.feature

    def strings(name: str) -> list[str]:
        return [value.decode() for value in feature[name].bytes_list.value]

    (image,) = feature["image"].bytes_list.value
    (id,), (key,), (digits,), (source,) = (strings(name) for name in ("id", "key", "hash", "source"))
    complete, film = (any(feature[name].int64_list.value) for name in ("complete", "film"))
    tags, maybe = tuple(strings("tags")), tuple(strings("maybe"))
    return Candidate(id, key, int(digits, 16), source, tags, image, maybe, complete, film)


class ReadLabelled(beam.DoFn):
    """LabelledPicture or LabelledVideo -> Candidates; what cannot be used as (id, reason) in the output DROPPED.

    One step for both, since flattening two outputs of pictures would hold their bytes in the runner's memory.
    """

    DROPPED = "dropped"

    def __init__(self, fps: float, threshold: float, min_entropy: float, every: bool, limits: Limits | None = Limits()):
        """Args: as of `frames_of_spans`; those of the processes in which videos are decoded, as of `Decoding`."""
        self.decoding = Decoding(limits)
        self.fps = fps
        self.threshold = threshold
        self.min_entropy = min_entropy
        self.every = every
        self.read = Metrics.counter("dataset", "pictures_read")
        self.dropped = Metrics.counter("dataset", "inputs_dropped")

    def process(self, element: LabelledPicture | LabelledVideo) -> Iterator:
        if isinstance(element, LabelledPicture):
            yield from self._picture(element)
        else:
            yield from self._video(element)
        report_progress(inputs=1)

    def _picture(self, element: LabelledPicture) -> Iterator:
        try:
            with storage.open_stream(element.uri) as stream:
                image = stream.read()
            found = candidate(
                element.uri, image, element.source, element.tags, element.maybe, element.complete, element.film
            )
        except Exception as error:  # whatever a storage client may raise costs this picture alone
            yield self._drop(element.uri, f"cannot be read: {error}")
            return
        if found is None:
            yield self._drop(element.uri, "is no picture that can be read; remove it or copy it again")
            return
        self.read.inc()
        yield found

    def _video(self, element: LabelledVideo) -> Iterator:
        source = element.source or os.path.basename(element.uri)
        if element.frames:
            yield from self._frames(element, source)
        if not element.spans:
            return
        seen: set[Span] = set()
        try:
            for at, tags, pixels in frames_of_spans(
                element, self.fps, self.threshold, self.min_entropy, self.every, self.decoding
            ):
                seen.update(span for span in element.spans if span.start_s <= at < span.end_s)
                id = f"{element.uri}#t={at:g}"
                if pixels is None:
                    yield self._drop(id, "carries too little information (entropy filter)")
                    continue
                self.read.inc()
                yield candidate(id, to_jpeg(pixels), source, tags)
        except Exception as error:  # a damaged video costs itself alone
            yield self._drop(element.uri, failure_of(error, "sampling").reason)
            return
        for span in sorted(set(element.spans) - seen):
            yield self._drop(
                f"{element.uri}#t={span.start_s:g},{span.end_s:g}", f"no frame is sampled in this span of {span.tag}"
            )

    def _frames(self, element: LabelledVideo, source: str) -> Iterator:
        try:
            for frame, pixels in labelled_frames(element, self.fps, self.decoding):
                id = f"{element.uri}#t={frame.time_s:g}"
                if pixels is None:
                    yield self._drop(id, "the video has no frame then")
                    continue
                self.read.inc()
                yield candidate(id, to_jpeg(pixels), source, frame.tags, frame.maybe, True, True)
        except Exception as error:  # a damaged video costs itself alone
            yield self._drop(element.uri, failure_of(error, "sampling").reason)

    def _drop(self, id: str, reason: str) -> beam.pvalue.TaggedOutput:
        self.dropped.inc()
        return beam.pvalue.TaggedOutput(self.DROPPED, (id, reason))
