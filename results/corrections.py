"""Corrections: what people say of tags, kept apart from what runs write, and laid over it wherever rows are read.

An append-only file of lines in a folder of results (elsewhere than on a local disk: an object each). A correction is on
the disk before it counts; a line that a crash has torn is passed over. The last one said of a tag at a place holds. A
correction names its film by id and by content, so that it outlasts reruns, models, moves and renames.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from movie_tags import storage
from movie_tags.errors import UserError

FOLDER, FILE = "corrections", "corrections.jsonl"
APPLIES, REJECTED, WITHDRAWN = "applies", "rejected", "withdrawn"
VERDICTS = (APPLIES, REJECTED, WITHDRAWN)
LOCK_S = 10.0
"""How long another's writing is waited for."""


class CorrectionError(UserError):
    """A correction that says nothing that can be kept."""


@dataclass(frozen=True)
class Place:
    """What of a film a correction is of.

    Attributes:
        start_s, end_s: seconds after the film's first frame; None of the whole film. Of a key frame both are its time.
    """

    start_s: float | None = None
    end_s: float | None = None

    @property
    def of_film(self) -> bool:
        return self.start_s is None

    @property
    def width(self) -> float:
        """Seconds; of a key frame 0, of the whole film infinite."""
        return math.inf if self.start_s is None or self.end_s is None else self.end_s - self.start_s

    def covers(self, time_s: float) -> bool:
        """Whether it is of a key frame at that time."""
        if self.start_s is None or self.end_s is None:
            return True
        return self.start_s <= time_s < self.end_s or time_s == self.start_s

    def meets(self, start_s: float, end_s: float) -> bool:
        """Whether it has a moment in common with a stretch."""
        if self.start_s is None or self.end_s is None:
            return True
        return self.start_s < end_s and start_s < max(self.end_s, self.start_s + 1e-9)


@dataclass(frozen=True)
class Correction:
    """A line of the corrections.

    Attributes:
        film: the film's id when it was said.
        tag: any text: of the vocabulary, or a tag of one's own.
        verdict: of VERDICTS; WITHDRAWN takes back what was said before of the tag at the place.
        place: of the film.
        content: the film's content (`storage.content_key`); "" if it is not known.
        by: the name of the person.
        at: when (UTC).
        key: unlike any other's.
    """

    film: str
    tag: str
    verdict: str
    place: Place = Place()
    content: str = ""
    by: str = ""
    at: str = ""
    key: str = ""

    def row(self) -> dict[str, Any]:
        """The object of its line."""
        said = dataclasses.asdict(self)
        place = said.pop("place")
        return {name: value for name, value in {**said, **place}.items() if value not in (None, "")}


def correction_of(row: object) -> Correction:
    """An object of a line as a correction.

    Raises:
        CorrectionError: it is none.
    """
    if not isinstance(row, dict):
        raise CorrectionError("a correction is an object with film, tag and verdict")
    texts = [row.get(name, "") for name in ("film", "tag", "verdict", "content", "by", "at", "key")]
    film, tag, verdict, *more = texts
    if {*map(type, texts)} != {str} or not film or not tag.strip():
        raise CorrectionError("a correction names its 'film' and its 'tag' in text")
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise CorrectionError(f"{tag!r} of {film!r} holds what is no text; other programs could not read it") from None
    if verdict not in VERDICTS:
        raise CorrectionError(f"the verdict {verdict!r} is none of {', '.join(VERDICTS)}")
    return Correction(film, tag.strip(), verdict, _place_of(row), *more)


def _place_of(row: dict) -> Place:
    start, end = row.get("start_s"), row.get("end_s")
    if start is None and end is None:
        return Place()
    times = [time for time in (start, end) if isinstance(time, int | float) and not isinstance(time, bool)]
    if len(times) != 2 or not 0 <= times[0] <= times[1] < float("inf"):
        raise CorrectionError(f"from {start!r} to {end!r} is no stretch of a film in seconds")
    return Place(float(times[0]), float(times[1]))


def stamped(correction: Correction) -> Correction:
    """The same with a key, and with the time it is now, where it has none."""
    at = correction.at or datetime.now(UTC).isoformat(timespec="milliseconds")
    return dataclasses.replace(correction, at=at, key=correction.key or secrets.token_hex(8))


class Corrections:
    """The corrections of a folder of results."""

    def __init__(self, folder: str):
        """Args: the folder of results, local or remote."""
        self.folder = storage.join(folder, FOLDER)
        self.path = storage.join(self.folder, FILE)

    def append(self, corrections: Iterable[Correction]) -> list[Correction]:
        """Keep corrections: when this returns they are on the disk, or with a remote storage.

        Returns:
            The same, with key and time.

        Raises:
            OSError: they cannot be kept.
        """
        said = [stamped(correction) for correction in corrections]
        if said and storage.is_remote(self.folder):
            for one in said:
                storage.write_bytes(storage.join(self.folder, f"{one.at}-{one.key}.json"), _line(one))
        elif said:
            self._append(b"".join(map(_line, said)))
        return said

    def _append(self, data: bytes) -> None:
        os.makedirs(self.folder, exist_ok=True)
        with storage.flock(f"{self.path}.lock", LOCK_S) as lock:
            if lock is None:
                raise OSError(f"{self.path}: others have been writing to it for {LOCK_S:.0f} s")
            new = not os.path.exists(self.path)
            with open(self.path, "ab+") as file:
                if file.tell() and _last_byte(file) != b"\n":  # somebody died over writing
                    data = b"\n" + data
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if new:
                storage.settle(self.folder)

    def __iter__(self) -> Iterator[Correction]:
        """All that were ever said, in order.

        Raises:
            OSError: they cannot be read.
        """
        yield from _read(self._lines())

    def since(self, position: int) -> tuple[list[Correction], int]:
        """What was kept behind a position in the file of a local folder, and the position where that ends.

        Raises:
            OSError: they cannot be read.
        """
        with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as file:
            file.seek(position)
            data = file.read()
            whole = data[: data.rfind(b"\n") + 1]  # a line that is just being written comes next time
            return list(_read(whole.splitlines())), position + len(whole)
        return [], 0

    def _lines(self) -> Iterator[bytes]:
        if not storage.is_remote(self.folder):
            with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as file:
                yield from file
            return
        for path in sorted(storage.list_folder(self.folder, "*.json")):
            yield storage.read_bytes(path)

    def changed(self) -> tuple[int, ...]:
        """What differs as soon as another correction is kept."""
        if storage.is_remote(self.folder):
            return (len(storage.list_folder(self.folder, "*.json")),)
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return ()
        return found.st_size, found.st_mtime_ns


