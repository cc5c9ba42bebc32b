"""Manifest: what has been done with each video, with what, and how it ended; and what is therefore due.

One JSON object a line, in order of id, beside the tables of the latest snapshot. It is read as a stream.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from movie_tags import storage
from movie_tags.records import FAILED, GONE, QUARANTINED, TAGGED, Entry, Failure, Video
from movie_tags.results.schema import from_row

CATALOGUE = "catalogue"
"""The stage of failures that are not of a video but of how it is named: each run finds them anew."""

FORCED, NEW, CHANGED, METHOD, AGAIN, RETRIED = "forced", "new", "changed", "other method or model", "again", "retried"
SAID_ANEW = "seen already, said anew"
REASONS = (NEW, CHANGED, METHOD, SAID_ANEW, AGAIN, RETRIED, FORCED)


def entry_of(line: bytes | str) -> Entry:
    """A line of the manifest as a record."""
    return from_row(Entry, json.loads(line))


def id_of(line: bytes) -> str:
    """The id of a row of any table: they begin with it."""
    if line.startswith(b'{"id": "'):
        end = line.find(b'"', 8)
        if b"\\" not in line[8:end]:
            return line[8:end].decode()
    return json.loads(line)["id"]


@dataclass(frozen=True)
class Rules:
    """What is due.

    Attributes:
        method_key: of the method and model that results are wanted of.
        max_attempts: a video that has failed so often is quarantined.
        retry: "failed" takes every failure again that is not quarantined, "all" those, too; None what is retryable.
        force: everything is due.
        limit: so many at most.
        seen_key: of what is wanted to be seen; "" where what was seen cannot be said anew.
    """

    method_key: str = ""
    max_attempts: int = 3
    retry: str | None = None
    force: bool = False
    limit: int | None = None
    seen_key: str = ""


def why_due(video: Video, done: Entry | None, rules: Rules) -> str | None:
    """Why a video is due, one of REASONS; None if it is not."""
    if rules.force:
        return FORCED
    if done is None or done.stage == CATALOGUE or done.status == GONE:
        return NEW
    if done.method_key != rules.method_key:
        return SAID_ANEW if _is_seen(video, done, rules) else METHOD
    unknown = not video.version and done.status != TAGGED  # still out of reach: a failure like the last one
    moved = not storage.same_file(video.uri, done.uri)
    if not unknown and (video.version != done.source or moved or not video.version):
        return CHANGED
    if done.status == TAGGED:
        return None
    if rules.retry == "all" or (rules.retry == "failed" and done.status == FAILED):
        return RETRIED
    return AGAIN if done.retryable and done.attempts < rules.max_attempts else None


def _is_seen(video: Video, done: Entry, rules: Rules) -> bool:
    """Whether what was seen of a video is kept, and is what would be seen again."""
    if not rules.seen_key or not done.features or (done.status, done.seen_key) != (TAGGED, rules.seen_key):
        return False
    return bool(video.version) and video.version == done.source and storage.same_file(video.uri, done.uri)


def after(before: Entry | None, new: Entry, max_attempts: int) -> Entry:
    """A video's entry after a run, with its attempts counted on; too many quarantine it.

    A transient failure leaves the results that there are, and so what was seen for them; but not `source`, so that the
    video is due when its file is there again, even if it was quarantined meanwhile.
    """
    if new.status == TAGGED:
        return replace(new, attempts=0)
    if before is not None and new.retryable and not new.features:
        new = replace(new, seen_key=before.seen_key, features=before.features)
    attempts = max(1, new.attempts)
    if before is not None and before.status in (FAILED, QUARANTINED) and before.run_id != new.run_id:
        same = (before.source, before.method_key) == (new.source, new.method_key)
        attempts += before.attempts if same else 0
    spent = new.retryable and attempts >= max_attempts
    return replace(new, attempts=attempts, status=QUARANTINED if spent else new.status)


@dataclass(frozen=True)
class Due:
    """A video that is due.

    Attributes:
        video: with the version of its file.
        size: of the file in bytes; 0 if unknown.
        why: one of REASONS.
        warnings: of the catalogue.
    """

    video: Video
    size: int
    why: str
    warnings: tuple[str, ...] = ()

    def line(self) -> bytes:
        """JSON line, led by the hash of its id: in order of such lines, films of all kinds are mixed."""
        key = hashlib.sha256(self.video.id.encode()).hexdigest()[:16]
        row = {"key": key, **asdict(self.video), "size": self.size, "why": self.why, "warnings": list(self.warnings)}
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def of(cls, line: bytes | str) -> Due:
        """The record of a JSON line."""
        row = json.loads(line)
        video = Video(*(row[name] for name in ("id", "uri", "title", "version", "content", "seen")))
        return cls(video, row["size"], row["why"], tuple(row["warnings"]))


def read_due(uri: str) -> Iterator[Due]:
    """The lines of a list.

    Raises:
        OSError: it cannot be read.
    """
    with storage.open_stream(uri) as lines:
        yield from map(Due.of, lines)


def failed_entry(video: Video, failure: Failure, method_key: str, run_id: str, at: str) -> Entry:
    """The entry of a video that failed."""
    said = {name: getattr(failure, name) for name in ("stage", "reason", "retryable")}
    return Entry(
        video.id, video.uri, video.version, method_key, status=FAILED, attempts=1, **said, run_id=run_id, at=at
    )
