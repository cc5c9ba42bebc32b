"""A tagging run: prepared, run and published; for the command and for the launchers of clusters alike."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import secrets
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version

import apache_beam as beam
from apache_beam.runners.runner import PipelineResult

from movie_tags import storage
from movie_tags.machine import cores
from movie_tags.models import DEFAULT
from movie_tags.models.ensemble import read_models
from movie_tags.pipeline.catalogue import ReadInputs, check_input
from movie_tags.pipeline.local_workers import forking_runner, warm_up
from movie_tags.pipeline.method import Method, Work, method_key
from movie_tags.pipeline.results import THUMBNAILS, PublishTables, WriteTables, discard, prepare, publish
from movie_tags.pipeline.runner import local_options
from movie_tags.pipeline.sizing import workers_for
from movie_tags.pipeline.tag_movies import TagMovies
from movie_tags.transforms.thumbnails import Thumbnails

VERSIONS = ("movie-tags", "apache-beam", "ai-edge-litert", "tensorflow", "av", "opencv-python-headless", "numpy")
COUNTERS = frozenset({"catalogue", "sampling", "shots", "entropy", "thumbnails", "tagging", "results"})
"""The namespaces of our counters."""


class RunError(RuntimeError):
    """A run that ended without results."""


class TaggingRun:
    """One run of `TagMovies` over inputs, into a folder of results.

    Everything that can be checked before any work is, when it is made.

    Attributes:
        id: of the run, unlike any other's.
        options: Beam's.
        workers: processes on this machine; 0 where another runner does the work.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        output: str,
        model: str | Sequence[str] = DEFAULT,
        method: Method = Method(),
        work: Work = Work(),
        beam_words: Sequence[str] = (),
        overwrite: bool = False,
        thumbnails: bool | None = None,
    ):
        """
        Args:
            inputs: videos, folders, globs and catalogues.
            output: the folder of results, local or remote.
            model: a model bundle's name or folder, or several.
            method, work: the numbers; the model's threads are set to what each worker can have.
            beam_words: Beam's own options, as words of a command line.
            overwrite: replace the results of an earlier run in `output`.
            thumbnails: keep a small JPEG of each key frame; None: on this machine, but not on clusters.

        Raises:
            UserError: one of these cannot be used.
        """
        self.begun = time.time()
        self.id = f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(self.begun))}-{secrets.token_hex(3)}"
        self.inputs, self.output = list(inputs), output
        self.models = read_models(model)
        for uri in self.inputs:
            check_input(uri)
        self.options, self.workers = local_options(beam_words, lambda: workers_for(self.inputs))
        threads = max(1, cores() // self.workers) if self.workers else 1
        if self.workers > 1:
            warm_up()
        self.models.check(threads)
        self.staging = prepare(output, self.id, overwrite)
        kept = Thumbnails(storage.join(self.staging, THUMBNAILS), THUMBNAILS)
        wanted = self.workers > 0 if thumbnails is None else thumbnails
        self.method = method
        self.work = dataclasses.replace(work, threads=threads, thumbnails=kept if wanted else None)
        self.beam_words = list(beam_words)

    def summary(self) -> dict:
        """What run.json says, less times and counts."""
        return {
            "run_id": self.id,
            "begun": self.begun,
            "inputs": self.inputs,
            "method_key": method_key(self.method, self.models.fingerprint),
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

    def pipeline(self, publishing: bool) -> beam.Pipeline:
        """The whole run as a pipeline, not yet started; with `publishing` the job puts its results in place itself."""
        runner = forking_runner(self.options) if self.workers > 1 else None
        pipeline = beam.Pipeline(runner, options=self.options)
        read = pipeline | "ReadInputs" >> ReadInputs(self.inputs)
        found = read[ReadInputs.VIDEOS] | "TagMovies" >> TagMovies(self.models, self.method, self.work)
        failed = read[ReadInputs.FAILED]
        tables = {
            **found,
            TagMovies.ERRORS: [found[TagMovies.ERRORS], failed] | "AllErrors" >> beam.Flatten(),
            "read": [read[ReadInputs.VIDEOS], failed | "Unread" >> beam.Keys()] | "AllRead" >> beam.Flatten(),
        }
        written = tables | "WriteTables" >> WriteTables(self.staging, single_file=self.workers > 0)
        if publishing:
            written | "PublishTables" >> PublishTables(self.staging, self.output, self.summary())
        return pipeline

    def run(self, watching: AbstractContextManager = contextlib.nullcontext()) -> dict:
        """Run it to its end and publish its results.

        Args:
            watching: entered while the pipeline runs.

        Returns:
            What run.json says.

        Raises:
            RunError: the runner did not finish; whatever it raises itself is passed on. Nothing is published then.
        """
        try:
            with watching:
                result = self.pipeline(publishing=False).run()
                result.wait_until_finish()
            # Beam's local runner raises on failure; remote ones say so in their state.
            if result.state not in (None, "DONE"):
                raise RunError(f"the runner ended in the state {result.state}")
            return publish(self.staging, self.output, {**self.summary(), "counters": counters_of(result)})
        except BaseException:
            self.discard()
            raise

    def launch(self) -> PipelineResult:
        """Start it and wait for nothing: the job publishes its results itself."""
        return self.pipeline(publishing=True).run()

    def discard(self) -> None:
        """Remove what an unfinished run has written; what cannot be removed stays, and no error hides the first."""
        with contextlib.suppress(OSError):
            discard(self.staging)


def counters_of(result: PipelineResult) -> dict[str, int]:
    """Our counters by name, as far as the runner tells them."""
    totals: dict[str, int] = {}
    for counter in result.metrics().query()["counters"]:  # a step that stands twice in the graph counts twice over
        if counter.key.metric.namespace in COUNTERS:
            name = counter.key.metric.name
            totals[name] = totals.get(name, 0) + counter.result
    return dict(sorted(totals.items()))
