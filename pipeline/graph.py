"""The one graph of a run: what is due is read, tagged and written; and how a runner takes it to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.runners.runner import PipelineResult

from movie_tags.models.ensemble import Ensemble
from movie_tags.pipeline.beam.local_workers import forking_runner
from movie_tags.pipeline.method import Method, Work
from movie_tags.pipeline.retag import Retag
from movie_tags.pipeline.table_files import ReadDue, WriteTables
from movie_tags.pipeline.tag_movies import TagMovies
from movie_tags.results.parts import Part
from movie_tags.results.run_records import RunRecord

COUNTERS = frozenset({"catalogue", "sampling", "shots", "entropy", "thumbnails", "tagging", "results"})
"""The namespaces of our counters."""


class RunError(RuntimeError):
    """A run that ended without results."""


@dataclass(frozen=True)
class Graph:
    """What the graph of a run is made of.

    Attributes:
        models: the model.
        method, work: the numbers.
        run: of which run it is.
        options: Beam's.
        workers: processes on this machine; 0 where another runner does the work.
        for_beam: turns an address into one that Beam's own files take as it stands.
    """

    models: Ensemble
    method: Method
    work: Work
    run: RunRecord
    options: beam.options.pipeline_options.PipelineOptions
    workers: int
    for_beam: Callable[[str], str] = str

    def build(self, due: str, part: Part, publish: beam.PTransform | None = None) -> beam.Pipeline:
        """The pipeline of a list of videos, whose tables go into a part.

        Args:
            due: the list.
            part: where the tables go.
            publish: comes after everything is written.
        """
        pipeline = beam.Pipeline(forking_runner(self.options) if self.workers > 1 else None, options=self.options)
        listed = pipeline | "ReadDue" >> ReadDue(due)
        found = listed | "TagMovies" >> TagMovies(self.models, self.method, self.work)
        if self.run.seen_key:
            anew = listed[ReadDue.SEEN] | "Retag" >> Retag(part.results, self.models, self.method)
            found |= {name: [found[name], anew[name]] | f"Both_{name}" >> beam.Flatten() for name in anew}
        named = Part(self.for_beam(part.address))
        written = found | "WriteTables" >> WriteTables(named, self.workers > 0, self.run)
        if publish is not None:
            written | "PublishTables" >> publish
        return pipeline


def execute(pipeline: beam.Pipeline) -> dict[str, int]:
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


def counters_of(result: PipelineResult) -> dict[str, int]:
    """Our counters by name, as far as the runner tells them."""
    totals: dict[str, int] = {}
    for counter in result.metrics().query()["counters"]:  # a step that stands twice in the graph counts twice over
        if counter.key.metric.namespace in COUNTERS:
            name = counter.key.metric.name
            totals[name] = totals.get(name, 0) + counter.result
    return dict(sorted(totals.items()))
