"""Tagging: key frames -> RunInference with a model bundle -> the top-k tags of each (section 4.3)."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import cv2
import numpy as np
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, PredictionResult, RunInference

from movie_tags.models import BUNDLED
from movie_tags.transforms.bundle import SAVED_MODEL, ModelBundle, read_bundle
from movie_tags.transforms.storage import fetch

UNIT = 10**6
"""Probabilities are kept in whole millionths, so that their sums are exact in any order of adding."""

_LOADING = threading.Lock()


@dataclass(frozen=True)
class KeyFrameTags:
    """What was found in one key frame.

    Attributes:
        video_id: the video.
        time_s: when the key frame is on screen, in seconds after the video's first frame.
        shot_start_s, shot_end_s: its shot's first sample, and the first sample that is no longer in it, in seconds.
        entropy: bits, of equation 4.
        top: (tag, probability in millionths), the most probable first.
    """

    video_id: str
    time_s: float
    shot_start_s: float
    shot_end_s: float
    entropy: float
    top: tuple[tuple[str, int], ...]


def fit(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Squeeze a picture to a model's input: uint8 RGB [H, W, 3] -> [*size, 3]; area averaging where it shrinks."""
    height, width = size
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = pixels.shape[0] >= height and pixels.shape[1] >= width
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def top_tags(probabilities: np.ndarray, vocabulary: Sequence[str], k: int) -> tuple[tuple[str, int], ...]:
    """The k most probable tags (section 4.3), the most probable first, ties in the vocabulary's order.

    Args:
        probabilities: float [tags].
        vocabulary: the tags in the order of the outputs.
        k: how many; all of them where there are fewer.

    Returns:
        (tag, probability in millionths).
    """
    millionths = np.rint(np.asarray(probabilities, np.float64) * UNIT).astype(np.int64)
    order = np.argsort(-millionths, kind="stable")[:k]
    return tuple((vocabulary[i], int(millionths[i])) for i in order)


class BundleHandler(ModelHandler[np.ndarray, PredictionResult, Callable]):
    """Runs a model bundle on uint8 RGB pictures [H, W, 3]; a picture's result is float32 [tags].

    A picture that the model cannot take gets its error's text as its result; the others of its batch keep theirs.
    """

    def __init__(self, bundle: ModelBundle, batch_size: int = 16, threads: int = 1):
        """Args: the bundle; pictures a batch; TensorFlow's threads in a process."""
        super().__init__()
        self.bundle = bundle
        self.batch_size = batch_size
        self.threads = threads

    def load_model(self) -> Callable:
        return load_saved_model(self.bundle.saved_model_uri, self.bundle.fingerprint, self.threads)

    def run_inference(
        self, batch: Sequence[np.ndarray], model: Callable, inference_args: dict[str, Any] | None = None
    ) -> Iterable[PredictionResult]:
        return [PredictionResult(None, result) for result in predict(model, batch, self.bundle.input_size)]

    def batch_elements_kwargs(self) -> dict[str, int]:
        # Left to itself the batch size wanders with the machine's load.
        return {"min_batch_size": self.batch_size, "max_batch_size": self.batch_size}

    def get_metrics_namespace(self) -> str:
        return "tagging"


def predict(model: Callable, pictures: Sequence[np.ndarray], size: tuple[int, int]) -> list[np.ndarray | str]:
    """Probabilities of each picture, float32 [tags], or the reason why that picture has none.

    Args:
        model: uint8 [N, H, W, 3] -> float [N, tags].
        pictures: uint8 RGB [H, W, 3] each, of any sizes.
        size: the height and width to which they are brought.
    """
    try:
        rows = np.asarray(model(np.stack([fit(picture, size) for picture in pictures])))
        if rows.shape[:1] != (len(pictures),):
            raise ValueError(f"the model gave {rows.shape} for {len(pictures)} pictures")
    except Exception as error:  # whatever a model or a damaged picture may raise costs that picture alone
        if len(pictures) == 1:
            return [f"{type(error).__name__}: {error}".splitlines()[0][:300]]
        return [result for picture in pictures for result in predict(model, [picture], size)]
    return [row if np.isfinite(row).all() else "the model gave no finite probabilities" for row in rows]


