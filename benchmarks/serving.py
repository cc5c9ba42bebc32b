"""How far the default bundle, served by TensorFlow on raw pictures, and its head by itself are from the pipeline.

    python benchmarks/serving.py [--data DATA] [--pictures 120]

Needs labelled pictures; a third of them get black bars.
"""

from __future__ import annotations

import argparse
import os
import random
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import tensorflow as tf

from movie_tags.models import DEFAULT, resolve
from movie_tags.models.bundle import SAVED_MODEL, read_bundle
from movie_tags.models.ensemble import unite
from movie_tags.models.loading import load_model, predict


def pictures_of(data: Path, number: int) -> list[np.ndarray]:
    """Uint8 RGB [H, W, 3] each, the same ones every time."""
    files = [path for folder in ("frames", "images") for path in sorted((data / folder).rglob("*.jpg"))]
    chosen = random.Random(1).sample(files, min(number, len(files)))
    pictures = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in chosen]
    bars = [len(pixels) // 7 if i % 3 == 0 else 0 for i, pixels in enumerate(pictures)]
    return [np.pad(pixels, ((bar, bar), (0, 0), (0, 0))) for pixels, bar in zip(pictures, bars, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MOVIE_TAGS_DATA", "../shared/data")))
    parser.add_argument("--pictures", type=int, default=120)
    args = parser.parse_args()
    bundle = read_bundle(resolve(DEFAULT))
    pictures = pictures_of(args.data, args.pictures)
    if not pictures:
        parser.error(f"--data {args.data}: holds no frames/ and no images/ with pictures")
    answers = predict(load_model(bundle), pictures, bundle.fitted)
    expected = np.stack([np.asarray(answer.probabilities) for answer in answers])
    signature = tf.saved_model.load(f"{bundle.uri}/{SAVED_MODEL}").signatures["serving_default"]
    served = np.concatenate([signature(images=tf.constant(p[None]))["probabilities"].numpy() for p in pictures])
    (head,) = unite([bundle]).heads()
    alone = head(np.stack([np.asarray(answer.features) for answer in answers]))
    print(f"{len(pictures)} pictures, {expected.shape[1]} tags")
    print(f"served on raw pictures: at most {np.abs(served - expected).max():.4f} from the pipeline's")
    other = (np.rint(alone.astype(float) * 1e6) != np.rint(expected.astype(float) * 1e6)).mean()
    print(f"head in numpy: at most {np.abs(alone - expected).max():.1e}; {other:.1%} differ in whole millionths")


if __name__ == "__main__":
    main()
