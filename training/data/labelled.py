"""Labelled pictures: folders of TAG/*.jpg, labelled frames and spans of videos -> candidates for a data set."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import apache_beam as beam
import cv2
import imagehash
import numpy as np
import tensorflow as tf
from apache_beam.metrics import Metrics
from PIL import Image

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.progress import report_progress
from movie_tags.records import TITLE_CARD
from movie_tags.training.data.vocabulary import NOTHING_FOLDER, tag_of_folder
from movie_tags.transforms.entropy import entropy
from movie_tags.transforms.shots.detector import compare, rule_of
from movie_tags.transforms.video.decoding import Decoding
from movie_tags.transforms.video.limits import Limits
from movie_tags.transforms.video.reader import failure_of
from movie_tags.transforms.video.samples import Frame
from movie_tags.transforms.video.screen import Tally

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
OTHER_SUFFIXES = (".gif", ".tif", ".tiff", ".avif", ".heic", ".jp2")
SOURCE_PATTERN = r"(.+?)__"
JPEG_QUALITY = 95
_APOSTROPHE = re.compile(r"'(?='*[=+\-@\t\r\n])")
"""What the CSV of `movie-tags export` has before text that a spreadsheet would run as a formula."""


class LabelError(UserError):
    """Labels that cannot be used; the message names the file and the line."""


@dataclass(frozen=True)
class LabelledPicture:
    """A picture file and what is known of it.

    Attributes:
        uri: the file.
        tags: what is in it.
        source: the film, clip or collection it comes from.
        maybe: tags of which nobody knows whether they apply.
        complete: whether all other tags are known not to apply; otherwise nothing is known of them.
        film: whether it is a frame of a film.
    """

    uri: str
    tags: tuple[str, ...]
    source: str
    maybe: tuple[str, ...] = ()
    complete: bool = False
    film: bool = False


@dataclass(frozen=True, order=True)
class Span:
    """A stretch of a video, in seconds after its first frame, and a tag that holds all through it."""

    start_s: float
    end_s: float
    tag: str


@dataclass(frozen=True, order=True)
class FrameLabels:
    """The frame on screen so many seconds after a video's first frame, its tags, and those that may apply, too.

    Of every other tag it is known that it does not apply.
    """

    time_s: float
    tags: tuple[str, ...]
    maybe: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelledVideo:
    """A video, its labelled spans and frames, and its source: what it was cut from (by default its file's name)."""

    uri: str
    spans: tuple[Span, ...] = ()
    frames: tuple[FrameLabels, ...] = ()
    source: str = ""


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


def find_pictures(
    folder: str, source_pattern: str = SOURCE_PATTERN
) -> tuple[list[LabelledPicture], list[tuple[str, str]]]:
    """The pictures of a folder TAG/NAME, local or remote, in order; and (address, reason) of pictures passed over.

    Args:
        folder: holds one folder for each tag; those in a folder `_none` show nothing of the vocabulary.
        source_pattern: a regular expression; its first group, found at the beginning of a file's name, is the picture's
            source. A picture whose name it does not match is a source of its own.

    Raises:
        LabelError: there is no picture of that form, or the pattern is none.
    """
    try:
        pattern = re.compile(source_pattern)
    except re.error as error:
        raise LabelError(f"--source-pattern {source_pattern}: is no regular expression ({error})") from error
    if not pattern.groups:
        raise LabelError(f"--source-pattern {source_pattern}: has no group; put the part that names the source in ()")
    found, passed_over = [], []
    for path in _files(folder):
        name, tag = posixpath.basename(path), posixpath.basename(posixpath.dirname(path))
        inside = posixpath.dirname(posixpath.dirname(path)) == folder.replace("\\", "/").rstrip("/")
        if inside and name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith("."):
            matched = pattern.match(name)
            tags = () if tag == NOTHING_FOLDER else (tag_of_folder(tag),)
            found.append(LabelledPicture(path, tags, (matched and matched.group(1)) or name, complete=not tags))
        elif name.lower().endswith((*PICTURE_SUFFIXES, *OTHER_SUFFIXES)) and not name.startswith("."):
            reason = "is not in a tag's folder (TAG/NAME.jpg)" if not inside else "is of a kind that cannot be read"
            passed_over.append((path, f"{reason}; move it, or save it as JPEG or PNG"))
    if not found:
        raise LabelError(f"{folder}: holds no pictures of the form TAG/NAME.jpg")
    return sorted(found, key=lambda picture: picture.uri), sorted(passed_over)


def _files(folder: str) -> Iterator[str]:
    if storage.is_remote(folder):
        yield from storage.list_files(folder)
        return

    def refuse(error: OSError) -> None:
        raise LabelError(f"{error.filename}: cannot be looked into: {error.strerror}") from error

    for inside, _, names in os.walk(folder, onerror=refuse if os.path.isdir(folder) else None, followlinks=True):
        yield from (os.path.join(inside, name).replace("\\", "/") for name in names)


def read_spans(uri: str) -> list[LabelledVideo]:
    """The videos of a CSV with the columns `uri,start,end,tag`; times in seconds or [hh:]mm:ss.

    Raises:
        LabelError: the file cannot be read, or a row makes no sense; the message names the line.
    """
    videos: dict[str, list[Span]] = {}
    try:
        with storage.open_seekable(uri) as stream:
            reader = csv.DictReader(io.TextIOWrapper(stream, "utf-8-sig", newline=""))
            missing = {"uri", "start", "end", "tag"}.difference(reader.fieldnames or ())
            if missing:
                raise LabelError(f"{uri}: has no column {sorted(missing)[0]!r}; it needs uri,start,end,tag")
            for row in reader:
                try:
                    video, tag = (_without_apostrophe((row[name] or "").strip()) for name in ("uri", "tag"))
                    span = Span(seconds(row["start"]), seconds(row["end"]), tag)
                    if not tag or not video:
                        raise ValueError("uri or tag is empty")
                    if span.start_s >= span.end_s:
                        raise ValueError("its end is not after its start")
                except ValueError as error:
                    raise LabelError(f"{uri}, line {reader.line_num}: {error}") from error
                videos.setdefault(video, []).append(span)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"{uri}: cannot be read: {error}") from error
    if not videos:
        raise LabelError(f"{uri}: has no rows")
    return [LabelledVideo(video, tuple(sorted(set(spans)))) for video, spans in videos.items()]


