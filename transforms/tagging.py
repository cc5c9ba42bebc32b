"""Tagging: key frames -> RunInference with a model bundle -> the top-k tags of each (section 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, PredictionResult, RunInference

from movie_tags.models.ensemble import Ensemble, Fitted, predict_with
from movie_tags.models.quantised import quantise
from movie_tags.models.runtimes import Model
from movie_tags.records import TITLE_CARD, UNIT, Failure, KeyFrame, TagProbabilities, TagProbability, Video
from movie_tags.transforms.kinds import is_evidence, kind_of, with_card
from movie_tags.transforms.shots.inside import KeyFramePicture
from movie_tags.transforms.watched import to_watch, watch_thresholds


def in_millionths(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities, float, as whole millionths, int64, of which sums are exact."""
    return np.rint(np.asarray(probabilities, np.float64) * UNIT).astype(np.int64)


def top_tags(millionths: np.ndarray, vocabulary: Sequence[str], k: int) -> TagProbabilities:
    """The k most probable tags (section 4.3), the most probable first, ties in the vocabulary's order.

    Args:
        millionths: the probabilities, int64 [tags], as of `in_millionths`.
        vocabulary: the tags in the order of the outputs.
        k: how many; all of them where there are fewer.
    """
    order = np.argsort(-millionths, kind="stable")[:k]
    return tuple(TagProbability.of_millionths(vocabulary[i], int(millionths[i])) for i in order)


def believed(tags: TagProbabilities, thresholds: Mapping[str, float]) -> TagProbabilities:
    """The tags whose probability reaches their threshold, in [0, 1], in the same order."""
    return tuple(one for one in tags if one.millionths >= round(thresholds[one.tag] * UNIT))


@dataclass(frozen=True)
class TaggedFrame:
    """A key frame with all that a model says of it, until the whole film is known.

    Attributes:
        frame: with the tags that count by their own thresholds.
        millionths: the probabilities of all tags, in the order of `film_vocabulary`.
        features: what the backbone saw, quantised; nothing where that is not kept.
    """

    frame: KeyFrame
    millionths: tuple[int, ...] = ()
    features: bytes = b""


@dataclass(frozen=True)
class FrameRule:
    """What a single key frame's probabilities make of it.

    Attributes:
        outputs: the tags, and TITLE_CARD where the model has it, in the order of the probabilities.
        thresholds: of each of them, in 0 to 1.
        top_k: tags of a key frame.
        min_probability: a tag counts from this probability on, in place of its threshold, and on key frames of every
            kind, as the paper has it; None: by its threshold, on pictures.
        watch: the probabilities, in 0 to 1, from which tags to watch out for are kept beyond the top k.
    """

    outputs: tuple[str, ...]
    thresholds: Mapping[str, float]
    top_k: int
    min_probability: float | None = None
    watch: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, models: Ensemble, top_k: int, min_probability: float | None = None) -> FrameRule:
        thresholds = dict(zip(models.vocabulary, models.thresholds, strict=True))
        return cls(models.vocabulary, thresholds, top_k, min_probability, watch_thresholds(models.watch))

    def tagged(self, frame: KeyFrame, probabilities: np.ndarray) -> TaggedFrame:
        """A key frame with its kind and tags, by what the model says of it, float [outputs]."""
        kind, vocabulary = frame.kind, list(self.outputs)
        if TITLE_CARD in vocabulary:
            card = vocabulary.index(TITLE_CARD)
            kind = with_card(kind, float(probabilities[card]), self.thresholds[TITLE_CARD])
            probabilities = np.delete(probabilities, card)
            del vocabulary[card]
        millionths = in_millionths(probabilities)
        top_k = top_tags(millionths, vocabulary, self.top_k)
        watch = to_watch(millionths, vocabulary, self.watch, top_k)
        said = replace(frame, tags=self._counts(top_k, kind), top_k=top_k, kind=kind, watch=watch)
        return TaggedFrame(said, tuple(millionths.tolist()))

    def _counts(self, top_k: TagProbabilities, kind: str) -> TagProbabilities:
        if self.min_probability is not None:
            return believed(top_k, dict.fromkeys(self.outputs, self.min_probability))
        return believed(top_k, self.thresholds) if is_evidence(kind) else ()


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
