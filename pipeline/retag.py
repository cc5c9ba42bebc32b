"""Tagging anew what was seen already: kept features -> the model's head -> the same steps as after decoding.

No film is opened. What was seen of a film lies in the part of the run that decoded it: its row and its key frames
in the tables, the features beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import apache_beam as beam
import numpy as np
from apache_beam.metrics import Metrics

from movie_tags import storage
from movie_tags.models.ensemble import Ensemble, say_again
from movie_tags.models.quantised import restore
from movie_tags.pipeline.method import Method
from movie_tags.pipeline.tag_movies import SumUp, TagMovies
from movie_tags.progress import report_progress
from movie_tags.records import CARD, PICTURE, Failure, Film, KeyFrame, KeyFrameFeatures, Video
from movie_tags.results import features
from movie_tags.results.manifest import Due
from movie_tags.results.reading import OutputError, read_table
from movie_tags.results.schema import from_row
from movie_tags.transforms.tagging import FrameRule, TaggedFrame

STAGE = "retagging"


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
            | "SayAgain" >> beam.ParDo(_SayAgain(self.results, self.models, self.method))
        )
        return known | "Results" >> SumUp(self.models, self.method)


class _SayAgain(beam.DoFn):
    """(part, its films that are due) -> (Video, what `SumUp` takes of it), film by film."""

    def __init__(self, results: str, models: Ensemble, method: Method):
        self.results = results
        self.heads = models.heads()
        self.rule = FrameRule.of(models, method.top_k, method.min_probability)
        self.tagged = Metrics.counter("tagging", "key_frames_tagged_anew")

    def process(self, element: tuple[str, Iterable[Due]]) -> Iterator[tuple[Video, dict[str, list]]]:
        part, due = storage.join(self.results, element[0]), {item.video.id: item for item in element[1]}
        try:
            seen = read_seen(part, set(due))
        except (OSError, OutputError) as error:
            for item in due.values():
                yield item.video, failed(f"{part}: what was seen cannot be read ({error}); --force decodes anew")
            return
        for id, item in due.items():
            yield self.known(item, *seen[id])
        report_progress(films_anew=len(due))

    def known(
        self, item: Due, films: list[Film], frames: list[KeyFrame], kept: list[KeyFrameFeatures], bad: list[Failure]
    ) -> tuple[Video, dict[str, list]]:
        """What `SumUp` takes of a film."""
        vectors = {one.time_s: one.features for one in kept}
        if len(films) != 1 or set(vectors) != {frame.time_s for frame in frames}:
            return item.video, failed("what was seen of it is not whole; --force decodes it anew")
        (film,) = films
        found: dict[str, list] = {
            "films": [replace(film, tags=(), short_list=())],
            "key_frames": self.said(frames, [vectors[frame.time_s] for frame in frames]),
            "rejected": [film.key_frames_rejected],
            "bad_frames": bad,
            "failures": [],
            "warnings": [text for text in item.warnings if text not in film.warnings],
        }
        return replace(item.video, content=film.content), found

    def said(self, frames: list[KeyFrame], vectors: list[bytes]) -> list[TaggedFrame]:
        """Key frames with what the heads say of them."""
        if not frames:
            return []
        self.tagged.inc(len(frames))
        probabilities = say_again(self.heads, np.stack([restore(vector) for vector in vectors]))
        # That a key frame is a title card is what a head said; that it is black was seen.
        plain = [replace(frame, kind=PICTURE) if frame.kind == CARD else frame for frame in frames]
        return [self.rule.tagged(frame, row) for frame, row in zip(plain, probabilities, strict=True)]


def failed(reason: str) -> dict[str, list]:
    """What `SumUp` takes of a film that cannot be tagged anew."""
    empty: dict[str, list] = {name: [] for name in ("films", "key_frames", "rejected", "bad_frames", "warnings")}
    return {**empty, "failures": [Failure(STAGE, reason)]}


Seen = tuple[list[Film], list[KeyFrame], list[KeyFrameFeatures], list[Failure]]


def read_seen(part: str, ids: set[str]) -> dict[str, Seen]:
    """What a part says of some films: their rows, key frames, features, and key frames that failed.

    Raises:
        OSError, OutputError: it cannot be read.
    """
    seen: dict[str, Seen] = {id: ([], [], [], []) for id in ids}
    for place, (table, record) in enumerate(((TagMovies.TAGS, Film), (TagMovies.KEY_FRAMES, KeyFrame))):
        for row in read_table(part, table):
            if row["id"] in ids:
                seen[row["id"]][place].append(from_row(record, row))
    for kept in features.read(part, ids):
        seen[kept.id][2].append(kept)
    for row in read_table(part, TagMovies.ERRORS):
        if row["id"] in ids and (failure := from_row(Failure, row)).of_key_frame:
            seen[row["id"]][3].append(failure)
    return seen
