"""Publishing by a job itself, of which nobody waits for the end."""

from __future__ import annotations

import time

import apache_beam as beam

from movie_tags.results import lease
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.parts import Part
from movie_tags.results.run_records import DONE, PartRecord, RunRecord, iso


class PublishTables(beam.PTransform):
    """The paths of the tables' files -> the address of run.json, when all is published and the lease given back.

    It comes after everything is written. Idempotent, for runners may do it twice.
    """

    def __init__(self, results: ResultsFolder, run: RunRecord, part: Part, due: str, max_attempts: int):
        """Args: where to; what run.json says, less how it ended; the part, its list of videos; as of `finish`."""
        super().__init__()
        self.results, self.run, self.part, self.due, self.max_attempts = results, run, part, due, max_attempts

    def expand(self, written: beam.PCollection) -> beam.PCollection:
        return (
            written.pipeline
            | "Once" >> beam.Create([self.results], reshuffle=False)
            | "Publish"
            >> beam.Map(publish_part, self.run, self.part, self.due, self.max_attempts, beam.pvalue.AsList(written))
        )


def publish_part(
    results: ResultsFolder, run: RunRecord, part: Part, due: str, max_attempts: int, written: list[str]
) -> str:
    """Finish a run of one part; args as of `PublishTables`."""
    part.finish(PartRecord(run.run_id, run.method_key, iso(time.time())), due)
    results.finish(run, DONE, max_attempts)
    if results.is_remote:
        lease.release(results.address, run.run_id)
    return results.path("run.json")
