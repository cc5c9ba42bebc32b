"""A run over what is kept: every film of a folder of results is said anew by another model, and none is opened.

Nothing is listed or asked for: a film that is out of reach, or is no longer in any catalogue, is said anew as well.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.pipeline.inputs import Inputs
from movie_tags.pipeline.method import Method, Work
from movie_tags.pipeline.plan import Plan
from movie_tags.pipeline.run import TaggingRun
from movie_tags.progress import report_progress
from movie_tags.records import TAGGED, Entry, Film, Video
from movie_tags.results.features import files_of
from movie_tags.results.folder import DUE_COUNT, ResultsFolder
from movie_tags.results.manifest import SAID_ANEW, Due, Rules, entry_of, id_of
from movie_tags.results.reading import no_results
from movie_tags.results.run_records import OF_TAG, RunRecord
from movie_tags.results.schema import MANIFEST, from_row
from movie_tags.results.sort import in_order, joined, lines_of

KEPT = "kept"
"""The part that says what was due."""


class _Listed(Inputs):
    """Inputs of an earlier run, which are not looked at."""

    def check(self) -> None:
        """Nothing is."""


class KeptRun(TaggingRun):
    """One run of a model over what is kept in a folder of results, by the method of the last run.

    Attributes:
        left: films that stay as they are, for what is kept of them was not seen by this model's backbone, or is gone.
    """

    def __init__(self, results: ResultsFolder, model: str | Sequence[str], beam_words: Sequence[str] = ()):
        """
        Args:
            results: the folder.
            model: a model bundle's name or folder, or several.
            beam_words: Beam's own options, as words of a command line.

        Raises:
            UserError: one of these cannot be used.
        """
        done = results.last_run
        if done is None:
            raise no_results(results.address)
        super().__init__(
            _Listed(tuple(done.inputs), bool(done.work.get("all_videos"))),
            results,
            model,
            Method(**done.method),
            Work(features=True),
            beam_words=beam_words,
            thumbnails=done.work.get("thumbnails") is not None,
            table_format=done.format,
        )
        if not self.rules.seen_key:
            raise UserError(f"{', '.join(bundle.uri for bundle in self.models.bundles)}: gives no features of pictures")
        self.left = 0
        self._work_of_tag = done.work_of_tag

    @property
    def record(self) -> RunRecord:
        said = super().record
        return replace(said, work={**said.work, OF_TAG: self._work_of_tag})

    def _plan(self, scratch: str) -> Plan:
        plan = Plan(os.path.join(scratch, "due.jsonl"))
        self.left = 0
        with open(plan.due, "wb") as out:
            for line in in_order(self._lines(), lambda line: (line,), scratch):
                plan.films += 1
                out.write(line)
        plan.counts[DUE_COUNT + SAID_ANEW] = plan.films
        report_progress(films_due=plan.films, bytes_due=0)
        return plan

    def _lines(self) -> Iterator[bytes]:
        for item in due_of(self.results, self.rules):
            if item is None:
                self.left += 1
            else:
                yield item.line()

    def _planned(self, scratch: str) -> Plan:
        part = self.folder.part(KEPT)  # and no PLAN, for the catalogue was not read
        storage.make_folder(part.address)
        plan = self._plan(scratch)
        part.write_counts(plan.counts)
        part.finish(self._part_record({}))
        return plan


def due_of(results: ResultsFolder, rules: Rules) -> Iterator[Due | None]:
    """The films of a folder of results of which another model may say something else; None for each that must stay.

    Args:
        results: the folder.
        rules: the keys of what is wanted.

    Raises:
        OSError, OutputError: it cannot be read.
    """
    latest = results.latest
    if latest is None:
        return

    @functools.lru_cache(1024)
    def is_kept(part: str) -> bool:
        return bool(files_of(storage.join(results.address, part)))

    films = ((id_of(line), line) for line in lines_of([storage.join(latest, "tags.jsonl")]))
    entries = ((id_of(line), line) for line in lines_of([storage.join(latest, f"{MANIFEST}.jsonl")]))
    for _, rows, said in joined(films, entries):
        if rows and said:
            entry = entry_of(said[0])
            if entry.method_key != rules.method_key:
                yield _due(from_row(Film, json.loads(rows[0])), entry) if _is_seen(entry, rules, is_kept) else None


def _is_seen(entry: Entry, rules: Rules, is_kept: Callable[[str], bool]) -> bool:
    return bool(entry.features) and entry.seen_key == rules.seen_key and is_kept(entry.features)


def _due(film: Film, entry: Entry) -> Due:
    version = entry.source if entry.status == TAGGED else ""  # a failure's is not that of the file that was seen
    return Due(Video(film.id, film.uri, film.title, version, film.content, entry.features), 0, SAID_ANEW)
