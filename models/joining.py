"""Puts a bundle together from its sources. TensorFlow is imported with this module, which has a process to itself.

python -m movie_tags.models.joining SOURCES FOLDER
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import tensorflow as tf

from movie_tags.errors import UserError
from movie_tags.models.backbones.efficientnet_lite import in_half
from movie_tags.models.backbones.frozen import FrozenNetwork
from movie_tags.models.backbones.registry import BACKBONES
from movie_tags.models.bundle import HEAD, write_card, write_vocabulary
from movie_tags.models.heads import write_head
from movie_tags.models.runtimes.saved_model import FEATURES, PROBABILITIES
from movie_tags.models.serving import GraphHead, PictureServer
from movie_tags.models.sources import MEAN, Source, read_source

CARD = "CARD.md"


class Joined(tf.Module):
    """A head on its backbones: canvases uint8 [N, H, W, 3] -> probabilities and features."""

    def __init__(self, source: Source):
        """
        Raises:
            UserError: a backbone's weights are not there.
        """
        super().__init__()
        self.head = GraphHead(source.head)
        self.backbones = {name: backbone_of(name) for name in dict.fromkeys(part.backbone for part in source.inputs)}
        self.inputs, self.mean = source.inputs, source.combine == MEAN

    def __call__(self, canvas: tf.Tensor) -> dict[str, tf.Tensor]:
        found, left = [], 0
        for part in self.inputs:
            height, width = part.view.size
            pictures = tf.cast(canvas[:, :height, left : left + width], tf.float32)
            found.append(self.backbones[part.backbone](pictures))
            left += width
        parts = [tf.add_n(found) / len(found)] if self.mean else found
        return {PROBABILITIES: self.head(parts), FEATURES: tf.concat(parts, 1)}


def backbone_of(name: str) -> FrozenNetwork:
    """A registered backbone, loaded: float32 RGB [N, h, w, 3] in 0 to 255 -> features float32 [N, width].

    Raises:
        UserError: its weights are not there.
    """
    return BACKBONES[name].load()


def join(source: Source, folder: Path) -> None:
    """Write the bundle that a head and its backbones make into a new folder.

    Raises:
        UserError: a backbone's weights are not there.
    """
    half = all(BACKBONES[part.backbone].half for part in source.inputs)
    if half:
        kernel, bias = in_half(source.head.kernel), in_half(source.head.bias)
        source = replace(source, head=replace(source.head, kernel=kernel, bias=bias))
    joined = Joined(source)
    PictureServer(joined, [part.view for part in source.inputs], joined).write(folder, half)
    write_head(str(folder / HEAD), source.head)
    write_vocabulary(str(folder), source.vocabulary)
    versions = {name: version(name) for name in ("tensorflow", "keras", "numpy")}
    write_card(str(folder), {**source.card, "versions": versions})


def main(sources: str, folder: str) -> int:
    """Put a bundle together; returns the exit status."""
    try:
        join(read_source(sources), Path(folder))
        card = Path(sources, CARD)
        if card.exists():
            shutil.copyfile(card, Path(folder, CARD))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)  # TensorFlow may crash while the interpreter takes it down
