"""Tagging: key frames -> RunInference with a model bundle -> the top-k tags of each (section 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, PredictionResult, RunInference

from movie_tags.models.ensemble import Ensemble, Fitted, predict_with
from movie_tags.models.quantised import quantise
from movie_tags.models.runtimes import Model
from movie_tags.records import Failure, KeyFrame, Video
from movie_tags.transforms.frame_rule import FrameRule
from movie_tags.transforms.kinds import kind_of
from movie_tags.transforms.shots.inside import KeyFramePicture


@dataclass(frozen=True)
class _Loaded:
    """The models of a process: Beam keeps what it can refer to weakly, which a tuple is not."""

    models: tuple[Model, ...]


class BundleHandler(ModelHandler[Fitted, PredictionResult, _Loaded]):
    """Runs model bundles on pictures as they take them (`Ensemble.fitted`); the inference of each is a `Prediction`."""

    def __init__(self, models: Ensemble, batch_size: int = 16, threads: int = 1):
        """Args: the bundles; pictures a batch; a model's threads in a process."""
        super().__init__()
        # What else a card tells has no use on the workers.
        self.models = models.without_cards()
        self.batch_size = batch_size
        self.threads = threads

    def load_model(self) -> _Loaded:
        return _Loaded(self.models.load(self.threads))

    def run_inference(
        self, batch: Sequence[Fitted], model: _Loaded, inference_args: dict[str, Any] | None = None
    ) -> Iterable[PredictionResult]:
        return [PredictionResult(None, found) for found in predict_with(model.models, batch)]

    def batch_elements_kwargs(self) -> dict[str, int]:
        # Left to itself the batch size wanders with the machine's load.
        return {"min_batch_size": self.batch_size, "max_batch_size": self.batch_size}

    def get_metrics_namespace(self) -> str:
        return "tagging"


class TagKeyFrames(beam.PTransform):
    """(Video, KeyFramePicture) -> TAGGED, (Video, TaggedFrame).

    FAILED has (Video, Failure) for those without an answer.
    """

    TAGGED, FAILED = "tagged", "failed"

    def __init__(
        self,
        models: Ensemble,
        top_k: int,
        min_probability: float | None = None,
        batch_size: int = 16,
        threads: int = 1,
        accelerator: str | None = None,
        features: bool = False,
    ):
        """
        Args:
            models: the model.
            top_k, min_probability: as of `FrameRule`.
            batch_size, threads, accelerator: of the work.
            features: keep what the backbone saw.
        """
        super().__init__()
        self.handler = BundleHandler(models, batch_size, threads)
        self.rule = FrameRule.of(models, top_k, min_probability)
        self.accelerator = accelerator
        self.features = features

    def expand(self, key_frames: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        fitted = key_frames | "Fit" >> beam.Map(_fit_key_frame, self.handler.models)
        inference = RunInference(KeyedModelHandler(self.handler))
        if self.accelerator:
            # Only here do pixels travel: to the few workers that have an accelerator.
            fitted |= "ToAccelerator" >> beam.Reshuffle()
            inference = inference.with_resource_hints(accelerator=self.accelerator)
        return (
            fitted
            | "RunInference" >> inference
            | "TopTags" >> beam.ParDo(_TopTags(self.rule, self.features)).with_outputs(self.FAILED, main=self.TAGGED)
        )


def _fit_key_frame(element: tuple[Video, KeyFramePicture], models: Ensemble) -> tuple[tuple[Video, KeyFrame], Fitted]:
    """Part a key frame from its pixels, as the model takes them; its kind is told by them first."""
    video, picture = element
    return (video, replace(picture.frame, kind=kind_of(picture.pixels))), models.fitted(picture.pixels)


class _TopTags(beam.DoFn):
    def __init__(self, rule: FrameRule, features: bool):
        self.rule = rule
        self.features = features
        self.tagged = Metrics.counter("tagging", "key_frames_tagged")
        self.failed = Metrics.counter("tagging", "key_frames_failed")

    def process(self, element: tuple[tuple[Video, KeyFrame], PredictionResult]) -> Iterator:
        (video, frame), found = element[0], element[1].inference
        if found.probabilities is None:
            self.failed.inc()
            reason = f"the key frame at {frame.time_s:g} s could not be tagged ({found.reason})"
            yield beam.pvalue.TaggedOutput(TagKeyFrames.FAILED, (video, Failure("tagging", reason)))
            return
        self.tagged.inc()
        tagged = self.rule.tagged(frame, found.probabilities)
        if self.features and found.features is not None:
            tagged = replace(tagged, features=quantise(found.features))
        yield video, tagged