def load_saved_model(uri: str, fingerprint: str, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """Load a SavedModel once a process; a remote one is fetched first.

    Args:
        uri: the folder `saved_model`, local or remote.
        fingerprint: of the weights; another fingerprint is another model, even in the same place.
        threads: TensorFlow's threads for one operation, in this process.

    Returns:
        uint8 [N, H, W, 3] -> float32 [N, tags].
    """
    with _LOADING:  # a runner may set up several steps of a worker at once
        return _load_once(uri, fingerprint, threads)


@functools.lru_cache(maxsize=4)
def _load_once(uri: str, fingerprint: str, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    if (
        FileSystems.get_scheme(uri) is None
        and not os.path.exists(uri)
        and read_bundle(str(BUNDLED)).fingerprint == fingerprint
    ):
        uri = os.path.join(BUNDLED, SAVED_MODEL)  # this machine has the bundled model in a place of its own
    with without_native_remarks():
        import tensorflow as tf  # 5 s; only the processes that tag pay for it

        configure(threads)
        with fetch(uri) as folder:
            loaded = tf.saved_model.load(folder)
    signature = loaded.signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    (output,) = signature.structured_outputs

    def model(pictures: np.ndarray) -> np.ndarray:
        return signature(**{name: tf.constant(pictures)})[output].numpy()

    model.keep_alive = loaded  # the signature alone does not hold its variables
    return model


def configure(threads: int, side_by_side: int = 1) -> None:
    """Set TensorFlow up for this process, unless it is running already: what it was given then remains.

    Args:
        threads: for one operation.
        side_by_side: operations at a time.
    """
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(side_by_side)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)


@contextlib.contextmanager
def without_native_remarks() -> Iterator[None]:
    """Keep what TensorFlow's C++ prints while it starts, whatever its log level, off a quiet user's terminal."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3":
        yield
        return
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class TagKeyFrames(beam.PTransform):
    """(video, clock, key frame, entropy) -> (video, KeyFrameTags), or (video, reason) in the output FAILED."""

    FAILED = "failed"

    def __init__(self, bundle: ModelBundle, top_k: int, batch_size: int, threads: int, accelerator: str | None = None):
        self.handler = BundleHandler(bundle, batch_size, threads)
        self.top_k = top_k
        self.accelerator = accelerator

    def expand(self, key_frames: beam.PCollection) -> beam.pvalue.DoOutputsTuple:
        fitted = key_frames | "Fit" >> beam.Map(_fit_key_frame, self.handler.bundle.input_size)
        inference = RunInference(KeyedModelHandler(self.handler))
        if self.accelerator:
            # Only here do pixels travel: to the few workers that have an accelerator.
            fitted |= "ToAccelerator" >> beam.Reshuffle()
            inference = inference.with_resource_hints(accelerator=self.accelerator)
        return (
            fitted
            | "RunInference" >> inference
            | "TopTags"
            >> beam.ParDo(_TopTags(self.handler.bundle.vocabulary, self.top_k)).with_outputs(self.FAILED, main="tagged")
        )


def _fit_key_frame(element: tuple, size: tuple[int, int]) -> tuple:
    video, clock, key_frame, bits = element
    return (video, clock, key_frame.shot, bits), fit(key_frame.pixels, size)


class _TopTags(beam.DoFn):
    def __init__(self, vocabulary: tuple[str, ...], top_k: int):
        self.vocabulary = vocabulary
        self.top_k = top_k
        self.tagged = Metrics.counter("tagging", "key_frames_tagged")
        self.failed = Metrics.counter("tagging", "key_frames_failed")

    def process(self, element: tuple[tuple, PredictionResult]) -> Iterator:
        (video, clock, shot, bits), prediction = element
        time_s = clock.seconds(shot.median)
        if isinstance(prediction.inference, str):
            self.failed.inc()
            reason = f"the key frame at {time_s:g} s could not be tagged ({prediction.inference})"
            yield beam.pvalue.TaggedOutput(TagKeyFrames.FAILED, (video, reason))
            return
        self.tagged.inc()
        yield (
            video,
            KeyFrameTags(
                video.id,
                time_s,
                clock.seconds(shot.first),
                clock.seconds(shot.last + 1),
                bits,
                top_tags(prediction.inference, self.vocabulary, self.top_k),
            ),
        )
