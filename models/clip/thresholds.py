"""Thresholds of a pair's tags, from a few example pictures of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from movie_tags import storage
from movie_tags.errors import UserError

LEAST = 3
"""A tag with fewer examples keeps the default."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def best_thresholds(
    probabilities: np.ndarray, tags: Sequence[str], vocabulary: Sequence[str], default: float
) -> dict[str, float]:
    """By tag, the threshold that parts its examples from those of other tags with the highest F1, rounded to 0.0001.

    Args:
        probabilities: of the examples, float [N, tags].
        tags: that each example shows.
        vocabulary: the tags, in the order of the columns.
        default: of tags with fewer than LEAST examples.
    """
    shown = np.array(tags)
    return {
        tag: _best(probabilities[:, i], shown == tag) if (shown == tag).sum() >= LEAST else default
        for i, tag in enumerate(vocabulary)
    }


def _best(found: np.ndarray, right: np.ndarray) -> float:
    """Half-way between two neighbouring probabilities, so that small differences of machines decide nothing."""
    order = np.argsort(-found, kind="stable")
    hits = np.cumsum(right[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + right.sum())
    last = int(f1.argmax())
    below = found[order[last + 1]] if last + 1 < len(order) else 0.0
    return round(float(found[order[last]] + below) / 2, 4)


def read_examples(folder: str, prompts: Mapping[str, object]) -> list[tuple[str, np.ndarray]]:
    """The pictures of folders TAG/*.jpg, each with its tag; `/` and spaces of a tag may be `_` in its folder's name.

    Returns:
        (tag, uint8 RGB [H, W, 3]) each.

    Raises:
        UserError: there is none of the vocabulary's tags, or a file is no picture.
    """
    tag_of = {name: tag for tag in prompts for name in (tag, tag.replace("/", "_").replace(" ", "_").rstrip("."))}
    found = []
    for path in sorted(storage.list_files(folder)):
        name = path.replace("\\", "/").split("/")[-2]
        if name in tag_of and path.lower().endswith(SUFFIXES):
            pixels = cv2.imdecode(np.frombuffer(storage.read_bytes(path), np.uint8), cv2.IMREAD_COLOR)
            if pixels is None:
                raise UserError(f"--examples: {path} is no picture that can be read; remove it")
            found.append((tag_of[name], cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)))
    if not found:
        raise UserError(f"--examples {folder}: holds no pictures of the form TAG/NAME.jpg of the vocabulary's tags")
    return found
