"""The paper's Figure 2 as one PTransform: videos in, tags with strengths out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.metrics import Metrics

from movie_tags.models import BUNDLED
from movie_tags.transforms.bundle import ModelBundle, read_bundle
from movie_tags.transforms.entropy import FilterByEntropy
from movie_tags.transforms.sampling import PlanSegments, Video, VideoError
from movie_tags.transforms.shots import FindKeyFrames, JoinRuns, ReadCrossingKeyFrames, Run, close
from movie_tags.transforms.strength import CombineStrengths, TagStrength, strongest
from movie_tags.transforms.tagging import TagKeyFrames


@dataclass(frozen=True)
class TagSettings:
    """Every number of the method, with the paper's value as default.

    Attributes:
        fps: samples a second.
        shot_threshold: histogram difference in [0, 1] above which a shot begins.
        min_entropy: bits; key frames at or below carry no information.
        top_k: tags of a key frame.
        min_relative_strength: tags below it are left off the short list.
        batch_size: key frames a batch of inference.
        segment_length: seconds; films are cut into segments at least this long, to be decoded side by side.
        accelerator: Beam's resource hint for the inference step, such as
            `type:nvidia-tesla-t4;count:1;install-nvidia-driver`.
        threads: TensorFlow's threads in each worker process.
    """

    fps: float = 1.0
    shot_threshold: float = 0.5
    min_entropy: float = 0.2
    top_k: int = 3
    min_relative_strength: float = 0.1
    batch_size: int = 16
    segment_length: float = 60.0
    accelerator: str | None = None
    threads: int = 1


@dataclass(frozen=True)
class VideoTags:
    """A video's result.

    Attributes:
        video: the video.
        duration_s: from its first frame to the last frame's leaving the screen, in seconds.
        frames_sampled, shots: counts.
        key_frames, key_frames_rejected: shots' median frames that passed the entropy filter, and that did not.
        tags: the short list, strongest first.
        all_tags: every tag extracted, strongest first.
        warnings: what a user should know of the file.
    """

    video: Video
    duration_s: float
    frames_sampled: int
    shots: int
    key_frames: int
    key_frames_rejected: int
    tags: tuple[TagStrength, ...]
    all_tags: tuple[TagStrength, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """Why a video has no result, or which of its key frames has none; `stage` is the step that failed."""

    video: Video
    stage: str
    reason: str


class TagMovies(beam.PTransform):
    """PCollection of `Video` (or of their addresses) -> {"tags", "key_frames", "errors"}.

    `tags` has a `VideoTags` for each video, `key_frames` a `KeyFrameTags` for each of their key frames, video by video
    in order of time, and `errors` a `Failure` for each video that has no result. A video's id must be its own.
    """

    def __init__(self, model: str | ModelBundle = BUNDLED, settings: TagSettings = TagSettings()):
        """Args: a model bundle or its folder; the numbers of the method.

        Raises:
            BundleError: the folder is no usable bundle.
        """
        super().__init__()
        self.bundle = model if isinstance(model, ModelBundle) else read_bundle(os.fspath(model))
        self.settings = settings

    def expand(self, videos: beam.PCollection) -> dict[str, beam.PCollection]:
        settings = self.settings
        videos |= "AsVideos" >> beam.Map(lambda video: video if isinstance(video, Video) else Video(video, video))
        planned = videos | "PlanSegments" >> beam.ParDo(
            PlanSegments(settings.fps, settings.segment_length)
        ).with_outputs(PlanSegments.FAILED, main="segments")
        found = (
            planned.segments
            | "SpreadSegments" >> beam.Reshuffle()
            | "FindKeyFrames"
            >> beam.ParDo(FindKeyFrames(settings.shot_threshold)).with_outputs(
                FindKeyFrames.RUNS, FindKeyFrames.FAILED, main="key_frames"
            )
        )
        joined = found[FindKeyFrames.RUNS] | "JoinShots" >> beam.CombinePerKey(JoinRuns(settings.shot_threshold))
        films = (
            {"video": videos | "ById" >> beam.Map(lambda video: (video.id, video)), "runs": joined}
            | "FilmOfRuns" >> beam.CoGroupByKey()
            | "CloseShots" >> beam.ParDo(_CloseShots()).with_outputs(_CloseShots.CROSSING, main="films")
        )
        crossing = (
            films[_CloseShots.CROSSING]
            | "SpreadCrossing" >> beam.Reshuffle()
            | "ReadCrossing"
            >> beam.ParDo(ReadCrossingKeyFrames()).with_outputs(ReadCrossingKeyFrames.FAILED, main="key_frames")
        )
        # The two kinds of key frames are tagged side by side rather than flattened first: a flatten would hold their
        # pixels in the runner's memory.
        tagged = {
            "Inside": self._tag(found.key_frames, "Inside"),
            "Crossing": self._tag(crossing.key_frames, "Crossing"),
        }
        key_frames = [tagged[kind][0] for kind in tagged] | "KeyFrames" >> beam.Flatten()
        rejected = [tagged[kind][1] for kind in tagged] | "Rejected" >> beam.Flatten()
        bad_frames = [tagged[kind][2] for kind in tagged] | "BadFrames" >> beam.Flatten()
        failures = [
            _failures(planned[PlanSegments.FAILED], "opening"),
            _failures(found[FindKeyFrames.FAILED], "sampling"),
            _failures(crossing[ReadCrossingKeyFrames.FAILED], "shots"),
        ] | "Failures" >> beam.Flatten()
        by_id = key_frames | "ByVideo" >> beam.Map(lambda pair: (pair[0].id, pair[1]))
        results = (
            {
                "film": films.films,
                "tags": by_id | "Strength" >> beam.CombinePerKey(CombineStrengths()),
                "key_frames": by_id,
                "rejected": rejected | "CountRejected" >> beam.CombinePerKey(sum),
                "failures": failures,
                "bad_frames": _failures(bad_frames, "tagging"),
            }
            | "Gather" >> beam.CoGroupByKey()
            | "Results"
            >> beam.ParDo(_Results(settings.min_relative_strength)).with_outputs("key_frames", "errors", main="tags")
        )
        return {"tags": results.tags, "key_frames": results.key_frames, "errors": results.errors}

    def _tag(self, key_frames: beam.PCollection, kind: str) -> tuple:
        settings = self.settings
        kept = key_frames | f"Entropy{kind}" >> beam.ParDo(FilterByEntropy(settings.min_entropy)).with_outputs(
            FilterByEntropy.REJECTED, main="kept"
        )
        tagged = kept.kept | f"Tag{kind}" >> TagKeyFrames(
            self.bundle, settings.top_k, settings.batch_size, settings.threads, settings.accelerator
        )
        return tagged.tagged, kept[FilterByEntropy.REJECTED], tagged[TagKeyFrames.FAILED]


def _failures(pairs: beam.PCollection, stage: str) -> beam.PCollection:
    return pairs | f"Failed{stage.title()}" >> beam.Map(
        lambda pair, stage=stage: (pair[0].id, Failure(pair[0], stage, pair[1]))
    )


class _CloseShots(beam.DoFn):
    """Joined runs of a video -> (video id, film), and each shot that crosses a border as (video, clock, shot)."""

    CROSSING = "crossing"

    def process(self, element: tuple[str, dict]) -> Iterator:
        video_id, parts = element
        video = next(iter(parts["video"]))
        for clock, runs in parts["runs"]:
            if len(runs) != 1:
                return  # a segment failed: the video is among the failures
            try:
                run = close(runs[0])
            except VideoError as error:
                yield video_id, (video, clock, error.reason)
                return
            for shot in run.crossing:
                yield beam.pvalue.TaggedOutput(self.CROSSING, (video, clock, shot))
            yield video_id, (video, clock, run)


class _Results(beam.DoFn):
    """All that is known of a video -> its VideoTags and KeyFrameTags, or its Failure."""

    def __init__(self, min_relative_strength: float):
        self.min_relative_strength = min_relative_strength
        self.tagged = Metrics.counter("results", "videos_tagged")
        self.failed = Metrics.counter("results", "videos_failed")

    def process(self, element: tuple[str, dict]) -> Iterator:
        _, parts = element
        failures = sorted(parts["failures"], key=lambda failure: (failure.stage, failure.reason))
        films = list(parts["film"])
        if not failures and isinstance(films[0][2], str):
            failures = [Failure(films[0][0], "sampling", films[0][2])]
        if failures:
            self.failed.inc()
            yield beam.pvalue.TaggedOutput("errors", failures[0])
            return
        self.tagged.inc()
        for failure in sorted(parts["bad_frames"], key=lambda failure: failure.reason):
            yield beam.pvalue.TaggedOutput("errors", failure)
        ((video, _, run),) = films
        key_frames = sorted(parts["key_frames"], key=lambda key_frame: key_frame.time_s)
        all_tags = next(iter(parts["tags"]), ())
        yield VideoTags(
            video,
            run.end_s,
            run.samples[1] + 1,
            run.shots,
            len(key_frames),
            sum(parts["rejected"]),
            strongest(all_tags, self.min_relative_strength),
            all_tags,
            tuple(_warnings(run)),
        )
        for key_frame in key_frames:
            yield beam.pvalue.TaggedOutput("key_frames", key_frame)


def _warnings(run: Run) -> Iterable[str]:
    if run.damaged:
        yield f"{run.damaged} damaged packets were passed over"
