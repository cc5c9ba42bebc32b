"""What tuning a network leaves for the recipe of its head: its last layer, and what it says of pictures left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from movie_tags.errors import UserError
from movie_tags.training.data.dataset import Entry
from movie_tags.training.heads.multilabel import MultiLabelHead

FILE = "compact-tuned.npz"


@dataclass(frozen=True)
class Tuned:
    """A network's last layer, and its logits.

    Attributes:
        head: the last layer, learned with the network from all pictures.
        logits: of each picture by a network that saw nothing of its film or collection, float32 [N, tags].
        vocabulary: the tags, in order.
    """

    head: MultiLabelHead
    logits: np.ndarray
    vocabulary: tuple[str, ...]

    def write(self, work: Path, entries: Sequence[Entry]) -> None:
        """Keep it in a folder; `entries` are the pictures."""
        np.savez_compressed(
            work / FILE,
            keys=np.array([entry.key for entry in entries]),
            logits=self.logits.astype(np.float16),
            kernel=self.head.kernel,
            bias=self.head.bias,
            vocabulary=np.array(self.vocabulary),
        )

    @classmethod
    def read(cls, work: Path, entries: Sequence[Entry], vocabulary: tuple[str, ...]) -> Tuned:
        """What was kept of these pictures and tags.

        Raises:
            UserError: it is not there, or of others.
        """
        path, remedy = work / FILE, f"tune the network first: python -m recipes.tune_compact --work {work}"
        if not path.exists():
            raise UserError(f"{path} is not there; {remedy}")
        with np.load(path, allow_pickle=False) as kept:
            of = {str(key): row for key, row in zip(kept["keys"], kept["logits"], strict=True)}
            if tuple(kept["vocabulary"].tolist()) != vocabulary or any(entry.key not in of for entry in entries):
                raise UserError(f"{path} is of other pictures or tags; {remedy}")
            head = MultiLabelHead(kept["kernel"], kept["bias"])
            return cls(
                head,
                np.array([of[entry.key] for entry in entries], np.float32).reshape(-1, len(vocabulary)),
                vocabulary,
            )
