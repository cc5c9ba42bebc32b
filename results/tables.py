"""The tables of results as frozen records, read film by film: local or remote, of this version or an older one."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import re
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.results.reading import (
    PARQUET,
    OutputError,
    files_of,
    read_parquet,
    read_row,
    read_run,
    read_table,
    view_of,
)

SPAN_GAP = 6.0
"""Seconds across which shots are joined where an older run wrote no spans: what is the default today."""
READERS = 16
"""Thumbnails that are fetched from a remote folder at a time."""
KEY_FRAME_STAGES = frozenset({"tagging"})
"""Stages at which a key frame fails, and not its film."""


class ReportError(UserError):
    """Results that nothing can be made of, or a film that is not among them."""


@dataclass(frozen=True)
class Tag:
    """A tag of a film.

    Attributes:
        tag: its name.
        relative_strength: R, in [0, 1].
        strength: W.
        occurrences: key frames that have it.
        peak_probability: its highest probability on a key frame, in [0, 1]; None where the run did not say.
        seconds: of the film in shots that carry it; None where the run did not say.
        share: of the film, in [0, 1]; None where the run did not say.
        confidence: how sure the model was of it for the film as a whole, in [0, 1]; None where the run did not say.
    """

    tag: str
    relative_strength: float
    strength: float = 0.0
    occurrences: int = 0
    peak_probability: float | None = None
    seconds: float | None = None
    share: float | None = None
    confidence: float | None = None

    @property
    def sureness(self) -> float | None:
        """How sure the model was: the confidence, or else the peak."""
        return self.peak_probability if self.confidence is None else self.confidence


@dataclass(frozen=True)
class Film:
    """A row of tags.jsonl.

    Attributes:
        id, uri, title: of the video.
        duration_s: seconds.
        frames_sampled, shots, key_frames, key_frames_rejected, key_frames_failed: counts.
        tags: the short list, the strongest first.
        all_tags: all of them.
        warnings: in words.
    """

    id: str
    uri: str
    title: str
    duration_s: float = 0.0
    frames_sampled: int = 0
    shots: int = 0
    key_frames: int = 0
    key_frames_rejected: int = 0
    key_frames_failed: int = 0
    tags: tuple[Tag, ...] = ()
    all_tags: tuple[Tag, ...] = ()
    warnings: tuple[str, ...] = ()


Top = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class KeyFrame:
    """A row of key_frames.jsonl.

    Attributes:
        id: of the video.
        time_s, shot_start_s, shot_end_s: seconds after the video's first frame.
        top: the tags that count on it with their probabilities, the most probable first; it may have none.
        seen: the most probable tags, whether they count or not.
        entropy: bits.
        thumbnail: its path in the folder of results; None where there is none.
    """

    id: str
    time_s: float
    shot_start_s: float
    shot_end_s: float
    top: Top = ()
    seen: Top = ()
    entropy: float = 0.0
    thumbnail: str | None = None


@dataclass(frozen=True)
class Span:
    """A row of spans.jsonl: a stretch of a film that carries a tag.

    Attributes:
        id: of the video.
        tag: the tag.
        start_s, end_s: seconds after the video's first frame.
        mean_probability, peak_probability: over the key frames that have the tag.
        key_frames: how many these are.
    """

    id: str
    tag: str
    start_s: float
    end_s: float
    mean_probability: float
    peak_probability: float
    key_frames: int


@dataclass(frozen=True)
class Failed:
    """A row of errors.jsonl.

    Attributes:
        id, uri: of the video; empty where it is the run that failed.
        stage: what was being done.
        reason: in words.
        again: another run may succeed.
    """

    id: str
    uri: str
    stage: str
    reason: str
    again: bool = False

    @property
    def of_key_frame(self) -> bool:
        """Whether only a key frame failed, and not the film."""
        return self.stage in KEY_FRAME_STAGES


def film_of(row: dict) -> Film:
    """A row of tags.jsonl as a record; what an older version did not write is left at its default."""
    uri = str(row.get("uri") or row["id"])
    return Film(
        id=str(row["id"]),
        uri=uri,
        title=str(row.get("title") or storage.base_name(uri)),
        duration_s=float(row.get("duration_s") or 0),
        tags=tuple(map(_tag, row.get("tags") or ())),
        all_tags=tuple(map(_tag, row.get("all_tags") or row.get("tags") or ())),
        warnings=tuple(map(str, row.get("warnings") or ())),
        **{
            name: int(row.get(name) or 0)
            for name in ("frames_sampled", "shots", "key_frames", "key_frames_rejected", "key_frames_failed")
        },
    )


def _tag(row: dict) -> Tag:
    return Tag(
        tag=str(row["tag"]),
        relative_strength=float(row.get("relative_strength") or 0),
        strength=float(row.get("strength") or 0),
        occurrences=int(row.get("occurrences") or 0),
        **{name: row.get(name) for name in ("peak_probability", "seconds", "share", "confidence")},
    )


def key_frame_of(row: dict) -> KeyFrame:
    """A row of key_frames.jsonl as a record."""
    time_s = float(row["time_s"])
    top = _top(row.get("top"))
    return KeyFrame(
        id=str(row["id"]),
        time_s=time_s,
        shot_start_s=float(row.get("shot_start_s", time_s)),
        shot_end_s=float(row.get("shot_end_s", time_s)),
        top=top,
        seen=_top(row.get("seen")) or top,
        entropy=float(row.get("entropy") or 0),
        thumbnail=row.get("thumbnail") or None,
    )


def _top(rows: Iterable[dict] | None) -> Top:
    return tuple((str(row["tag"]), float(row["probability"])) for row in rows or ())


def span_of(row: dict) -> Span:
    """A row of spans.jsonl as a record."""
    return Span(
        str(row["id"]),
        str(row["tag"]),
        float(row["start_s"]),
        float(row["end_s"]),
        float(row.get("mean_probability") or 0),
        float(row.get("peak_probability") or 0),
        int(row.get("key_frames") or 0),
    )


def failed_of(row: dict) -> Failed:
    """A row of errors.jsonl as a record."""
    return Failed(
        str(row.get("id") or ""),
        str(row.get("uri") or ""),
        str(row.get("stage") or ""),
        str(row.get("reason") or "no reason was written"),
        bool(row.get("again")),
    )


def completed(film: Film, key_frames: Iterable[KeyFrame]) -> Film:
    """The film with the seconds, shares and peaks of its tags, found in its key frames where its row lacks them."""
    if all(tag.seconds is not None and tag.peak_probability is not None for tag in film.all_tags + film.tags):
        return film
    seconds: dict[str, float] = {}
    peaks: dict[str, float] = {}
    for frame in key_frames:
        for tag, probability in frame.top:
            seconds[tag] = seconds.get(tag, 0.0) + frame.shot_end_s - frame.shot_start_s
            peaks[tag] = max(peaks.get(tag, 0.0), probability)

    def filled(tag: Tag) -> Tag:
        shown = seconds.get(tag.tag) if tag.seconds is None else tag.seconds
        share = tag.share
        if share is None and shown is not None:
            share = min(1.0, shown / film.duration_s) if film.duration_s else 1.0
        peak = peaks.get(tag.tag) if tag.peak_probability is None else tag.peak_probability
        return replace(tag, seconds=shown, share=share, peak_probability=peak)

    return replace(film, tags=tuple(map(filled, film.tags)), all_tags=tuple(map(filled, film.all_tags)))


def spans_from(key_frames: Iterable[KeyFrame], max_gap_s: float = SPAN_GAP) -> tuple[Span, ...]:
    """The spans of one film whose run wrote none, in order of time."""
    from movie_tags.transforms.spans import find_spans  # imports Beam; only older results need it
    from movie_tags.transforms.tagging import UNIT, KeyFrameTags

    frames = list(key_frames)
    tagged = [
        KeyFrameTags(
            f.time_s, f.shot_start_s, f.shot_end_s, f.entropy, tuple((tag, round(p * UNIT)) for tag, p in f.top), ()
        )
        for f in frames
    ]
    return tuple(
        Span(frames[0].id, s.tag, s.start_s, s.end_s, s.mean_probability, s.peak_probability, s.key_frames)
        for s in find_spans(tagged, max_gap_s)
    )


def slug(film: Film) -> str:
    """A name for a film's files: readable, of plain letters, and unlike any other film's."""
    plain = unicodedata.normalize("NFKD", film.title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:48].strip("-")
    return f"{words or 'film'}-{hashlib.sha256(film.id.encode(errors='surrogatepass')).hexdigest()[:10]}"


class Results:
    """A folder of results. What is large, key frames and spans, is read film by film.

    All is of the view that is the latest at the beginning, whatever is published meanwhile.

    A context: remote tables that are read film by film are fetched once, and kept as long as it lasts.
    """

    def __init__(self, folder: str):
        """
        Raises:
            ReportError: the folder holds no results.
            OutputError: they cannot be read.
        """
        self.folder = folder
        self.view = view_of(folder)
        self._kept = contextlib.ExitStack()
        self._indices: dict[str, _Index] = {}
        if not files_of(self.view, "tags"):
            raise ReportError(
                f"{folder}: holds no results (no tags.jsonl); name a folder that `movie-tags tag … --output` has filled"
            )

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    @cached_property
    def run(self) -> dict | None:
        """What run.json says; None where there is none, as while a run is being replaced."""
        return read_run(self.view)

    def films(self) -> Iterator[Film]:
        """The films, one after the other.

        Raises:
            OutputError: the table cannot be read; the message names the line.
        """
        for row in read_table(self.view, "tags"):
            yield _record(film_of, row, f"{self.folder}: tags")

    def film(self, name: str) -> Film:
        """A film by its id, or by its title or the end of its address where only one has it.

        Raises:
            ReportError: there is none, or several.
        """
        found: list[Film] = []
        names: set[str] = set()
        for film in self.films():
            if film.id == name:
                return film
            names.update((film.id, film.title))
            if name == film.title or film.uri.endswith("/" + name.lstrip("/")):
                found.append(film)
        if len(found) == 1:
            return found[0]
        if found:
            raise ReportError(
                f"{name}: {len(found)} films have that title; give an id: {', '.join(f.id for f in found[:5])}"
            )
        close = difflib.get_close_matches(name, names, 1, 0.5)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ReportError(f"{name}: no film of {self.folder} has that id or title{hint}")

    @cached_property
    def failures(self) -> tuple[Failed, ...]:
        """What failed, films and key frames.

        Raises:
            OutputError: the table cannot be read.
        """
        return tuple(map(failed_of, read_table(self.view, "errors")))

    def key_frames(self, id: str) -> tuple[KeyFrame, ...]:
        """The key frames of a film, in order of time.

        Raises:
            OutputError: the table cannot be read.
        """
        frames = (
            _record(key_frame_of, row, f"{self.folder}: key_frames") for row in self._index("key_frames").rows(id)
        )
        return tuple(sorted(frames, key=lambda frame: frame.time_s))

    def spans(self, id: str) -> tuple[Span, ...]:
        """The spans of a film, in order of time; of an older run, which wrote none, found in its key frames.

        Raises:
            OutputError: the table cannot be read.
        """
        if not self.has_spans:
            return spans_from(self.key_frames(id))
        spans = (_record(span_of, row, f"{self.folder}: spans") for row in self._index("spans").rows(id))
        return tuple(sorted(spans, key=lambda span: (span.start_s, span.end_s, span.tag)))

    @cached_property
    def has_spans(self) -> bool:
        """Whether the run wrote spans, even if none was found."""
        return bool(files_of(self.view, "spans"))

    def thumbnail(self, frame: KeyFrame) -> bytes | None:
        """The JPEG file of a key frame; None where there is none that can be read, or it is no JPEG.

        The table's path is taken only where it stays in the folder.
        """
        if (
            not frame.thumbnail
            or frame.thumbnail.startswith(("/", "\\"))
            or ".." in re.split(r"[/\\]", frame.thumbnail)
        ):
            return None
        try:
            data = storage.read_bytes(storage.join(self.folder, *frame.thumbnail.split("/")))
        except OSError:
            return None
        return data if data.startswith(b"\xff\xd8\xff") else None

    def thumbnails(self, frames: Sequence[KeyFrame]) -> dict[float, bytes]:
        """The JPEG files of a film's key frames by their times, of those that have one that can be read."""
        if storage.is_remote(self.folder):
            with ThreadPoolExecutor(READERS) as readers:
                found = list(readers.map(self.thumbnail, frames))
        else:
            found = [self.thumbnail(frame) for frame in frames]
        return {frame.time_s: data for frame, data in zip(frames, found, strict=True) if data}

    def _index(self, table: str) -> _Index:
        if table not in self._indices:
            try:
                paths = [self._kept.enter_context(_lines_of(path)) for path in files_of(self.view, table)]
            except OSError as error:
                raise OutputError(f"{self.folder}: {table} cannot be read: {storage.plainly(error)}") from error
            self._indices[table] = _Index(paths)
        return self._indices[table]


