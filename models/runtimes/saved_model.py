"""TensorFlow's SavedModel: what GPUs and servers run, in batches."""

from __future__ import annotations

import glob
import os

import numpy as np

from movie_tags import storage
from movie_tags.models.bundle import BundleError
from movie_tags.models.runtimes import Answers, Model, configure, without_native_remarks

SERVING_DEFAULT, DESCRIBE, CANVAS = "serving_default", "describe", "canvas"
"""Signatures; see `movie_tags.models.serving`. The last is also the name of its input."""

PROBABILITIES, FEATURES = "probabilities", "features"
"""Outputs of the signatures."""


def has_gpu() -> bool:
    """Whether this machine shows a GPU's device file: only then is TensorFlow worth asking."""
    return bool(glob.glob("/dev/nvidia[0-9]*")) and os.environ.get("CUDA_VISIBLE_DEVICES") not in ("", "-1")


def sees_a_gpu(threads: int) -> bool:
    """Whether TensorFlow, configured with so many threads, finds a GPU."""
    with without_native_remarks():
        import tensorflow as tf

        configure(threads)
        return bool(tf.config.list_physical_devices("GPU"))


def load_saved_model(uri: str, threads: int = 1) -> Model:
    """Load the signature CANVAS of a SavedModel; a remote one is fetched first.

    Raises:
        OSError: it cannot be read.
        BundleError: it has no such signature.
    """
    with without_native_remarks():
        import tensorflow as tf  # 5 s; only where there is a GPU, or no model for LiteRT

        configure(threads)
        with storage.fetch(uri) as folder:
            loaded = tf.saved_model.load(folder)
    if CANVAS not in loaded.signatures:
        raise BundleError(f"{uri}: has no signature '{CANVAS}'; build or export the bundle again")
    signature = loaded.signatures[CANVAS]

    def describe(pictures: np.ndarray) -> Answers:
        _ = loaded  # the signature alone does not hold its variables
        found = signature(canvas=tf.constant(pictures))
        features = found[FEATURES].numpy() if FEATURES in found else None
        return Answers(found[PROBABILITIES].numpy(), features)

    return Model(describe)
