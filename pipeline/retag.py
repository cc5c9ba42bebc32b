"""Tagging anew what was seen already, as one PTransform: for clusters, which do it beside what they decode.

On this machine the same steps are done without Beam (`pipeline/retag_here.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics

from movie_tags.models.ensemble import Ensemble
from movie_tags.pipeline.method import Method
from movie_tags.pipeline.seen import Teller, read_seen
from movie_tags.pipeline.summing_up import Known
from movie_tags.pipeline.tag_movies import SumUp
from movie_tags.progress import report_progress
from movie_tags.records import Video
from movie_tags.results.manifest import Due


class Retag(beam.PTransform):
    """`Due` of films whose features are kept -> TAGS, KEY_FRAMES, SPANS, ERRORS and FEATURES of `TagMovies`."""

    def __init__(self, results: str, models: Ensemble, method: Method):
        """Args: the folder of results; the model; the numbers."""
        super().__init__()
        self.results = results
        self.models = models
        self.method = method

    def expand(self, due: beam.PCollection) -> dict[str, beam.PCollection]:
        known = (
            due
            | "ByPart" >> beam.Map(lambda item: (item.video.seen, item))
            | "Together" >> beam.GroupByKey()
            | "SayAgain" >> beam.ParDo(_SayAgain(self.results, Teller(self.models, self.method)))
        )
        return known | "Results" >> SumUp(self.models, self.method)


class _SayAgain(beam.DoFn):
    """(part, its films that are due) -> (Video, what `SumUp` takes of it), film by film."""

    def __init__(self, results: str, teller: Teller):
        self.results = results
        self.teller = teller
        self.tagged = Metrics.counter("tagging", "key_frames_tagged_anew")

    def process(self, element: tuple[str, Iterable[Due]]) -> Iterator[tuple[Video, Known]]:
        part, due = element
        for item, seen in read_seen(self.results, part, due):
            video, known = self.teller.known(item, seen)
            self.tagged.inc(len(known["key_frames"]))
            yield video, known
            report_progress(films_anew=1)
