"""The bundled model: its size, how long it takes to load, and its CPU time a picture beside MobileNetV3-Small's.

python benchmarks/model.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from movie_tags.models import BUNDLED
from movie_tags.models.bundle import read_bundle
from movie_tags.models.loading import configure, load_model

BATCH = 16
ROUNDS = 40


def cpu_ms(model, size: int) -> float:
    """CPU milliseconds a picture, in batches; the least of three goes."""
    pictures = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), np.uint8)
    for _ in range(3):
        model(pictures)
    goes = []
    for _ in range(3):
        begun = time.process_time()
        for _ in range(ROUNDS):
            model(pictures)
        goes.append((time.process_time() - begun) / ROUNDS / BATCH * 1000)
    return min(goes)


def load_seconds() -> float:
    """Seconds to check and load the bundle in a new process, TensorFlow's import left out; the least of three."""
    code = (
        "import time, tensorflow\n"
        "from movie_tags.models import BUNDLED\n"
        "from movie_tags.models.bundle import read_bundle\n"
        "from movie_tags.models.loading import load_model\n"
        "begun = time.monotonic()\n"
        "load_model(read_bundle(BUNDLED), 1)\n"
        "print(time.monotonic() - begun)\n"
    )
    words = [sys.executable, "-c", code]
    return min(
        float(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1]) for _ in range(3)
    )


def main() -> None:
    configure(threads=1)
    bundle = read_bundle(BUNDLED)
    size = sum(path.stat().st_size for path in Path(BUNDLED).rglob("*") if path.is_file())
    print(f"size: {size / 1e6:.1f} MB (bar 12)")
    print(f"load: {load_seconds():.2f} s (bar 2)")
    ours = cpu_ms(load_model(bundle, 1), bundle.input_size[0])
    network = keras.applications.MobileNetV3Small(weights=None, include_top=False, pooling="avg")
    compute = tf.function(lambda pictures: network(tf.cast(pictures, tf.float32), training=False))
    theirs = cpu_ms(compute, 224)
    print(f"CPU a picture, batches of {BATCH}: {ours:.2f} ms; MobileNetV3-Small at 224 pixels: {theirs:.2f} ms")
    print(f"ratio: {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
