"""Runtimes: a bundle's model run by LiteRT, TensorFlow or ONNX Runtime, all alike as a `Model`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Answers:
    """What a model says of pictures.

    Attributes:
        probabilities: float32 [N, tags].
        features: float32 [N, width], those that the head takes, before it scales them; None where the model gives none.
    """

    probabilities: np.ndarray
    features: np.ndarray | None = None


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Attributes:
        describe: pictures as the bundle takes them, uint8 RGB [N, *input_size, 3] -> their answers, in one pass.
    """

    describe: Callable[[np.ndarray], Answers]

    def __call__(self, pictures: np.ndarray) -> np.ndarray:
        """Probabilities float32 [N, tags] of pictures uint8 RGB [N, *input_size, 3]."""
        return self.describe(pictures).probabilities


def one_at_a_time(model: Model) -> Model:
    """The same model, asked about each picture by itself."""
    return Model(lambda pictures: joined([model.describe(pictures[i : i + 1]) for i in range(len(pictures))]))


def joined(answers: list[Answers]) -> Answers:
    """Answers to some pictures, then to others, as one."""
    features = [answer.features for answer in answers if answer.features is not None]
    return Answers(
        np.concatenate([answer.probabilities for answer in answers]),
        np.concatenate(features) if features and len(features) == len(answers) else None,
    )


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
