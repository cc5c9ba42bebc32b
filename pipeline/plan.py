"""The plan: what is due, found by one pass over sorted streams in the process that starts a run; memory is bounded."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

from movie_tags import storage
from movie_tags.pipeline.distinct import distinct, same_file
from movie_tags.pipeline.folders import NotLookedAt
from movie_tags.pipeline.inputs import InputError, Inputs, expand
from movie_tags.progress import report_progress
from movie_tags.records import Failure, Video, named
from movie_tags.results.features import files_of
from movie_tags.results.folder import DUE_COUNT
from movie_tags.results.manifest import CATALOGUE, METHOD, SAID_ANEW, Due, Rules, entry_of, failed_entry, id_of, why_due
from movie_tags.results.parts import Part
from movie_tags.results.run_records import PartRecord
from movie_tags.results.schema import MANIFEST, to_line
from movie_tags.results.sort import in_order, joined, lines_of
from movie_tags.storage.reach import WAIT_S

BATCH = 512
THREADS = 32
"""Requests to a remote storage at once: each is nothing but waiting."""


@dataclass
class Plan:
    """What is due.

    Attributes:
        due: the address of the list of it, `Due` lines in order of the hashes of their ids.
        films, bytes: how many and how large.
        counts: of inputs, of failures of the catalogue, and of what is due by reason.
        skipped: what of the inputs was not looked at.
    """

    due: str
    films: int = 0
    bytes: int = 0
    counts: Counter = field(default_factory=Counter)
    skipped: NotLookedAt = field(default_factory=NotLookedAt)

    @property
    def reasons(self) -> dict[str, int]:
        """How many are due, by reason."""
        return {
            name.removeprefix(DUE_COUNT): n for name, n in sorted(self.counts.items()) if name.startswith(DUE_COUNT)
        }


def make_plan(
    inputs: Inputs,
    manifest: str | None,
    rules: Rules,
    part: Part,
    record: PartRecord,
    scratch: str,
    buckets: storage.Buckets | None = None,
) -> Plan:
    """Decide what is due; failures of the catalogue, and what was counted, are written as a part, not yet finished.

    A video that is due and lies on a storage that cannot be reached is a transient failure, too, unless what was seen
    of it is kept and will do; its file counts as unchanged.

    Args:
        inputs: what a user names.
        manifest: the latest one's address; None where nothing has been done.
        rules: what is due.
        part: where the failures go; its folder is made.
        record: of that part, which says of which run and method they are.
        scratch: a local folder.
        buckets: asks those of remote inputs; None: with the usual patience, and silently.
    """
    buckets = buckets or storage.Buckets(WAIT_S, lambda text: None)
    storage.make_folder(part.address)
    plan = Plan(os.path.join(scratch, "due.jsonl"))
    catalogue = _Catalogue(inputs, part, record, plan, scratch)
    done = ((id_of(line), line) for line in (lines_of([manifest]) if manifest else ()))
    asked = ((id, videos[0], entries) for id, videos, entries in joined(catalogue.videos(), done) if videos)
    is_kept = functools.lru_cache(functools.partial(_keeps_features, part.results))
    decided = itertools.chain.from_iterable(_decide(batch, rules, is_kept, buckets) for batch in _batched(asked))
    with open(plan.due, "wb") as out, _Failures(part, record, plan.counts, "-unreachable") as failures:
        due = _without_unreachable(decided, failures)
        lines = in_order((item.line() for item in due), lambda line: (line,), scratch)
        for line in itertools.islice(lines, rules.limit):
            item = Due.of(line)
            plan.films, plan.bytes = plan.films + 1, plan.bytes + item.size
            plan.counts[DUE_COUNT + item.why] += 1
            out.write(line)
    plan.counts["files_not_looked_at"] = plan.skipped.total()
    part.write_counts(plan.counts)
    report_progress(films_due=plan.films, bytes_due=plan.bytes)
    return plan


class _Failures:
    """Rows of a part, not yet finished, of inputs that fail before any work."""

    def __init__(self, part: Part, record: PartRecord, counts: Counter, suffix: str = ""):
        self.part, self.record, self.counts, self.suffix = part, record, counts, suffix

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.entries, self.errors = (
                stack.enter_context(storage.create(f"{self.part.raw(name)}{self.suffix}.jsonl"))
                for name in (MANIFEST, "errors")
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def add(self, video: Video, failure: Failure) -> None:
        """Write and count one."""
        said = self.record
        self.counts["videos_failed"] += 1
        self.entries.write(to_line(failed_entry(video, failure, said.method_key, said.run_id, said.at)))
        self.errors.write(to_line(named(failure, video)))


class _Catalogue:
    """Inputs as a stream of distinct videos in order of id; what is wrong with them becomes rows of a part."""

    def __init__(self, inputs: Inputs, part: Part, record: PartRecord, plan: Plan, scratch: str):
        self.inputs, self.part, self.record, self.scratch = inputs, part, record, scratch
        self.counts, self.skipped = plan.counts, plan.skipped

    def videos(self) -> Iterator[tuple[str, tuple[Video, list[str]]]]:
        """(id, (video, warnings)) for each."""
        chosen = os.path.join(self.scratch, "videos.jsonl")
        warned = os.path.join(self.scratch, "warnings.jsonl")
        self._write_distinct(chosen, warned)
        shared = in_order(self._by_identity(chosen), _parsed, self.scratch)
        with open(warned, "ab") as out:
            for _, same in itertools.groupby(map(json.loads, shared), key=lambda row: row[0]):
                out.writelines(_line(video.id, text) for video, text in same_file(Video(*row[1:]) for row in same))
        texts = ((id, text) for id, text in map(json.loads, in_order(lines_of([warned]), _parsed, self.scratch)))
        videos = ((video.id, video) for video in _videos(chosen))
        for id, (video,), found in joined(videos, texts):
            yield id, (video, found)

    def _write_distinct(self, chosen: str, warned: str) -> None:
        """Write what ids come to: videos in order, warnings, and failures as rows of the part."""
        named_by_id = in_order(self._lines(), _parsed, self.scratch)
        rows_of_part = _Failures(self.part, self.record, self.counts)
        with open(chosen, "wb") as videos, open(warned, "wb") as warnings, rows_of_part as failures:
            for id, rows in itertools.groupby(map(json.loads, named_by_id), key=lambda row: row[0]):
                items = [(Video(*row[:3]), Failure(*row[3]) if row[3] else None) for row in rows]
                found = distinct(id, [v for v, failure in items if failure is None]) if _any_video(items) else None
                wrong = [(video, failure) for video, failure in items if failure]
                if found:
                    self.counts["inputs_merged"] += len(found.merged)
                    wrong += found.failed
                    if found.video:
                        videos.write(_line(*_names(found.video)))
                    if found.warning:
                        warnings.write(_line(id, found.warning))
                for video, failure in wrong:
                    failures.add(video, failure)

    def _lines(self) -> Iterator[bytes]:
        """[id, uri, title, failure] of all that is listed."""
        for uri in self.inputs.uris:
            try:
                for item in expand(uri, self.inputs, self.skipped):
                    self.counts["inputs_read"] += 1
                    yield _line(*_names(item.video), _said(item.failure))
            except InputError as error:
                self.counts["inputs_read"] += 1
                yield _line(uri, uri, "", _said(Failure(CATALOGUE, str(error), retryable=True)))
        if self.skipped.files or self.skipped.notes:
            report_progress(not_looked_at=dict(self.skipped.files), notes=self.skipped.notes)

    def _by_identity(self, chosen: str) -> Iterator[bytes]:
        for video in _videos(chosen):
            yield _line(storage.identity(video.uri), *_names(video))


def _any_video(items: Iterable[tuple[Video, Failure | None]]) -> bool:
    return any(failure is None for _, failure in items)


def _names(video: Video) -> tuple[str, str, str]:
    return video.id, video.uri, video.title


def _said(failure: Failure | None) -> tuple[str, str, bool] | None:
    return None if failure is None else (failure.stage, failure.reason, failure.retryable)


def _line(*values: object) -> bytes:
    return json.dumps(values, ensure_ascii=False).encode() + b"\n"


def _parsed(line: bytes) -> tuple:
    """The order of such lines: by what they begin with, as text; the rest decides between equals."""
    return (json.loads(line)[0],)


def _videos(path: str) -> Iterator[Video]:
    with open(path, "rb") as lines:
        yield from (Video(*json.loads(line)) for line in lines)


def _without_unreachable(decided: Iterable[Due | _Unreachable], failures: _Failures) -> Iterator[Due]:
    for item in decided:
        if isinstance(item, Due):
            yield item
        else:
            failures.add(*item)


Asked = tuple[str, tuple[Video, list[str]], list[bytes]]


def _batched(asked: Iterable[Asked]) -> Iterator[list[Asked]]:
    iterator = iter(asked)
    while batch := list(itertools.islice(iterator, BATCH)):
        yield batch


class _Unreachable(NamedTuple):
    """A video that is due and lies where nothing answers."""

    video: Video
    failure: Failure


def _decide(
    batch: list[Asked], rules: Rules, is_kept: Callable[[str], bool], buckets: storage.Buckets
) -> Iterator[Due | _Unreachable]:
    """Those of some videos that are due, each with the version of its file and what tells it wherever it lies."""
    remote = [video.uri for _, (video, _), _ in batch if storage.is_remote(video.uri)]
    buckets.ask(remote)
    with ThreadPoolExecutor(THREADS) if remote else contextlib.nullcontext() as pool:
        each = pool.map if pool else map
        found = each(lambda asked: _decide_one(asked, rules, is_kept, buckets.why_not(asked[1][0].uri)), batch)
        yield from (item for item in found if item is not None)


def _decide_one(
    asked: Asked, rules: Rules, is_kept: Callable[[str], bool], unreachable: str | None
) -> Due | _Unreachable | None:
    _, (video, warnings), done = asked
    entry = entry_of(done[0]) if done else None
    if unreachable:  # nobody says that the file has changed
        size, version = 0, entry.source if entry else ""
    else:
        size, version = _about(video.uri)
    why = why_due(replace(video, version=version), entry, rules)
    if why is None:
        return None
    if why == SAID_ANEW and entry:
        if is_kept(entry.features):  # no film is opened: its bytes are no work
            return Due(replace(video, version=version, seen=entry.features), 0, why, tuple(sorted(warnings)))
        why = METHOD
    if unreachable:
        return _Unreachable(video, Failure("opening", unreachable, retryable=True))
    video = replace(video, version=version, content=_content_of(video.uri))
    return Due(video, size, why, tuple(sorted(warnings)))


def _keeps_features(results: str, part: str) -> bool:
    """Whether a part of a folder of results still has the features that it kept."""
    try:
        return bool(files_of(storage.join(results, part)))
    except OSError:
        return False


def _about(uri: str) -> tuple[int, str]:
    """Size and version of a file; 0 and "" where they cannot be told, which the decoder will find out, too."""
    try:
        if not storage.is_remote(uri) and not os.path.isfile(uri):
            return 0, ""
        found = storage.about(uri)
    except OSError:
        return 0, ""
    return found.size, found.version


def _content_of(uri: str) -> str:
    """What tells a file wherever it lies; "" where it cannot be read, which the decoder will find out, too."""
    try:
        return storage.content_key(uri)
    except OSError:
        return ""
