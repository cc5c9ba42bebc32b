"""A tagging run: prepared, run part by part and published; for the command and for the launchers of clusters alike."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import platform
import secrets
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

import apache_beam as beam
from apache_beam.runners.runner import PipelineResult

from movie_tags import storage
from movie_tags.machine import cores
from movie_tags.models import DEFAULT
from movie_tags.models.ensemble import read_models
from movie_tags.models.loading import forget_models
from movie_tags.pipeline.beam.local_workers import deaths, end_workers, forking_runner, warm_up
from movie_tags.pipeline.beam.options import local_options
from movie_tags.pipeline.inputs import Inputs
from movie_tags.pipeline.method import Method, Work, method_key
from movie_tags.pipeline.read_inputs import DistinctVideos, ReadInputs
from movie_tags.pipeline.sizing import MOST_FILES, is_little
from movie_tags.pipeline.tables import COUNTS, DUE, RAW, THUMBNAILS, WriteTables
from movie_tags.pipeline.tag_movies import TagMovies
from movie_tags.progress import report_progress
from movie_tags.records import QUARANTINED, Entry, Failure, named
from movie_tags.results import lock
from movie_tags.results import snapshots as views
from movie_tags.results.manifest import (
    Due,
    FindDue,
    ReadDue,
    Rules,
    read_due,
)
from movie_tags.results.reading import FORMATS, latest_view, read_json, read_run, read_table
from movie_tags.results.schema import MANIFEST, to_line
from movie_tags.transforms.thumbnails import Thumbnails
from movie_tags.transforms.video.limits import Limits

VERSIONS = ("movie-tags", "apache-beam", "ai-edge-litert", "tensorflow", "av", "opencv-python-headless", "numpy")
COUNTERS = frozenset({"catalogue", "sampling", "shots", "entropy", "thumbnails", "tagging", "results"})
"""The namespaces of our counters."""

PLAN = "plan"
"""The part that holds what is wrong with the catalogue."""
PART_BYTES = 2 << 30
"""Of film files a worker process in one part: some minutes of work."""
PART_VIDEOS = 500
STARTS = 3
"""A part whose worker died is begun anew twice, then halved."""
HOPELESS = 5
"""So many videos quarantined one after the other, with no part done between, are not to blame."""


told_to_end = threading.Event()
"""Set by whoever handles signals, when one that means the end has come."""


class RunError(RuntimeError):
    """A run that ended without results."""


class Interrupted(KeyboardInterrupt):
    """A run that was told to end; its finished parts are published.

    Attributes:
        said: what run.json says.
    """

    def __init__(self, said: dict):
        super().__init__()
        self.said = said


@dataclass(frozen=True)
class Part:
    """A piece of a run: its name, the list of its videos, how many they are, and how often it has been begun."""

    name: str
    due: str
    videos: int
    begun: int = 0


class TaggingRun:
    """One run of `TagMovies` over what is due of inputs, into a folder of results.

    Everything that can be checked before any work is, when it is made.

    Attributes:
        id: of the run, unlike any other's.
        options: Beam's.
        workers: processes on this machine; 0 where another runner does the work.
        little: whether the inputs are sooner done, on this machine, than divided.
        said: what run.json says, when the run has ended, however it did.
    """

    def __init__(
        self,
        inputs: Inputs,
        output: str,
        model: str | Sequence[str] = DEFAULT,
        method: Method = Method(),
        work: Work = Work(),
        beam_words: Sequence[str] = (),
        thumbnails: bool | None = None,
        table_format: str = "jsonl",
        force: bool = False,
        retry: str | None = None,
        max_attempts: int = 3,
        limit: int | None = None,
        part_size: int | None = None,
        break_lock: bool = False,
    ):
        """
        Args:
            inputs: what is to be tagged.
            output: the folder of results, local or remote.
            model: a model bundle's name or folder, or several.
            method, work: the numbers; the model's threads are set to what each worker can have.
            beam_words: Beam's own options, as words of a command line.
            thumbnails: keep a small JPEG of each key frame; None: on this machine, but not on clusters.
            table_format: of the tables, jsonl or parquet.
            force, retry, max_attempts: what is due, as in `Rules`.
            limit: videos at most.
            part_size: videos a part at most; None: by their bytes.
            break_lock: take the folder from a run that cannot be seen to live.

        Raises:
            UserError: one of these cannot be used.
        """
        self.begun = time.time()
        self.id = new_run_id(self.begun)
        self.inputs, self.output, self.table_format = inputs, output, table_format
        self.models = read_models(model)
        self.inputs.check()
        self.little = False
        self.options, self.workers = local_options(beam_words, lambda: self.look(work.limits))
        threads = max(1, cores() // self.workers) if self.workers else 1
        if self.workers > 1:
            warm_up()
        self.models.check(threads)
        if self.workers != 1:  # each worker loads its own
            forget_models()
        views.check_output(output, force)
        kept = Thumbnails(storage.join(output, THUMBNAILS), THUMBNAILS)
        wanted = self.workers > 0 if thumbnails is None else thumbnails
        self.method = method
        self.work = dataclasses.replace(work, threads=threads, thumbnails=kept if wanted else None)
        self.method_key = method_key(self.method, self.models.fingerprint)
        self.rules = Rules(self.method_key, max_attempts, retry, force)
        self.limit, self.part_size, self.break_lock = limit, part_size, break_lock
        self.beam_words = list(beam_words)
        self.folder = views.run_folder(output, self.id)
        self.counters: Counter = Counter()
        self.said: dict | None = None
        self.for_beam: Callable[[str], str] = lambda path: path

    def summary(self) -> dict:
        """What run.json says, less times and counts."""
        return {
            "run_id": self.id,
            "begun": views.iso(self.begun),
            "inputs": list(self.inputs.uris),
            "format": self.table_format,
            "method_key": self.method_key,
            "method": dataclasses.asdict(self.method),
            "work": {**dataclasses.asdict(self.work), "workers": self.workers, "beam": self.beam_words},
            "model": {
                "name": self.models.name,
                "fingerprint": self.models.fingerprint,
                "vocabulary": self.models.vocabulary,
                "thresholds": dict(zip(self.models.vocabulary, self.models.thresholds, strict=True)),
                "bundles": [
                    {"uri": bundle.uri, "name": bundle.name, "fingerprint": bundle.fingerprint}
                    for bundle in self.models.bundles
                ],
            },
            "versions": {**{name: version(name) for name in VERSIONS}, "python": platform.python_version()},
        }

    def look(self, limits: Limits | None) -> int:
        """How many processes the inputs are worth; little work is also done in one pipeline."""
        self.little = is_little(self.inputs.uris, limits)
        return 1 if self.little else cores()

    @property
    def divided(self) -> bool:
        """Whether parts of the work are done and published one by one."""
        return self.workers > 0 and not (self.little and self.part_size is None)

    # Pipelines

    def pipeline(self) -> beam.Pipeline:
        """An empty pipeline for the runner that was asked for."""
        return beam.Pipeline(forking_runner(self.options) if self.workers > 1 else None, options=self.options)

    def find_due(self, root: beam.Pipeline) -> tuple[dict, dict]:
        """The inputs, read and joined with the manifest: (what `FindDue` gives, the tables of what is wrong)."""
        view = latest_view(self.output)
        manifest = self.for_beam(storage.join(view, f"{MANIFEST}.jsonl")) if view else None
        read = root | "ReadInputs" >> ReadInputs(self.inputs)
        named = read[ReadInputs.VIDEOS] | "Distinct" >> DistinctVideos()
        due = named | "FindDue" >> FindDue(manifest, self.rules, self.limit)
        failed = read[ReadInputs.FAILED]
        return due, {
            TagMovies.ERRORS: failed,
            TagMovies.MERGED: named[DistinctVideos.MERGED],
            "read": [read[ReadInputs.VIDEOS], failed | "Unread" >> beam.Keys()] | "AllRead" >> beam.Flatten(),
        }

    def plan_pipeline(self) -> beam.Pipeline:
        """What is due, as a pipeline of its own: a list of it, and the failures of the catalogue.

        On this machine in one process: it ends sooner than several have started.
        """
        alone = local_options([*self.beam_words, "--direct_num_workers=1", "--direct_running_mode=in_memory"])[0]
        pipeline = beam.Pipeline(options=alone) if self.workers else self.pipeline()
        due, tables = self.find_due(pipeline)
        wrong = [tables[TagMovies.ERRORS], due[DistinctVideos.FAILED]] | "Wrong" >> beam.Flatten()
        self.write(PLAN, {**tables, TagMovies.ERRORS: wrong, DUE: due[FindDue.DUE]})
        return pipeline

    def part_pipeline(self, part: Part) -> beam.Pipeline:
        """The tagging of a part."""
        pipeline = self.pipeline()
        due = pipeline | "ReadDue" >> ReadDue(part.due)
        self.write(part.name, due | "TagMovies" >> TagMovies(self.models, self.method, self.work))
        return pipeline

    def whole_pipeline(self, publishing: bool) -> beam.Pipeline:
        """All of it in one, for clusters; with `publishing` the job puts its results in place itself."""
        pipeline = self.pipeline()
        due, tables = self.find_due(pipeline)
        if self.workers:
            _ = due[FindDue.DUE] | "CountDue" >> beam.Map(
                lambda item: report_progress(films_due=1, bytes_due=item.size)
            )
        found = due | "TagMovies" >> TagMovies(self.models, self.method, self.work)
        errors = [found[TagMovies.ERRORS], tables[TagMovies.ERRORS]] | "AllErrors" >> beam.Flatten()
        written = self.write(PLAN, {**found, **tables, TagMovies.ERRORS: errors, DUE: due[FindDue.DUE]})
        if publishing:
            written | "PublishTables" >> PublishTables(self.output, self.summary(), self.begun, self.rules.max_attempts)
        return pipeline

    def write(self, part: str, tables: dict[str, beam.PCollection]) -> beam.PCollection:
        """Write a part's tables to its folder."""
        folder = self.for_beam(storage.join(self.folder, part))
        return tables | "WriteTables" >> WriteTables(folder, self.workers > 0, self.method_key, self.id)

    # The run

    def run(self, watching: AbstractContextManager = contextlib.nullcontext()) -> dict:
        """Run it to its end and publish its results.

        Args:
            watching: entered while pipelines run.

        Returns:
            What run.json says.

        Raises:
            LockError: another run holds the folder.
            Interrupted: a KeyboardInterrupt came; what was finished is published.
            RunError: the runner did not finish; whatever it raises itself is passed on. What was finished is published.
        """
        locked = lock.locked(self.output, self.id, self.break_lock)
        with locked, storage.named_for_beam(self.output) as self.for_beam:
            adopt(self.output, self.rules.max_attempts)
            storage.make_folder(self.folder)
            storage.write_text(storage.join(self.folder, views.BEGUN_JSON), json.dumps(self.summary()) + "\n")
            try:
                with watching:
                    for said in self.parts() if self.divided else self.whole():
                        self.counters.update(said["counters"])
            except BaseException as error:
                end_workers()
                # Beam makes an error of its own of an interrupt that comes inside a step.
                if isinstance(error, KeyboardInterrupt) or told_to_end.is_set():
                    raise Interrupted(self.finish("interrupted")) from error
                with contextlib.suppress(OSError):  # which would hide why it failed; the next run does it
                    self.finish("failed")
                raise
            return self.finish("done")

    def plan(self) -> dict[str, int]:
        """Decide what is due and do nothing of it: how many, by reason. `due_items` gives them.

        Raises:
            LockError: another run holds the folder.
        """
        locked = lock.locked(self.output, self.id, self.break_lock)
        with locked, storage.named_for_beam(self.output) as self.for_beam:
            adopt(self.output, self.rules.max_attempts)
            self.execute(self.plan_pipeline())
            counts = views.read_counts(storage.join(self.folder, PLAN))
            return {name.removeprefix("due: "): n for name, n in counts.items() if name.startswith("due: ")}

    def due_items(self) -> Iterator[Due]:
        """What `plan` found, one by one."""
        for path in views.raw_files(storage.join(self.folder, PLAN), DUE):
            yield from read_due(path)

    def discard(self) -> None:
        """Remove what a plan has written."""
        with contextlib.suppress(OSError):
            storage.remove_folder(self.folder)
            if not storage.is_remote(self.output):
                os.rmdir(os.path.dirname(self.folder))

    def launch(self) -> PipelineResult:
        """Start it as a job and wait for nothing: the job publishes its results itself, and gives the lock back."""
        lock.acquire(self.output, self.id, self.break_lock, job=True)
        try:
            adopt(self.output, self.rules.max_attempts)
            return self.whole_pipeline(publishing=True).run()
        except BaseException:
            lock.release(self.output, self.id)
            raise

    def whole(self) -> Iterator[dict]:
        """All in one pipeline, for which we wait."""
        counters = self.execute(self.whole_pipeline(publishing=False))
        yield views.commit_part(storage.join(self.folder, PLAN), None, self.about(counters))

    def parts(self) -> Iterator[dict]:
        """What each part says when it is finished; the first is the plan."""
        counters = self.execute(self.plan_pipeline())
        with tempfile.TemporaryDirectory(prefix="movie-tags-") as scratch:
            lists = storage.join(self.folder, "due")
            storage.make_folder(lists)
            waiting = list(self.cut(views.raw_files(storage.join(self.folder, PLAN), DUE), lists, scratch))
            self.fit_to([item.video.uri for item in itertools.islice(self.due_items(), MOST_FILES + 1)])
            yield views.commit_part(
                storage.join(self.folder, PLAN), storage.join(lists, "none.jsonl"), self.about(counters)
            )
            hopeless = 0
            while waiting:
                part = waiting.pop(0)
                before = len(deaths)
                try:
                    counters = self.execute(self.part_pipeline(part))
                except Exception as error:
                    if len(deaths) == before:
                        raise
                    storage.remove_folder(storage.join(self.folder, part.name))
                    how = deaths[before]  # those after it were ended with it
                    if part.begun + 1 < STARTS:
                        waiting.insert(0, dataclasses.replace(part, begun=part.begun + 1))
                    elif part.videos > 1:
                        waiting[:0] = halve(part)
                    elif hopeless + 1 < HOPELESS:
                        hopeless += 1
                        self.quarantine(part, how)
                        yield views.commit_part(storage.join(self.folder, part.name), part.due, self.about({}))
                    else:
                        raise RunError(
                            f"worker processes die whatever they do ({how}); is there memory enough for "
                            f"{self.workers} of them? --direct_num_workers takes fewer"
                        ) from error
                    continue
                hopeless = 0
                yield views.commit_part(storage.join(self.folder, part.name), part.due, self.about(counters))

    def fit_to(self, due: Sequence[str]) -> None:
        """Choose how many processes the work on this machine is worth, now that it is known: all of it, or some."""
        little = is_little(due, self.work.limits)
        self.options, self.workers = local_options(self.beam_words, lambda: 1 if little else cores())
        self.work = dataclasses.replace(self.work, threads=max(1, cores() // self.workers))

    def cut(self, due: Sequence[str], lists: str, scratch: str) -> Iterator[Part]:
        """Cut what is due into parts, in order of the hashes of their ids.

        Args:
            due: files of `Due` lines.
            lists: a folder for each part's own.
            scratch: a local folder.
        """
        most, most_bytes = self.part_size or PART_VIDEOS, PART_BYTES * self.workers
        held: list[tuple[int, bytes]] = []
        size = number = 0

        def close() -> Part:
            name = f"part-{number:05}"
            path = storage.join(lists, f"{name}.jsonl")
            # The largest first: what is begun last is then soon done, and no worker waits long for another.
            storage.write_bytes(path, b"".join(line for _, line in sorted(held, key=lambda one: -one[0])))
            return Part(name, path, len(held))

        storage.write_bytes(storage.join(lists, "none.jsonl"), b"")
        films = total = 0
        for line in views.in_order(due, lambda line: (line,), scratch):
            large = self.part_size is None and size > most_bytes
            if held and (len(held) == most or large):
                yield close()
                held, size, number = [], 0, number + 1
            bytes_of_it = Due.of(line).size
            held.append((bytes_of_it, line))
            size, films, total = size + bytes_of_it, films + 1, total + bytes_of_it
        report_progress(films_due=films, bytes_due=total)
        if held:
            yield close()

    def quarantine(self, part: Part, how: str) -> None:
        """Write the tables of a part of one video that kills its worker."""
        folder = storage.join(self.folder, part.name)
        storage.make_folder(folder)
        (item,) = read_due(part.due)
        failure = Failure("worker", f"each time that it was decoded or tagged {how}; it is not tried again unasked")
        video, at = item.video, views.iso(time.time())
        entry = Entry(
            video.id,
            video.uri,
            video.version,
            self.method_key,
            QUARANTINED,
            STARTS,
            failure.stage,
            failure.reason,
            run_id=self.id,
            at=at,
        )
        storage.write_bytes(storage.join(folder, f"{RAW}errors.jsonl"), to_line(named(failure, video)))
        storage.write_bytes(storage.join(folder, f"{RAW}{MANIFEST}.jsonl"), to_line(entry))
        counts = json.dumps({"name": "videos_failed", "n": 1}) + "\n"
        storage.write_text(storage.join(folder, f"{RAW}{COUNTS}.jsonl"), counts)

    def execute(self, pipeline: beam.Pipeline) -> dict[str, int]:
        """Run a pipeline to its end; returns our counters.

        Raises:
            RunError: it ended otherwise; whatever the runner raises itself is passed on.
        """
        result = pipeline.run()
        result.wait_until_finish()
        # Beam's local runner raises on failure; remote ones say so in their state.
        if result.state not in (None, "DONE"):
            raise RunError(f"the runner ended in the state {result.state}")
        return counters_of(result)

    def about(self, counters: dict[str, int]) -> dict:
        """What part.json says, less counts."""
        return {"run_id": self.id, "method_key": self.method_key, "at": views.iso(time.time()), "counters": counters}

    def tagged(self) -> Iterator[dict]:
        """The rows of the videos that were tagged."""
        for part in views.finished_parts(self.output, self.id):
            yield from read_table(part, "tags")

    def failed(self) -> Iterator[dict]:
        """The rows of what failed."""
        for part in views.finished_parts(self.output, self.id):
            yield from read_table(part, "errors")

    def finish(self, state: str) -> dict:
        """Put the finished parts into the latest view, and close the run."""
        self.said = finish(
            self.output,
            {**self.summary(), "counters": dict(sorted(self.counters.items()))},
            self.begun,
            state,
            self.rules.max_attempts,
        )
        return self.said


def halve(part: Part) -> list[Part]:
    """Two parts in place of one, each begun as often as it may be but for one time."""
    items = list(read_due(part.due))
    parts = []
    for letter, half in zip("ab", (items[: len(items) // 2], items[len(items) // 2 :]), strict=True):
        due = f"{part.due.removesuffix('.jsonl')}{letter}.jsonl"
        storage.write_bytes(due, b"".join(item.line() for item in half))
        parts.append(Part(part.name + letter, due, len(half), STARTS - 1))
    return parts


def finish(output: str, summary: dict, begun: float, state: str, max_attempts: int) -> dict:
    """Put a run's finished parts into the latest view, and close it. Done again, it changes nothing.

    Args:
        output: the folder of results.
        summary: what run.json says, less times and counts.
        begun: seconds of the epoch.
        state: how it ended: done, interrupted, failed, or died.
        max_attempts: failures that may pass are quarantined from so many on.

    Returns:
        What run.json says.
    """
    run_id = summary["run_id"]
    closed = read_json(storage.join(views.run_folder(output, run_id), "run.json"))
    if closed is not None:
        return closed
    parts = views.finished_parts(output, run_id)
    said = [read_json(storage.join(part, views.PART_JSON)) for part in parts]
    counts: Counter = Counter(dict.fromkeys(COUNTED, 0))
    for one in said:
        counts.update(one["counts"])
    due = {name.removeprefix("due: "): counts.pop(name) for name in sorted(counts) if name.startswith("due: ")}
    done = counts["videos_tagged"] + counts["videos_failed"] + counts["videos_lost"]
    ended = time.time() if state != "died" else max([begun, *(_seconds(one["at"]) for one in said)])
    planned = any(storage.base_name(part) == PLAN for part in parts)
    summary = {
        **summary,
        "state": state,
        "ended": views.iso(ended),
        "wall_s": round(ended - begun, 3),
        "due": due,
        "counts": dict(counts),
        "parts": len(parts) - planned,
        "left": max(0, sum(due.values()) - done),
    }
    # Of a run in one pipeline the plan's part is all there is.
    if state != "done" and len(parts) == int(planned) and not counts["videos_tagged"]:  # nothing has been done
        storage.remove_folder(views.run_folder(output, run_id))
        if latest_view(output) is None:
            storage.remove_folder(storage.join(output, THUMBNAILS))
        with contextlib.suppress(OSError):
            if not storage.is_remote(output):
                os.rmdir(storage.join(output, views.RUNS))
        return {**summary, "totals": (read_run(output) or {}).get("totals", {})}
    summary = views.publish(output, run_id, parts, summary, max_attempts, planned, summary.get("format", FORMATS[0]))
    views.close_run(output, summary)
    views.clear_litter(output, run_id)
    views.tidy(output)
    return summary


COUNTED = ("inputs_read", "inputs_merged", "videos_tagged", "videos_failed", "key_frames_tagged", "key_frames_failed")
"""What is counted even where it did not occur."""


def adopt(output: str, max_attempts: int) -> list[str]:
    """Under the lock: put what runs that died have finished into the latest view; returns their ids."""
    views.sweep(output)
    died = views.unfinished_runs(output)
    for run_id in died:
        folder = views.run_folder(output, run_id)
        begun = read_json(storage.join(folder, views.BEGUN_JSON))
        if begun is None:
            storage.remove_folder(folder)
        else:
            finish(output, begun, _seconds(begun["begun"]), "died", max_attempts)
    return died


def new_run_id(begun: float) -> str:
    """A name for a run, unlike any other's, in order of time."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(begun))}-{secrets.token_hex(3)}"


class PublishTables(beam.PTransform):
    """The paths of the tables' files -> the address of run.json, when all is published and the lock given back.

    For a job whose launcher does not wait for its end: the job itself publishes, after everything is written. Done
    twice, as runners may do, it gives what doing it once gives.
    """

    def __init__(self, output: str, summary: dict, begun: float, max_attempts: int):
        """Args: as of `finish`."""
        super().__init__()
        self.output = output
        self.summary = summary
        self.begun = begun
        self.max_attempts = max_attempts

    def expand(self, written: beam.PCollection) -> beam.PCollection:
        return (
            written.pipeline
            | "Once" >> beam.Create([self.output], reshuffle=False)
            | "Publish"
            >> beam.Map(
                _publish_written,
                self.summary,
                self.begun,
                self.max_attempts,
                beam.pvalue.AsList(written),
            )
        )


def _publish_written(output: str, summary: dict, begun: float, max_attempts: int, written: list[str]) -> str:
    run_id, key = summary["run_id"], summary["method_key"]
    about = {"run_id": run_id, "method_key": key, "at": views.iso(time.time()), "counters": {}}
    views.commit_part(storage.join(views.run_folder(output, run_id), PLAN), None, about)
    finish(output, summary, begun, "done", max_attempts)
    lock.release(output, run_id)
    return storage.join(output, "run.json")


def counters_of(result: PipelineResult) -> dict[str, int]:
    """Our counters by name, as far as the runner tells them."""
    totals: dict[str, int] = {}
    for counter in result.metrics().query()["counters"]:  # a step that stands twice in the graph counts twice over
        if counter.key.metric.namespace in COUNTERS:
            name = counter.key.metric.name
            totals[name] = totals.get(name, 0) + counter.result
    return dict(sorted(totals.items()))


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