@contextlib.contextmanager
def _lines_of(path: str) -> Iterator[str]:
    """A local file of a table's rows as lines of JSON, as long as the context lasts."""
    if not path.endswith(PARQUET):
        with storage.fetch(path) as local:
            yield local
        return
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", prefix="movie-tags-", encoding="utf-8") as lines:
        for row in read_parquet(path):
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
        lines.flush()
        yield lines.name


def _record(kind: Any, row: dict, where: str) -> Any:
    try:
        return kind(row)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OutputError(f"{where}: a row that is none of movie-tags ({type(error).__name__}: {error})") from error


class _Index:
    """Where the rows of each film stand in the local files of a table."""

    def __init__(self, paths: Iterable[str]):
        self.paths = list(paths)
        self.places: dict[str, list[list[int]]] = {}
        for number, path in enumerate(self.paths):
            try:
                self._read(number, path)
            except OSError as error:
                raise OutputError(f"{path}: cannot be read: {storage.plainly(error)}") from error

    def _read(self, number: int, path: str) -> None:
        begin = 0
        with open(path, "rb") as lines:
            for line_number, line in enumerate(lines, 1):
                end = begin + len(line)
                places = self.places.setdefault(_id(line, path, line_number), [])
                if places and places[-1][0] == number and places[-1][2] == begin:
                    places[-1][2] = end
                else:
                    places.append([number, begin, end])
                begin = end

    def rows(self, id: str) -> Iterator[dict]:
        for number, begin, end in self.places.get(id, ()):
            with open(self.paths[number], "rb") as file:
                file.seek(begin)
                for line in file.read(end - begin).splitlines():
                    yield read_row(line, self.paths[number], 0)


_BEGINS = re.compile(rb'\{"id": ("(?:[^"\\]|\\.)*")')


def _id(line: bytes, path: str, number: int) -> str:
    found = _BEGINS.match(line)  # as the pipeline writes it; the rest need not be read then
    if found:
        return json.loads(found.group(1))
    return str(read_row(line, path, number).get("id", ""))