def _without_apostrophe(text: str) -> str:
    return text[1:] if _APOSTROPHE.match(text) else text


def read_labels(uri: str) -> list[LabelledPicture | LabelledVideo]:
    """The labelled inputs of a table: a CSV of spans (`read_spans`), or a CSV or JSONL of frames (`read_frames`).

    Raises:
        LabelError: the file cannot be read, or a row makes no sense; the message names the line.
    """
    if uri.lower().endswith(".csv") and {"uri", "start", "end"} & set(_header(uri)):
        return list(read_spans(uri))
    return read_frames(uri)


def _header(uri: str) -> list[str]:
    with _table(uri) as text:
        return list(csv.DictReader(text).fieldnames or ())


@contextlib.contextmanager
def _table(uri: str) -> Iterator[io.TextIOWrapper]:
    try:
        with storage.open_seekable(uri) as stream:
            yield io.TextIOWrapper(stream, "utf-8-sig", newline="")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"{uri}: cannot be read: {error}") from error


def read_frames(uri: str) -> list[LabelledPicture | LabelledVideo]:
    """The labelled frames of a CSV with the columns `file,time_s,tags,maybe`, or of a JSONL of such objects.

    `file` is a video or a picture, below the table's folder unless its address is whole; `time_s` is when the frame is
    on screen, in seconds or [hh:]mm:ss after the video's first frame; a picture needs none. `tags` plainly apply,
    `maybe` nobody knows of, all other tags do not apply: lists in JSON, separated by `;` in CSV. `maybe` may be left
    out, and so may `film` (or `group`): what the file was cut from, by default the file itself. Where `card` is true,
    the frame is a title card: that is a tag, too (TITLE_CARD). Other columns are passed over.

    Raises:
        LabelError: the file cannot be read, or a row makes no sense; the message names the line.
    """
    pictures: dict[LabelledPicture, None] = {}
    frames: dict[tuple[str, str], set[FrameLabels]] = {}
    folder = uri.replace("\\", "/").rpartition("/")[0]
    with _table(uri) as text:
        for line, row in _json_rows(uri, text) if uri.lower().endswith((".jsonl", ".json")) else _csv_rows(uri, text):
            try:
                name = str(row.get("file") or "").strip()
                if not name:
                    raise ValueError("file is empty")
                whole = os.path.isabs(name) or storage.scheme_of(name) is not None
                path = name if whole or not folder else storage.join(folder, name)
                tags, maybe = _tag_list(row.get("tags")), _tag_list(row.get("maybe"))
                if str(row.get("card")).lower() in ("true", "1"):
                    tags = (*tags, TITLE_CARD)
                source = str(row.get("film") or row.get("group") or "").strip()
                if path.lower().endswith(PICTURE_SUFFIXES):
                    pictures[LabelledPicture(path, tags, source or posixpath.basename(path), maybe, True, True)] = None
                else:
                    time = row.get("time_s")
                    at = seconds("" if time is None else str(time))
                    frames.setdefault((path, source), set()).add(FrameLabels(at, tags, maybe))
            except ValueError as error:
                raise LabelError(f"{uri}, line {line}: {error}") from error
    if not pictures and not frames:
        raise LabelError(f"{uri}: has no rows")
    videos = [LabelledVideo(path, (), tuple(sorted(found)), source) for (path, source), found in frames.items()]
    return [*pictures, *videos]


