"""Loading a bundle's model in the runtime that suits the machine, and asking it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from movie_tags import storage
from movie_tags.models.bundle import HEAD_CARD, ONNX, OUTSIDE, SAVED_MODEL, TFLITE, BundleError, ModelBundle
from movie_tags.models.heads import LinearHead, read_head
from movie_tags.models.runtimes import Answers, Model, one_at_a_time
from movie_tags.models.runtimes.litert import load_tflite
from movie_tags.models.runtimes.onnx_model import load_onnx
from movie_tags.models.runtimes.saved_model import has_gpu, load_saved_model, sees_a_gpu

_LOADING = threading.Lock()

LOADERS = {TFLITE: load_tflite, SAVED_MODEL: load_saved_model, ONNX: load_onnx}
ON_CPUS = (TFLITE, ONNX, SAVED_MODEL)
"""Parts of a bundle in the order in which CPUs want them."""


@dataclass(frozen=True)
class Prediction:
    """A model's answer to one picture.

    Attributes:
        probabilities: float32 [tags]; None where there are none.
        reason: why there are none.
        features: float32 [width]; None where the model gives none.
    """

    probabilities: np.ndarray | None
    reason: str = ""
    features: np.ndarray | None = None


def predict(
    model: Model, pictures: Sequence[np.ndarray], fitted: Callable[[np.ndarray], np.ndarray] | None = None
) -> list[Prediction]:
    """A model's answer to each picture.

    A picture that the model cannot take gets a reason; the others keep their answers.

    Args:
        model: a loaded model.
        pictures: uint8 RGB [H, W, 3] each, of any sizes.
        fitted: brings each to what the model takes (`ModelBundle.fitted`); None: they are so already.
    """
    try:
        answers = model.describe(np.stack([fitted(picture) if fitted else picture for picture in pictures]))
        rows, features = np.asarray(answers.probabilities), answers.features
        if rows.shape[:1] != (len(pictures),):
            raise ValueError(f"the model gave {rows.shape} for {len(pictures)} pictures")
    except Exception as error:  # whatever a model or a damaged picture may raise costs that picture alone
        if len(pictures) == 1:
            return [Prediction(None, f"{type(error).__name__}: {error}".splitlines()[0][:300])]
        return [found for picture in pictures for found in predict(model, [picture], fitted)]
    return [_prediction(row, None if features is None else features[i]) for i, row in enumerate(rows)]


def _prediction(row: np.ndarray, features: np.ndarray | None) -> Prediction:
    if not np.isfinite(row).all():
        return Prediction(None, "the model gave no finite probabilities")
    return Prediction(row, features=features)


def load_model(bundle: ModelBundle, threads: int = 1) -> Model:
    """Load a bundle's model once a process; a remote one is fetched first.

    On CPUs pictures are run one at a time, so that an answer never depends on the batch that its picture is in.

    Args:
        bundle: the model bundle.
        threads: for one operation, in this process.

    Raises:
        BundleError: it cannot be loaded.
    """
    with _LOADING:  # a runner may set up several steps of a worker at once
        gpu = SAVED_MODEL in bundle.parts and has_gpu() and sees_a_gpu(threads)
        part = SAVED_MODEL if gpu else next(part for part in ON_CPUS if part in bundle.parts)
        loaded = _load_once(bundle.uri, part, bundle.fingerprint, threads)
    model = one_at_a_time(loaded) if part == SAVED_MODEL and not gpu else loaded
    return with_head(model, _head_once(bundle)) if bundle.card.get(HEAD_CARD, {}).get(OUTSIDE) else model


def with_head(model: Model, head: LinearHead) -> Model:
    """A model whose features a head of its own takes.

    Raises:
        BundleError: when it is asked, if it gives no features.
    """

    def describe(pictures: np.ndarray) -> Answers:
        features = model.describe(pictures).features
        if features is None:
            raise BundleError("the model gives no features for its head to take")
        return Answers(head(features), features)

    return Model(describe)


@functools.lru_cache(maxsize=8)
def _head_once(bundle: ModelBundle) -> LinearHead:
    head = read_head(bundle)
    if head is None:
        raise BundleError(f"{bundle.uri}: has no head")
    return head


@functools.lru_cache(maxsize=8)
def _load_once(uri: str, part: str, fingerprint: str, threads: int) -> Model:
    if not storage.is_remote(uri) and not storage.exists(storage.join(uri, part)):
        uri = _built_here(uri, part, fingerprint)
    path = storage.join(uri, part)
    try:
        return LOADERS[part](uri if part == ONNX else path, threads)
    except OSError as error:
        raise BundleError(f"{path}: the model cannot be loaded ({storage.plainly(error)})") from error


def _built_here(uri: str, part: str, fingerprint: str) -> str:
    """Where a bundle that was built elsewhere lies on this machine: a cluster's worker has it in its image."""
    from movie_tags.models.building import on_this_machine

    built = on_this_machine(fingerprint)
    if built is None:
        raise BundleError(
            f"{uri}: no {part} there on this machine. On a cluster, build the model into the workers' image "
            "(movie-tags model build), or name a copy that all workers see: --model gs://…"
        )
    return built


def forget_models() -> None:
    """Free the models that this process has loaded, once nobody uses them."""
    _load_once.cache_clear()


def check_outputs(bundle: ModelBundle, threads: int = 1) -> None:
    """Run a bundle on one grey picture, before any work is done with it.

    Raises:
        BundleError: the model does not run, or does not give one probability for each line of the vocabulary.
    """
    (found,) = predict(load_model(bundle, threads), [np.full((*bundle.input_size, 3), 128, np.uint8)])
    if found.probabilities is None:
        raise BundleError(f"{bundle.uri}: the model does not run ({found.reason})")
    if found.probabilities.shape != (len(bundle.vocabulary),):
        raise BundleError(
            f"{bundle.uri}: the model gives {found.probabilities.size} probabilities, but its vocabulary has "
            f"{len(bundle.vocabulary)} tags; export the bundle again"
        )
