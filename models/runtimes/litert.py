"""LiteRT with XNNPACK: what CPUs run, one picture at a time."""

from __future__ import annotations

import threading

import numpy as np

from movie_tags import storage
from movie_tags.models.bundle import BundleError
from movie_tags.models.runtimes import Answers, Model, without_native_remarks
from movie_tags.wording import number


def load_tflite(uri: str, threads: int = 1) -> Model:
    """Load a TFLite model; its first output is the probabilities, a second one the features.

    Args:
        uri: the file, local or remote.
        threads: for one operation, in this process.

    Raises:
        OSError: it cannot be read.
        BundleError: it is no model of the form uint8 [1, H, W, 3] -> float32 [1, tags] (, float32 [1, width]).
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        # Given as a file it is mapped, and its pages are shared by all processes that have it.
        with storage.fetch(uri) as path, without_native_remarks():
            interpreter = Interpreter(model_path=path, num_threads=threads)
            interpreter.allocate_tensors()
        (taken,), given = interpreter.get_input_details(), interpreter.get_output_details()
        if (taken["dtype"], len(taken["shape"])) != (np.uint8, 4) or len(given) > 2:
            raise ValueError(
                f"it takes {taken['dtype'].__name__} {list(taken['shape'])}, and gives {number(len(given), 'output')}"
            )
        if any(output["dtype"] != np.float32 for output in given):
            raise ValueError("its outputs are not float32")
    except (RuntimeError, ValueError) as error:
        raise BundleError(f"{uri}: no model that LiteRT can run here ({str(error).splitlines()[0]})") from error
    turn = threading.Lock()  # an interpreter has one set of tensors

    def describe(pictures: np.ndarray) -> Answers:
        rows = [np.empty((len(pictures), output["shape"][-1]), np.float32) for output in given]
        with turn:
            for i, picture in enumerate(pictures):
                interpreter.set_tensor(taken["index"], picture[None])
                interpreter.invoke()
                for row, output in zip(rows, given, strict=True):
                    row[i] = interpreter.get_tensor(output["index"])[0]
        return Answers(*rows)

    return Model(describe)