def _csv_rows(uri: str, text: io.TextIOBase) -> Iterator[tuple[int, dict]]:
    reader = csv.DictReader(text)
    missing = {"file", "tags"}.difference(reader.fieldnames or ())
    if missing:
        raise LabelError(
            f"{uri}: has no column {sorted(missing)[0]!r}; a table of frames has file,time_s,tags,maybe, one of spans "
            "uri,start,end,tag"
        )
    for row in reader:
        yield reader.line_num, row


def _json_rows(uri: str, text: io.TextIOBase) -> Iterator[tuple[int, dict]]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise LabelError(f"{uri}, line {number}: not an object of JSON ({error})") from error
        if not isinstance(row, dict) or not {"file", "tags"} <= row.keys():
            raise LabelError(f"{uri}, line {number}: not an object with 'file', 'time_s' and 'tags'")
        yield number, row


def _tag_list(value: object) -> tuple[str, ...]:
    """Tags as written in a table, each once, in alphabetical order.

    Raises:
        ValueError: they are neither a list of strings nor a string.
    """
    values = value.split(";") if isinstance(value, str) else value or ()
    if not isinstance(values, (list, tuple)) or not all(isinstance(tag, str) for tag in values):
        raise ValueError(f"{value!r} is not a list of tags")
    return tuple(sorted({tag.strip() for tag in values if tag.strip()}))


def seconds(text: str | None) -> float:
    """A time as written in a table: seconds, mm:ss or hh:mm:ss, each with decimals or without.

    Raises:
        ValueError: it is none of these.
    """
    parts = (text or "").strip().split(":")
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    if not 1 <= len(values) <= 3 or any(not 0 <= v < float("inf") for v in values) or any(v >= 60 for v in values[1:]):
        raise ValueError(f"{text!r} is not a time (seconds, mm:ss or hh:mm:ss)")
    return sum(value * 60**power for power, value in enumerate(reversed(values)))


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


def _decoded(jpeg: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


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