def _read(lines: Iterable[bytes]) -> Iterator[Correction]:
    for line in lines:
        try:
            yield correction_of(json.loads(line))
        except (ValueError, CorrectionError):  # torn: it was never said to be kept
            continue


def _line(correction: Correction) -> bytes:
    return json.dumps(correction.row(), ensure_ascii=False).encode() + b"\n"


def _last_byte(file: Any) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


Verdicts = dict[tuple[str, Place], Correction]
"""What holds of one film: by tag and place the last correction that was not withdrawn, in order of time."""


def said_at(time_s: float, verdicts: Verdicts) -> dict[str, Correction]:
    """What people say of a key frame, by tag: a narrower place prevails over a wider one, of equal ones the last said.

    That a tag applies to the film as a whole does not say where: it is said of no key frame.

    Args:
        time_s: the key frame's, seconds after the film's first frame.
        verdicts: what holds of the film, in order of time.
    """
    found: dict[str, Correction] = {}
    for (tag, place), one in verdicts.items():
        there = place.covers(time_s) and not (place.of_film and one.verdict == APPLIES)
        if there and (tag not in found or place.width <= found[tag].place.width):
            found[tag] = one
    return found


class Held:
    """What holds of all films: the corrections, folded.

    A film is told by its content, and by its id alone where the content is not known; so what was said of one that has
    been moved still holds, and what was said of another that lay at the same address does not.
    """

    def __init__(self, corrections: Iterable[Correction]):
        said = list(corrections)
        self._contents = {one.film: one.content for one in said if one.content}
        self._verdicts: dict[str, Verdicts] = {}
        self._fold(said)

    def _fold(self, said: Iterable[Correction]) -> None:
        for one in said:
            verdicts = self._verdicts.setdefault(one.content or self._contents.get(one.film) or one.film, {})
            verdicts.pop((one.tag, one.place), None)
            if one.verdict != WITHDRAWN:
                verdicts[one.tag, one.place] = one

    def and_then(self, more: Sequence[Correction]) -> Held | None:
        """What holds after more was said; this stays as it is. None where it changes which films what was said is of.

        What all said costs nothing once more, as it does to fold it anew.
        """
        contents = {one.film: one.content for one in more if one.content}
        for film, content in contents.items():
            if self._contents.get(film) != content and (film in self._contents or film in self._verdicts):
                return None
        found = Held(())
        found._contents, found._verdicts = {**self._contents, **contents}, dict(self._verdicts)
        for one in more:
            key = one.content or found._contents.get(one.film) or one.film
            found._verdicts[key] = dict(found._verdicts.get(key, {}))
        found._fold(more)
        return found

    def __bool__(self) -> bool:
        return any(self._verdicts.values())

    @property
    def fingerprint(self) -> str:
        """Unlike that of any other that says something else of some film, SHA-256 in hex; "" where nothing is said."""
        said = sorted(
            (key, [(tag, place.start_s, place.end_s, one.verdict) for (tag, place), one in verdicts.items()])
            for key, verdicts in self._verdicts.items()
            if verdicts
        )
        known = [said, sorted(self._contents.items())]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest() if said else ""

    def of(self, id: str, content: str = "") -> Verdicts:
        """What holds of a film with such an id and, where it is known, such a content."""
        return self._verdicts.get(content or self._contents.get(id) or id) or self._verdicts.get(id, {})

    def where(self, tags: Iterable[str]) -> set[str]:
        """The ids and contents of all films of which something is said of some tags, and perhaps of others."""
        keys = {key for tag in tags for key in self._keys.get(tag, ())}
        return keys | {film for film, content in self._contents.items() if content in keys}

    @cached_property
    def _keys(self) -> dict[str, list[str]]:
        """Of each tag the keys of the films of which something is said of it, some of them twice."""
        found: dict[str, list[str]] = {}
        for key, verdicts in self._verdicts.items():
            for tag, _ in verdicts:
                found.setdefault(tag, []).append(key)
        return found

    @cached_property
    def _applied(self) -> frozenset[str]:
        said = (one for verdicts in self._verdicts.values() for one in verdicts.values())
        return frozenset(one.tag for one in said if one.verdict == APPLIES)

    def tags(self) -> frozenset[str]:
        """The tags of which people say that they apply somewhere."""
        return self._applied
