"""The paper's Figure 2 as one PTransform: videos in, tags with strengths out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from movie_tags.models import DEFAULT
from movie_tags.models.bundle import ModelBundle
from movie_tags.models.ensemble import Ensemble, read_models
from movie_tags.pipeline.distinct_videos import DistinctVideos
from movie_tags.pipeline.method import Method, Work
from movie_tags.pipeline.summing_up import film_rule, summed_up
from movie_tags.records import Video, named
from movie_tags.transforms.entropy import FilterByEntropy
from movie_tags.transforms.evidence import FilmRule
from movie_tags.transforms.shots.detector import rule_of
from movie_tags.transforms.shots.finder import FindShots
from movie_tags.transforms.tagging import TagKeyFrames
from movie_tags.transforms.thumbnails import KeepThumbnails


class TagMovies(beam.PTransform):
    """PCollection of `Video` (or of their addresses) -> {TAGS, KEY_FRAMES, SPANS, ERRORS, FEATURES, MERGED}.

    Where videos are known to be distinct, `DistinctVideos`' outputs can be given in place of the one collection.

    TAGS has (Video, Film) for each video; KEY_FRAMES (Video, KeyFrame) and SPANS (Video, Span), video by video in
    order of time; ERRORS (Video, Failure) for each video without a result, and for each key frame that could not be
    tagged; FEATURES (Video, KeyFrameFeatures) where `Work.features` wants them and the model tells them; MERGED
    (Video, 1) for each element that named a video once more.
    """

    TAGS, KEY_FRAMES, SPANS, ERRORS, MERGED = "tags", "key_frames", "spans", "errors", "merged"
    FEATURES = "features"

    def __init__(
        self,
        model: str | os.PathLike | ModelBundle | Ensemble | Sequence[str] = DEFAULT,
        method: Method = Method(),
        work: Work = Work(),
    ):
        """Args: a bundle, its name or folder, or several; the numbers that decide results; those that do not.

        Raises:
            UserError: one is no usable bundle, or two of them claim a tag.
        """
        super().__init__()
        self.models = read_models(model)
        self.method = method
        self.work = work

    def expand(self, inputs: beam.PCollection | dict[str, beam.PCollection]) -> dict[str, beam.PCollection]:
        method, work = self.method, self.work
        named = inputs if isinstance(inputs, dict) else inputs | "Distinct" >> DistinctVideos()
        videos = named[DistinctVideos.VIDEOS]
        shots = videos | "FindShots" >> FindShots(
            method.fps,
            rule_of(method.detector, method.shot_threshold),
            work.segment_length,
            work.limits,
            method.draft,
            method.exact_cuts,
            work.stop,
        )
        # A shot's key frame comes from within a segment or was read again. Both ways are tagged side by side rather
        # than flattened first: a flatten would hold pixels in the runner's memory.
        kept, tagged = {}, {}
        for way in (FindShots.INSIDE, FindShots.CROSSING):
            name = way.title()
            kept[way] = shots[way] | f"Filter{name}" >> FilterByEntropy(method.min_entropy)
            tagged[way] = (
                kept[way][FilterByEntropy.KEPT]
                | f"Thumbnails{name}" >> KeepThumbnails(work.thumbnails)
                | f"Tag{name}"
                >> TagKeyFrames(
                    self.models,
                    method.top_k,
                    method.min_probability,
                    work.batch_size,
                    work.threads,
                    work.accelerator,
                    work.features,
                )
            )
        key_frames = [step[TagKeyFrames.TAGGED] for step in tagged.values()] | "KeyFrames" >> beam.Flatten()
        results = (
            {
                "named": videos | "Named" >> beam.Map(lambda video: (video, None)),
                "films": shots[FindShots.FILMS],
                "key_frames": key_frames,
                "rejected": [step[FilterByEntropy.REJECTED] for step in kept.values()] | "Rejected" >> beam.Flatten(),
                "failures": [shots[FindShots.FAILED], named[DistinctVideos.FAILED]] | "Failures" >> beam.Flatten(),
                "bad_frames": [step[TagKeyFrames.FAILED] for step in tagged.values()] | "BadFrames" >> beam.Flatten(),
                "warnings": named[DistinctVideos.WARNED],
            }
            | "Gather" >> beam.CoGroupByKey()
            | "Results" >> SumUp(self.models, method)
        )
        return {**results, self.MERGED: named[DistinctVideos.MERGED]}


class SumUp(beam.PTransform):
    """(Video, all that is `Known` of it) -> TAGS, KEY_FRAMES, SPANS, ERRORS and FEATURES of `TagMovies`."""

    def __init__(self, models: Ensemble, method: Method):
        """
        Raises:
            BundleError: what a bundle says of films is malformed.
        """
        super().__init__()
        self.step = _Results(method, film_rule(models, method))

    def expand(self, known: beam.PCollection) -> dict[str, beam.PCollection]:
        others = (TagMovies.KEY_FRAMES, TagMovies.SPANS, TagMovies.ERRORS, TagMovies.FEATURES)
        found = known | beam.ParDo(self.step).with_outputs(*others, main=TagMovies.TAGS)
        return {name: found[name] for name in (TagMovies.TAGS, *others)}


class _Results(beam.DoFn):
    """All that is known of a video -> its Film, KeyFrames and Spans, or its Failure; one of the two, always."""

    def __init__(self, method: Method, rule: FilmRule):
        self.method = method
        self.rule = rule
        self.tagged = Metrics.counter("results", "videos_tagged")
        self.failed = Metrics.counter("results", "videos_failed")

    def process(self, element: tuple[Video, dict[str, Iterable[Any]]]) -> Iterator:
        video, known = element[0], {name: list(values) for name, values in element[1].items()}
        found = summed_up(known, self.rule, self.method)
        (self.tagged if found[TagMovies.TAGS] else self.failed).inc()
        for name, records in found.items():
            for record in records:
                whole = (video, named(record, video))
                yield whole if name == TagMovies.TAGS else beam.pvalue.TaggedOutput(name, whole)
