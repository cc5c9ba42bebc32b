"""A tagging run: what is due is found, cut into batches, tagged batch by batch, and published."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import platform
import secrets
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from movie_tags import storage
from movie_tags.machine import cores
from movie_tags.models import DEFAULT
from movie_tags.models.ensemble import film_vocabulary, read_models
from movie_tags.pipeline.batches import STARTS, Batch, cut, halve
from movie_tags.pipeline.inputs import Inputs
from movie_tags.pipeline.interruption import Interruption
from movie_tags.pipeline.method import Method, Work, method_key, seen_key
from movie_tags.pipeline.plan import Plan, make_plan
from movie_tags.pipeline.retag_here import RetagHere, split
from movie_tags.records import QUARANTINED, Failure, named
from movie_tags.results import lease
from movie_tags.results.folder import DUE_COUNT, ResultsFolder
from movie_tags.results.manifest import SAID_ANEW, Rules, failed_entry, read_due
from movie_tags.results.parts import PLAN
from movie_tags.results.reading import THUMBNAILS, read_table
from movie_tags.results.run_records import DONE, FAILED, INTERRUPTED, PartRecord, RunRecord, iso
from movie_tags.results.schema import MANIFEST, to_line
from movie_tags.stopping import StopFile
from movie_tags.storage.reach import WAIT_S
from movie_tags.transforms.thumbnail_folder import Thumbnails

if TYPE_CHECKING:
    from apache_beam.runners.runner import PipelineResult

    from movie_tags.pipeline.graph import Graph

VERSIONS = ("movie-tags", "apache-beam", "ai-edge-litert", "tensorflow", "av", "opencv-python-headless", "numpy")
WORKER_BYTES = 48 << 20
"""Of film files: so much is worth a further worker process, which takes a second or two to start."""
HOPELESS = 5
"""So many videos quarantined one after the other, with no batch done between, are not to blame."""
_LOGGER = logging.getLogger("movie_tags")


class Interrupted(KeyboardInterrupt):
    """A run that was told to end; what was finished is published.

    Attributes:
        said: what run.json says.
    """

    def __init__(self, said: RunRecord):
        super().__init__()
        self.said = said


def workers_for(bytes_due: int) -> int:
    """How many processes of this machine so many bytes of film are worth."""
    return min(cores(), 1 + bytes_due // WORKER_BYTES)


def new_run_id(begun: float) -> str:
    """A name for a run, unlike any other's, in order of time."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(begun))}-{secrets.token_hex(3)}"


