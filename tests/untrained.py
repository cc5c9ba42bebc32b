"""Bundles of untrained networks: what they say is meaningless, and always the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def write_untrained(folder: Path, vocabulary: Sequence[str], side: int, seed: int, card: dict) -> str:
    """Write the bundle of a small network for pictures of side x side pixels; returns its folder."""
    import keras

    from movie_tags.models.backbones.compact import build_network, embedding_of
    from movie_tags.models.heads import LinearHead
    from movie_tags.models.views import View
    from movie_tags.training.export import write_bundle

    keras.utils.set_random_seed(seed)
    network = build_network(len(vocabulary), stages=((4, 1), (8, 1)), head=16)
    kernel, bias = (weights / 0.05 for weights in network.get_layer("logits").get_weights())
    head = LinearHead(kernel, bias, (16,), activation="softmax")
    body = embedding_of(network)
    write_bundle(folder, body, body, head, tuple(vocabulary), (View("whole", (side, side)),), card)
    return str(folder)
