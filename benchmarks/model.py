"""Models on one thread, by LiteRT: their size, how long they take to load, their CPU time a picture.

python benchmarks/model.py [MODEL ...]     # names or folders of bundles; default and compact, if none are given

MobileNetV3-Small at 224 pixels, without weights, stands beside them as the measure: also by LiteRT, in the same run.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np

from movie_tags import storage
from movie_tags.models import COMPACT, DEFAULT, resolve
from movie_tags.models.bundle import read_bundle
from movie_tags.models.loading import load_model, load_tflite

ROUNDS, PICTURES = 5, 20
LOAD = """
import time
import numpy, psutil
from movie_tags.models.bundle import read_bundle
from movie_tags.models.loading import check_outputs
begun = time.process_time()
check_outputs(read_bundle({uri!r}))
print(time.process_time() - begun, psutil.Process().memory_info().rss / 1e6)
"""
MEASURE = """
import sys
import keras, tensorflow as tf
network = keras.applications.MobileNetV3Small(weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3))
serve = tf.function(lambda canvas: {"features": network(tf.cast(canvas, tf.float32), training=False)})
from movie_tags.models.convert import to_tflite
open(sys.argv[1], "wb").write(to_tflite(serve, (224, 224)))
"""


def cpu_ms(models: Mapping[str, tuple[Callable, np.ndarray]]) -> dict[str, float]:
    """CPU milliseconds a picture of each model, the median of rounds in which all take their turn."""
    goes: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(ROUNDS):
        for name, (model, pictures) in models.items():
            begun = time.process_time()
            model(pictures)
            goes[name].append((time.process_time() - begun) / len(pictures) * 1000)
    return {name: statistics.median(found) for name, found in goes.items()}


def load_figures(uri: str) -> tuple[float, float]:
    """CPU seconds to check, load and run a bundle once in a new process, and MB it then had; medians of three."""
    words = [sys.executable, "-c", LOAD.format(uri=uri)]
    runs = [subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-2:] for _ in range(3)]
    seconds, resident = zip(*((float(a), float(b)) for a, b in runs), strict=True)
    return statistics.median(seconds), statistics.median(resident)


def noise(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (PICTURES, *size, 3), np.uint8)


def main(names: list[str]) -> None:
    bundles = {name: read_bundle(resolve(name)) for name in names}
    models = {name: (load_model(bundle, 1), noise(bundle.input_size)) for name, bundle in bundles.items()}
    with tempfile.TemporaryDirectory() as scratch:
        path = str(Path(scratch, "mobilenet.tflite"))
        subprocess.run([sys.executable, "-c", MEASURE, path], check=True, capture_output=True)
        models["MobileNetV3-Small"] = (load_tflite(path, 1), noise((224, 224)))
    found = cpu_ms(models)
    print("| model | part run | MB | load, CPU s | memory, MB | CPU ms a picture | times MobileNetV3-Small |")
    print("|---|---|---|---|---|---|---|")
    for name, bundle in bundles.items():
        part = storage.join(bundle.uri, bundle.parts[0])
        seconds, resident = load_figures(bundle.uri)
        print(
            f"| {name} ({bundle.name}) | {bundle.parts[0]} | {os.path.getsize(part) / 1e6:.1f} | {seconds:.2f} | "
            f"{resident:.0f} | {found[name]:.1f} | {found[name] / found['MobileNetV3-Small']:.2f} |"
        )
    print(f"| MobileNetV3-Small | | | | | {found['MobileNetV3-Small']:.1f} | 1 |")


if __name__ == "__main__":
    main(sys.argv[1:] or [DEFAULT, COMPACT])