class TaggingRun:
    """One run of `TagMovies` over what is due of inputs, into a folder of results.

    Everything that can be checked before any work is, when it is made, but for what needs the model's libraries.

    Attributes:
        id: of the run, unlike any other's.
        results: the folder of results.
        options: Beam's; None before they are needed.
        workers: processes on this machine; 0 where another runner does the work.
        said: what run.json says, when the run has ended, however it did.
    """

    def __init__(
        self,
        inputs: Inputs,
        results: ResultsFolder,
        model: str | Sequence[str] = DEFAULT,
        method: Method = Method(),
        work: Work = Work(),
        rules: Rules = Rules(),
        beam_words: Sequence[str] = (),
        thumbnails: bool | None = None,
        table_format: str = "jsonl",
        part_size: int | None = None,
        break_lock: bool = False,
        storage_wait_s: float = WAIT_S,
    ):
        """
        Args:
            inputs: videos, folders, globs and catalogues.
            results: where to.
            model: a model bundle's name or folder, or several.
            method, work: the numbers; the model's threads are set to what each worker can have.
            rules: what is due, but for the key of the method.
            beam_words: Beam's own options, as words of a command line.
            thumbnails: keep a small JPEG of each key frame; None: on this machine, but not on clusters.
            table_format: of the tables, jsonl or parquet.
            part_size: videos a part at most; None: by their bytes.
            break_lock: take the folder from a run that cannot be seen to live.
            storage_wait_s: seconds that a bucket of the inputs may take to answer for the first time.

        Raises:
            UserError: one of these cannot be used.
        """
        self.begun = time.time()
        self.id = new_run_id(self.begun)
        self.inputs, self.results, self.table_format = inputs, results, table_format
        inputs.check()  # before a model, which may have to be built
        self.models = read_models(model)
        self.beam_words = list(beam_words)
        self.options: Any = None
        self.workers = 1
        if beam_words:  # Beam takes a second to import: only those who need it yet pay
            self._choose_workers(0)
        results.check()
        kept = thumbnails_of(results) if (self.workers > 0 if thumbnails is None else thumbnails) else None
        self.method, self.work = method, dataclasses.replace(work, thumbnails=kept)
        self.method_key = method_key(method, self.models.fingerprint)
        seen = seen_key(method, self.models.features_fingerprint) if work.features else ""
        self.rules = dataclasses.replace(rules, method_key=self.method_key, seen_key=seen)
        self.part_size, self.break_lock, self.storage_wait_s = part_size, break_lock, storage_wait_s
        self.folder = results.run(self.id)
        self.interruption = Interruption()
        self.said: RunRecord | None = None

    @property
    def record(self) -> RunRecord:
        """What run.json says, less how it ended."""
        work = {name: value for name, value in dataclasses.asdict(self.work).items() if name != "stop"}
        return RunRecord(
            run_id=self.id,
            begun=iso(self.begun),
            inputs=list(self.inputs.uris),
            format=self.table_format,
            method_key=self.method_key,
            seen_key=self.rules.seen_key,
            method=dataclasses.asdict(self.method),
            work={**work, "workers": self.workers, "beam": self.beam_words, "all_videos": self.inputs.all_videos},
            model={
                "name": self.models.name,
                "fingerprint": self.models.fingerprint,
                "vocabulary": film_vocabulary(self.models),
                "thresholds": dict(zip(self.models.vocabulary, self.models.thresholds, strict=True)),
                "watch": self.models.watch,
                "bundles": [
                    {
                        "uri": storage.canonical(bundle.uri),
                        "name": bundle.name,
                        "fingerprint": bundle.fingerprint,
                        "width": bundle.width,
                        "knows_words": bundle.knows_words,
                    }
                    for bundle in self.models.bundles
                ],
            },
            versions={**{name: version(name) for name in VERSIONS}, "python": platform.python_version()},
        )

    # The run

    def run(
        self, watching: AbstractContextManager = contextlib.nullcontext(), interruption: Interruption | None = None
    ) -> RunRecord:
        """Run it to its end and publish its results.

        Args:
            watching: entered while there is work.
            interruption: what signals do.

        Returns:
            What run.json says.

        Raises:
            LockError: another run holds the folder.
            Interrupted: it was told to end, or a KeyboardInterrupt came; what was finished is published.
            RunError: the runner did not finish; whatever it raises itself is passed on. What was finished is published.
        """
        self.interruption = interruption or self.interruption
        with self._locked(), tempfile.TemporaryDirectory(prefix="movie-tags-") as scratch:
            self.results.adopt(self.rules.max_attempts)
            self.folder.begin(self.record)
            try:
                with watching:
                    self._tag(self._planned(scratch), scratch)
            except BaseException as error:
                self.interruption.end_workers()
                # Beam makes an error of its own of an interrupt that comes inside a step.
                if isinstance(error, KeyboardInterrupt) or self.interruption.told:
                    raise Interrupted(self._finish(INTERRUPTED)) from error
                with contextlib.suppress(OSError):  # which would hide why it failed; the next run does it
                    self._finish(FAILED)
                raise
            if self.interruption.told:
                raise Interrupted(self._finish(INTERRUPTED))
            return self._finish(DONE)

    @contextlib.contextmanager
    def dry_run(self) -> Iterator[Plan]:
        """What is due, and nothing is done of it; the plan lasts as long as the context.

        Raises:
            LockError: another run holds the folder.
        """
        with self._locked(), tempfile.TemporaryDirectory(prefix="movie-tags-") as scratch:
            self.results.adopt(self.rules.max_attempts)
            try:
                yield self._plan(scratch)
            finally:
                self.results.forget(self.folder)

    def launch(self) -> PipelineResult | None:
        """Start it as a job and wait for nothing: the job publishes its results itself, and gives the lease back.

        None where nothing is due, which needs no job.
        """
        from movie_tags.pipeline.publish import PublishTables

        if self.results.is_remote:
            lease.acquire(self.results.address, self.id, self.break_lock, job=True)
        try:
            self.results.adopt(self.rules.max_attempts)
            self.folder.begin(self.record)
            with tempfile.TemporaryDirectory(prefix="movie-tags-") as scratch:
                plan = self._planned(scratch)
                (batch,) = self._cut(plan) or (None,)
            if batch is not None:
                self._prepare(plan)
                part = self.folder.part(batch.name)
                last = PublishTables(self.results, self.record, part, batch.due, self.rules.max_attempts)
                return self._graph(str).build(batch.due, part, last).run()
            self._finish(DONE)
            self._release()
        except BaseException:
            self._release()
            raise
        return None

    def tagged(self) -> Iterator[dict]:
        """The rows of the videos that were tagged."""
        for part in self.folder.finished_parts():
            yield from read_table(part.address, "tags")

    def failed(self) -> Iterator[dict]:
        """The rows of what failed."""
        for part in self.folder.finished_parts():
            yield from read_table(part.address, "errors")

    def _locked(self) -> AbstractContextManager[None]:
        return self.results.locked(self.id, self.break_lock)

    def _release(self) -> None:
        if self.results.is_remote:
            lease.release(self.results.address, self.id)

    def _finish(self, state: str) -> RunRecord:
        """Publish the finished parts, and close the run."""
        self.said = self.results.finish(self.record, state, self.rules.max_attempts)
        return self.said

    # What is due

    def _plan(self, scratch: str) -> Plan:
        part, record = self.folder.part(PLAN), self._part_record({})
        buckets = storage.Buckets(self.storage_wait_s, _LOGGER.warning)
        return make_plan(self.inputs, self.results.manifest, self.rules, part, record, scratch, buckets)

    def _planned(self, scratch: str) -> Plan:
        """The plan, its part finished."""
        plan = self._plan(scratch)
        self.folder.part(PLAN).finish(self._part_record({}))
        return plan

    def _part_record(self, counters: dict[str, int]) -> PartRecord:
        return PartRecord(self.id, self.method_key, iso(time.time()), counters)

    def _cut(self, plan: Plan) -> list[Batch]:
        """The batches of what is due; on clusters all is one."""
        lists = storage.join(self.folder.address, "due")
        storage.make_folder(lists)
        return cut(plan.due, lists, self.part_size if self.workers else max(1, plan.films), self.workers)

    # The work

    def _choose_workers(self, bytes_due: int) -> None:
        from movie_tags.pipeline.beam.options import local_options

        self.options, self.workers = local_options(self.beam_words, lambda: workers_for(bytes_due))

    def _prepare(self, plan: Plan) -> None:
        """Choose the workers by what is due, and check that the model can be run.

        Raises:
            UserError: it cannot.
        """
        from movie_tags.models.loading import forget_models
        from movie_tags.pipeline.beam.local_workers import end_workers, warm_up

        if self.workers:  # those of clusters are not ours to choose
            self._choose_workers(plan.bytes)
        self.interruption.end_workers = end_workers
        threads = max(1, cores() // self.workers) if self.workers else 1
        if self.workers > 1:
            warm_up()
        self.models.check(threads)
        if self.workers != 1:  # each worker loads its own
            forget_models()
        self.work = dataclasses.replace(self.work, threads=threads)

    def _graph(self, for_beam: Callable[[str], str]) -> Graph:
        from movie_tags.pipeline.graph import Graph

        return Graph(self.models, self.method, self.work, self.record, self.options, self.workers, for_beam)

    def _tag(self, plan: Plan, scratch: str) -> None:
        """Tag what is due, batch by batch: what need not be opened first, on this machine without Beam."""
        if not plan.films:
            return
        stop = StopFile(os.path.join(scratch, "stop"))
        if self.workers and plan.counts[DUE_COUNT + SAID_ANEW]:
            with self.interruption.graceful(stop):
                plan = self._tag_anew(plan, scratch)
        if not plan.films or self.interruption.told:
            return
        self._prepare(plan)
        asked: AbstractContextManager = contextlib.nullcontext()
        if self.workers:
            self.work = dataclasses.replace(self.work, stop=stop)
            asked = self.interruption.graceful(stop)
        with asked, storage.named_for_beam(self.results.address) as for_beam:
            self._tag_batches(deque(self._cut(plan)), self._graph(for_beam))

    def _tag_anew(self, plan: Plan, scratch: str) -> Plan:
        """Tag what was seen already; returns what is left of the plan."""
        lists = storage.join(self.folder.address, "due")
        storage.make_folder(lists)
        parted = split(plan.due, lists, scratch)
        here = RetagHere(self.models, self.method, self.record, lambda: self.interruption.told)
        for batch in parted.seen:
            part = self.folder.part(batch.name)
            counters = here.tag(batch, part)
            part.finish(self._part_record(counters), None if self.interruption.told else batch.due)
            if self.interruption.told:
                break
        return Plan(parted.opened, parted.films, plan.bytes)

    def _tag_batches(self, waiting: deque[Batch], graph: Graph) -> None:
        from movie_tags.pipeline.graph import RunError

        hopeless = 0
        while waiting and not self.interruption.told:
            batch = waiting.popleft()
            died = self._try(batch, graph)
            if died is None:
                hopeless = 0
            elif batch.begun + 1 < STARTS:
                waiting.appendleft(batch.begun_again())
            elif batch.videos > 1:
                waiting.extendleft(reversed(halve(batch)))
            elif hopeless + 1 < HOPELESS:
                hopeless += 1
                self._quarantine(batch, died)
            else:
                raise RunError(
                    f"worker processes die whatever they do ({died}); is there memory enough for {self.workers} of "
                    "them? --direct_num_workers takes fewer"
                )

    def _try(self, batch: Batch, graph: Graph) -> str | None:
        """Tag a batch and finish its part; how a worker process died where that ended it.

        Of a run that was told to end, the part is of what was done.
        """
        from movie_tags.pipeline.beam.local_workers import deaths
        from movie_tags.pipeline.graph import execute

        before = len(deaths)
        part = self.folder.part(batch.name)
        try:
            counters = execute(graph.build(batch.due, part))
        except Exception:
            if len(deaths) == before or self.interruption.told:
                raise
            storage.remove_folder(part.address)
            return deaths[before]  # those after it were ended with it
        part.finish(self._part_record(counters), None if self.interruption.told else batch.due)
        return None

    def _quarantine(self, batch: Batch, how: str) -> None:
        """Write the part of one video that kills its worker."""
        part = self.folder.part(batch.name)
        storage.make_folder(part.address)
        (item,) = read_due(batch.due)
        failure = Failure("worker", f"each time that it was decoded or tagged {how}; it is not tried again unasked")
        record = self._part_record({})
        entry = failed_entry(item.video, failure, self.method_key, self.id, record.at)
        part.write("errors", [to_line(named(failure, item.video))])
        part.write(MANIFEST, [to_line(dataclasses.replace(entry, status=QUARANTINED, attempts=STARTS))])
        part.write_counts({"videos_failed": 1})
        part.finish(record, batch.due)


def thumbnails_of(results: ResultsFolder) -> Thumbnails:
    """Where a folder of results keeps pictures."""
    return Thumbnails(results.path(THUMBNAILS), THUMBNAILS)
