"""Watching out: tags that a key frame may show, from low thresholds on, for a person to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from movie_tags.records import UNIT, WATCHED, TagProbabilities, TagProbability


def watch_thresholds(cards: Mapping[str, Mapping]) -> dict[str, float]:
    """The thresholds, in [0, 1], of those of WATCHED of which a model's card knows one (`Ensemble.watch`)."""
    return {tag: float(cards[tag]["threshold"]) for tag in WATCHED if "threshold" in cards.get(tag, {})}


def to_watch(
    millionths: np.ndarray, vocabulary: Sequence[str], thresholds: Mapping[str, float], top_k: TagProbabilities
) -> TagProbabilities:
    """The tags that reach their thresholds and are not among the top k, the most probable first.

    Args:
        millionths: the probabilities in whole millionths, int64 [tags].
        vocabulary: the tags in the order of the outputs.
        thresholds: of tags, in [0, 1]; others are passed over.
        top_k: what the key frame says anyway.
    """
    said = {one.tag for one in top_k}
    found = [
        TagProbability.of_millionths(tag, int(value))
        for tag, value in zip(vocabulary, millionths, strict=True)
        if tag in thresholds and tag not in said and value >= round(thresholds[tag] * UNIT)
    ]
    return tuple(sorted(found, key=lambda one: -one.probability))
