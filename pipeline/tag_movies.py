"""The paper's Figure 2 as one PTransform: videos in, tags with strengths out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics

from movie_tags.models import DEFAULT
from movie_tags.models.bundle import BundleError, ModelBundle
from movie_tags.models.ensemble import Ensemble, film_vocabulary, read_models
from movie_tags.pipeline.distinct_videos import DistinctVideos
from movie_tags.pipeline.method import Method, Work
from movie_tags.records import Failure, Film, KeyFrameFeatures, TagStrength, Video, named
from movie_tags.transforms.entropy import FilterByEntropy
from movie_tags.transforms.evidence import FilmConfidence, FilmRule
from movie_tags.transforms.shots.detector import rule_of
from movie_tags.transforms.shots.finder import FindShots
from movie_tags.transforms.spans import find_spans
from movie_tags.transforms.strength import short_list, strengths, totals_of, with_confidence
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


def film_rule(models: Ensemble, method: Method) -> FilmRule:
    """How films are judged by what bundles say of it.

    Where a probability is given from which tags count (as under the paper's preset), key frames decide alone.

    Raises:
        BundleError: what one says is malformed.
    """
    found: dict[str, FilmConfidence] = {}
    for bundle in models.bundles:
        try:
            model = FilmConfidence.of_card(bundle.card)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{bundle.uri}: 'film_confidence' in model.json is malformed ({error!r})") from error
        if model:
            found |= dict.fromkeys(bundle.vocabulary, model)
    thresholds = dict(zip(models.vocabulary, models.thresholds, strict=True))
    return FilmRule(film_vocabulary(models), thresholds, found, method.min_probability is not None)


class SumUp(beam.PTransform):
    """(Video, all that is known of it) -> TAGS, KEY_FRAMES, SPANS, ERRORS and FEATURES of `TagMovies`.

    What is known are lists: "films", the Film less its tags; "key_frames", its TaggedFrames; "rejected", counts of key
    frames without information; "bad_frames" and "failures", Failures; "warnings", texts.
    """

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
        failure = failure_among(known)
        if failure is not None:
            self.failed.inc()
            yield beam.pvalue.TaggedOutput(TagMovies.ERRORS, (video, named(failure, video)))
            return
        self.tagged.inc()
        tagged = sorted(known["key_frames"], key=lambda one: one.frame.time_s)
        key_frames, confidence = self.rule.judge(tagged)
        tags = with_confidence(strengths(totals_of(key_frames)), confidence)
        yield video, named(self.film(known, tags), video)
        for name, records in (
            (TagMovies.ERRORS, sorted(known["bad_frames"])),
            (TagMovies.KEY_FRAMES, key_frames),
            (TagMovies.SPANS, find_spans(key_frames, self.method.span_gap, self.method.min_span)),
            (
                TagMovies.FEATURES,
                [KeyFrameFeatures(one.frame.time_s, one.features) for one in tagged if one.features],
            ),
        ):
            for record in records:
                yield beam.pvalue.TaggedOutput(name, (video, named(record, video)))

    def film(self, known: dict[str, list], tags: Iterable[TagStrength]) -> Film:
        """The film with its tags and counts."""
        (film,) = known["films"]
        tags = with_share(tags, film.duration_s)
        return replace(
            film,
            key_frames=len(known["key_frames"]),
            key_frames_rejected=sum(known["rejected"]),
            key_frames_failed=len(known["bad_frames"]),
            short_list=short_list(tags, self.method.min_relative_strength, self.method.min_confidence),
            tags=tags,
            warnings=(*film.warnings, *sorted(known["warnings"])),
        )


def with_share(tags: Iterable[TagStrength], duration_s: float) -> tuple[TagStrength, ...]:
    """A film's tags, each with the share of the film in shots that carry it."""
    return tuple(replace(tag, share=min(1.0, tag.seconds / duration_s) if duration_s else 1.0) for tag in tags)


def failure_among(known: dict[str, list]) -> Failure | None:
    """Why a video has no result, if it has none: the first of its failures, or that something of it was lost.

    Args:
        known: lists, by the names that `TagMovies` gathers them under.
    """
    if known["failures"]:
        # What a step said itself explains more than that something is missing.
        return min(known["failures"], key=lambda failure: (failure.stage == "accounting", failure))
    if len(known["films"]) != 1:
        return Failure(
            "accounting", f"{len(known['films'])} results came back where one is due; run again", retryable=True
        )
    counts = [len(known["key_frames"]), sum(known["rejected"]), len(known["bad_frames"])]
    if sum(counts) != known["films"][0].shots:
        reason = "of its {} shots {} were tagged, {} carry too little information and {} failed; run again"
        return Failure("accounting", reason.format(known["films"][0].shots, *counts), retryable=True)
    return None
