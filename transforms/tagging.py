"""Tagging: key frames -> RunInference with a model bundle -> the top-k tags of each (section 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, PredictionResult, RunInference

from movie_tags.models.ensemble import Ensemble, Fitted, predict_with
from movie_tags.models.runtimes import Model
from movie_tags.records import UNIT, Failure, KeyFrame, TagProbabilities, TagProbability, Video
from movie_tags.transforms.shots.inside import KeyFramePicture


def top_tags(probabilities: np.ndarray, vocabulary: Sequence[str], k: int) -> TagProbabilities:
    """The k most probable tags (section 4.3), the most probable first, ties in the vocabulary's order.

    Args:
        probabilities: float [tags].
        vocabulary: the tags in the order of the outputs.
        k: how many; all of them where there are fewer.

    """
    millionths = np.rint(np.asarray(probabilities, np.float64) * UNIT).astype(np.int64)
    order = np.argsort(-millionths, kind="stable")[:k]
    return tuple(TagProbability.of_millionths(vocabulary[i], int(millionths[i])) for i in order)


def believed(tags: TagProbabilities, thresholds: dict[str, float]) -> TagProbabilities:
    """The tags whose probability reaches their threshold, in [0, 1], in the same order."""
    return tuple(one for one in tags if one.millionths >= round(thresholds[one.tag] * UNIT))


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
    """(Video, KeyFramePicture) -> TAGGED, (Video, KeyFrame) with its tags.

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
    ):
        """Args: the model; tags a key frame; how probable they must be (None: the bundles' thresholds); of the work."""
        super().__init__()
        self.handler = BundleHandler(models, batch_size, threads)
        self.top_k = top_k
        by_tag = zip(models.vocabulary, models.thresholds, strict=True)
        self.thresholds = {tag: own if min_probability is None else min_probability for tag, own in by_tag}
        self.accelerator = accelerator

    def expand(self, key_frames: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        fitted = key_frames | "Fit" >> beam.Map(_fit_key_frame, self.handler.models)
        inference = RunInference(KeyedModelHandler(self.handler))
        if self.accelerator:
            # Only here do pixels travel: to the few workers that have an accelerator.
            fitted |= "ToAccelerator" >> beam.Reshuffle()
            inference = inference.with_resource_hints(accelerator=self.accelerator)
        top_tags = _TopTags(self.handler.models.vocabulary, self.top_k, self.thresholds)
        return (
            fitted
            | "RunInference" >> inference
            | "TopTags" >> beam.ParDo(top_tags).with_outputs(self.FAILED, main=self.TAGGED)
        )


def _fit_key_frame(element: tuple[Video, KeyFramePicture], models: Ensemble) -> tuple[tuple[Video, KeyFrame], Fitted]:
    """Part a key frame from its pixels, as the model takes them."""
    video, picture = element
    return (video, picture.frame), models.fitted(picture.pixels)


class _TopTags(beam.DoFn):
    def __init__(self, vocabulary: tuple[str, ...], top_k: int, thresholds: dict[str, float]):
        self.vocabulary = vocabulary
        self.top_k = top_k
        self.thresholds = thresholds
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
        top_k = top_tags(found.probabilities, self.vocabulary, self.top_k)
        yield video, replace(frame, tags=believed(top_k, self.thresholds), top_k=top_k)
