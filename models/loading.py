"""Running a model bundle on pictures: LiteRT on CPUs, TensorFlow where there is a GPU or nothing else, ONNX Runtime."""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from movie_tags import storage
from movie_tags.models import onnx
from movie_tags.models.bundle import ONNX, SAVED_MODEL, TFLITE, BundleError, ModelBundle

Model = Callable[[np.ndarray], np.ndarray]
"""Pictures uint8 RGB [N, H, W, 3] -> probabilities float32 [N, tags]."""

_LOADING = threading.Lock()


@dataclass(frozen=True)
class Prediction:
    """A model's answer to one picture: probabilities float32 [tags], or the reason why there are none."""

    probabilities: np.ndarray | None
    reason: str = ""


def predict(
    model: Model, pictures: Sequence[np.ndarray], fitted: Callable[[np.ndarray], np.ndarray] | None = None
) -> list[Prediction]:
    """A model's answer to each picture.

    A picture that the model cannot take gets a reason; the others keep their answers.

    Args:
        model: uint8 [N, H, W, 3] -> float [N, tags].
        pictures: uint8 RGB [H, W, 3] each, of any sizes.
        fitted: brings each to what the model takes (`ModelBundle.fitted`); None: they are so already.
    """
    try:
        rows = np.asarray(model(np.stack([fitted(picture) if fitted else picture for picture in pictures])))
        if rows.shape[:1] != (len(pictures),):
            raise ValueError(f"the model gave {rows.shape} for {len(pictures)} pictures")
    except Exception as error:  # whatever a model or a damaged picture may raise costs that picture alone
        if len(pictures) == 1:
            return [Prediction(None, f"{type(error).__name__}: {error}".splitlines()[0][:300])]
        return [found for picture in pictures for found in predict(model, [picture], fitted)]
    return [
        Prediction(row) if np.isfinite(row).all() else Prediction(None, "the model gave no finite probabilities")
        for row in rows
    ]


def has_gpu() -> bool:
    """Whether this machine shows a GPU's device file: only then is TensorFlow worth asking."""
    return bool(glob.glob("/dev/nvidia[0-9]*")) and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1")


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
        gpu = SAVED_MODEL in bundle.parts and has_gpu() and _tensorflow_sees_a_gpu(threads)
        part = SAVED_MODEL if gpu else next(part for part in ON_CPUS if part in bundle.parts)
        loaded = _load_once(bundle.uri, part, bundle.fingerprint, threads)
    return one_at_a_time(loaded) if part == SAVED_MODEL and not gpu else loaded


def one_at_a_time(model: Model) -> Model:
    """The same model, asked about each picture by itself."""
    return lambda pictures: np.concatenate([model(pictures[i : i + 1]) for i in range(len(pictures))])


@functools.lru_cache(maxsize=8)
def _load_once(uri: str, part: str, fingerprint: str, threads: int) -> Model:
    if not storage.is_remote(uri) and not storage.exists(storage.join(uri, part)):
        from movie_tags.models.building import on_this_machine

        # A cluster's worker has a bundle that was built, in its image, at a place of its own.
        built = on_this_machine(fingerprint)
        if built is None:
            raise BundleError(
                f"{uri}: no {part} there on this machine. On a cluster, build the model into the workers' image "
                "(movie-tags model build), or name a copy that all workers see: --model gs://…"
            )
        uri = built
    path = storage.join(uri, part)
    try:
        return LOADERS[part](uri if part == ONNX else path, threads)
    except OSError as error:
        raise BundleError(f"{path}: the model cannot be loaded ({storage.plainly(error)})") from error


def load_tflite(uri: str, threads: int = 1) -> Model:
    """Load a TFLite model for LiteRT with XNNPACK, to be run on one picture at a time.

    Raises:
        OSError: it cannot be read.
        BundleError: it is no model of the form uint8 [1, H, W, 3] -> float32 [1, tags].
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        # Given as a file it is mapped, and its pages are shared by all processes that have it.
        with storage.fetch(uri) as path, without_native_remarks():
            interpreter = Interpreter(model_path=path, num_threads=threads)
            interpreter.allocate_tensors()
        (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
        if (taken["dtype"], len(taken["shape"]), given["dtype"]) != (np.uint8, 4, np.float32):
            raise ValueError(f"it takes {taken['dtype'].__name__} {list(taken['shape'])}")
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"{uri}: no model that LiteRT can run here ({str(error).splitlines()[0]})") from error
    turn = threading.Lock()  # an interpreter has one set of tensors

    def model(pictures: np.ndarray) -> np.ndarray:
        rows = np.empty((len(pictures), given["shape"][-1]), np.float32)
        with turn:
            for row, picture in zip(rows, pictures, strict=True):
                interpreter.set_tensor(taken["index"], picture[None])
                interpreter.invoke()
                row[:] = interpreter.get_tensor(given["index"])[0]
        return rows

    return model


def load_saved_model(uri: str, threads: int = 1) -> Model:
    """Load a SavedModel; a remote one is fetched first.

    Raises:
        OSError: it cannot be read.
    """
    with without_native_remarks():
        import tensorflow as tf  # 5 s; only where there is a GPU, or no model for LiteRT

        configure(threads)
        with storage.fetch(uri) as folder:
            loaded = tf.saved_model.load(folder)
    signature = loaded.signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    (output,) = signature.structured_outputs

    def model(pictures: np.ndarray) -> np.ndarray:
        return signature(**{name: tf.constant(pictures)})[output].numpy()

    model.keep_alive = loaded  # type: ignore[attr-defined]  # the signature alone does not hold its variables
    return model


LOADERS = {TFLITE: load_tflite, SAVED_MODEL: load_saved_model, ONNX: onnx.load_onnx}
ON_CPUS = (TFLITE, ONNX, SAVED_MODEL)
"""Parts of a bundle in the order in which CPUs want them."""


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


def _tensorflow_sees_a_gpu(threads: int) -> bool:
    with without_native_remarks():
        import tensorflow as tf

        configure(threads)
        return bool(tf.config.list_physical_devices("GPU"))


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
