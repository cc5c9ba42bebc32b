"""Feature extraction against the bare model in a loop, and the speed of head training.

    make bench

Pictures are made here, so it runs anywhere; the backbone's weights are random, which does not change its price.
Extraction is measured at two sizes; the difference leaves start-up out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import apache_beam as beam
import cv2
import numpy as np

from movie_tags.machine import cores
from movie_tags.models.backbones.specs import load_backbone, make_spec
from movie_tags.pipeline.beam.options import local_options
from movie_tags.training.data.dataset_building import build_dataset
from movie_tags.training.extracting import BackboneHandler, ExtractFeatures, cache_folder, cached_keys
from movie_tags.training.heads.softmax import Examples, HeadSettings, train_head

WORK = Path("build/bench/train")
SIZES = (600, 3000)
SPEC = make_spec("MobileNetV2", "random")
BATCH = 32
ROUNDS = 2


def make_data(number: int) -> str:
    """A data set of so many pictures of 208 x 277 pixels."""
    images, data = WORK / f"images{number}", WORK / f"data{number}"
    if not data.exists():
        for tag in ("War", "Food"):
            (images / tag).mkdir(parents=True, exist_ok=True)
        for i in range(number):
            coarse = np.random.default_rng(i).integers(0, 256, (26, 35, 3), np.uint8)
            picture = cv2.resize(coarse, (277, 208), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(images / ("War", "Food")[i % 2] / f"{i:05}.jpg"), picture)
        build_dataset([str(images)], str(data), local_options([])[0], split_by="random", max_distance=0)
    return str(data)


def extract(number: int) -> float:
    """Wall seconds of extracting the features of a data set, on all cores."""
    data = make_data(number)
    cache = WORK / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    folder = cache_folder(str(cache), load_backbone(SPEC))
    os.makedirs(folder)
    options, workers = local_options([])
    begun = time.monotonic()
    with beam.Pipeline(options=options) as pipeline:
        pipeline | ExtractFeatures(data, SPEC, folder, BATCH, max(1, cores() // workers))
    spent = time.monotonic() - begun
    assert len(cached_keys(folder)) == number
    return spent


def bare_model(seconds: float = 20) -> float:
    """Pictures a second of the model alone, fed one batch again and again, with TensorFlow on all cores."""
    handler = BackboneHandler(SPEC, BATCH, cores())
    model = handler.load_model()
    batch = list(np.random.default_rng(0).integers(0, 256, (BATCH, *SPEC.size, 3), np.uint8))
    handler.run_inference(batch, model)
    begun, done = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        handler.run_inference(batch, model)
        done += BATCH
    return done / (time.monotonic() - begun)


def head_steps(steps: int = 1000) -> float:
    """Steps a second of head training at batch 500: 1,280 features, 50 tags, 8,000 pictures."""
    random = np.random.default_rng(0)
    labels = np.eye(50, dtype=np.float32)[random.integers(0, 50, 8000)]
    examples = Examples(random.normal(0, 1, (8000, 1280)).astype(np.float32), labels)
    nothing = Examples(examples.features[:0], labels[:0])
    train_head(examples, nothing, HeadSettings(steps=100))
    begun = time.monotonic()
    train_head(examples, nothing, HeadSettings(steps=steps))
    return steps / (time.monotonic() - begun)


def main() -> None:
    if sys.argv[1:] == ["bare"]:  # in a process of its own: TensorFlow's threads are set once
        print(bare_model())
        return
    WORK.mkdir(parents=True, exist_ok=True)
    few, many = SIZES
    for size in SIZES:
        make_data(size)
    ratios = []
    for number in range(ROUNDS):
        words = [sys.executable, __file__, "bare"]
        bare = float(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1])
        speed = (many - few) / (extract(many) - extract(few))
        ratios.append(speed / bare)
        print(f"round {number + 1}: extraction {speed:.1f} pictures/s, the bare model {bare:.1f}: {speed / bare:.2f}")
    print(f"features: {max(ratios):.2f} of the bare model's speed, the better of {ROUNDS} rounds (bar 0.90)")
    print(f"head: {head_steps():.0f} steps/s at batch 500")


if __name__ == "__main__":
    main()
