"""What quantising kept features costs: how many key frames keep their tags when a head takes what is restored.

python benchmarks/features.py [N]        (needs the shared data, MOVIE_TAGS_DATA)
"""

from __future__ import annotations

import sys
import zlib

import cv2
import numpy as np
from measuring import FOOTAGE, need_footage

from movie_tags.models.ensemble import predict_with, read_models, say_again
from movie_tags.models.quantised import quantise, restore
from movie_tags.pipeline.method import Method
from movie_tags.transforms.frame_rule import believed, in_millionths, top_tags


def main(number: int = 1000) -> None:
    """Print how many pictures keep their tags, and how large their features are."""
    need_footage()
    models = read_models()
    loaded, heads, kept, sizes, furthest = models.load(), models.heads(), 0, [], 0.0
    thresholds = dict(zip(models.vocabulary, models.thresholds, strict=True))
    paths = sorted((FOOTAGE.parent / "frames").glob("*.jpg"))
    chosen = [paths[i] for i in np.random.default_rng(0).choice(len(paths), number, replace=False)]
    for path in chosen:
        pixels = np.asarray(cv2.imread(str(path)))[:, :, ::-1]
        (found,) = predict_with(loaded, [models.fitted(pixels)])
        probabilities = np.asarray(found.probabilities)
        data = quantise(np.asarray(found.features))
        again = say_again(heads, restore(data)[None])[0]
        tags = [
            {one.tag for one in believed(top_tags(in_millionths(p), models.vocabulary, Method().top_k), thresholds)}
            for p in (probabilities, again)
        ]
        kept += tags[0] == tags[1]
        sizes.append(len(zlib.compress(data)))
        furthest = max(furthest, float(np.abs(again - probabilities).max()))
    print(f"{kept} of {len(chosen)} key frames keep their tags; probabilities differ by at most {furthest:.4f}")
    print(f"{np.mean(sizes):.0f} bytes a key frame, compressed; {len(data)} as they are")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
