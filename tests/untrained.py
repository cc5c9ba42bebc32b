"""Bundles of untrained networks: what they say is meaningless, and always the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def write_untrained(folder: Path, vocabulary: Sequence[str], side: int, seed: int, card: dict) -> str:
    """Write the bundle of a small network for pictures of side x side pixels; returns its folder."""
    import keras

    from movie_tags.models.heads import LinearHead
    from movie_tags.models.views import View
    from movie_tags.training.export import write_bundle

    keras.utils.set_random_seed(seed)
    body = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Rescaling(1 / 64, offset=-2),
            *(keras.layers.Conv2D(width, 3, 2, padding="same", activation="relu") for width in (8, 16, 16)),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    random = np.random.default_rng(seed)
    kernel = random.normal(0, 6, (16, len(vocabulary))).astype(np.float32)
    plain = np.ones((64, 16, 16, 3), np.float32) * random.uniform(0, 255, (64, 1, 1, 3))
    bias = -(np.asarray(body(plain)) @ kernel).mean(0)  # so that different pictures have different first tags
    head = LinearHead(kernel, bias, (16,), activation="softmax")
    write_bundle(folder, body, body, head, tuple(vocabulary), (View("whole", (side, side)),), card)
    return str(folder)


def with_sigmoids(bundle: str, folder: Path) -> str:
    """Write a small network's bundle of five tags with a head that finds the first on every picture, and nothing else
    on any; returns its folder."""
    import shutil

    from movie_tags.models.bundle import HEAD_CARD, OUTSIDE, THRESHOLDS, read_bundle, write_card
    from movie_tags.models.heads import LinearHead, write_head

    shutil.copytree(bundle, folder)
    before = read_bundle(bundle)
    head = LinearHead(
        np.zeros((32, 5), np.float32), np.array([2, -6, -6, -6, -6], np.float32), (16,), ("plain", "unit")
    )
    write_head(str(folder / "head.npz"), head)
    sure = {"intercept": 1.0, "weights": {"best": 1.0, "mean": 0.5}}
    said = {HEAD_CARD: {**head.to_card(), OUTSIDE: True}, THRESHOLDS: dict.fromkeys(before.vocabulary, 0.5)}
    write_card(str(folder), {**before.card, **said, "film_confidence": sure})
    return str(folder)
