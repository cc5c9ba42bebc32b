"""Labels: of pictures in folders TAG/*.jpg, and of spans and frames of videos in tables; read, not opened."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.records import TITLE_CARD
from movie_tags.training.data.vocabulary import NOTHING_FOLDER, tag_of_folder

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
OTHER_SUFFIXES = (".gif", ".tif", ".tiff", ".avif", ".heic", ".jp2")
SOURCE_PATTERN = r"(.+?)__"
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
    with _table(uri) as text:
        reader = csv.DictReader(text)
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
