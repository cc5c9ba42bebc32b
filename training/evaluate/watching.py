"""Watching for a tag: how low to look so as to miss little of it, and how much there is then to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from movie_tags.training.evaluate.accuracy import share_interval

if TYPE_CHECKING:
    from movie_tags.training.heads.multilabel import Labels

RECALL = 0.9
LEAST_POSITIVES = 10
"""Of a tag with fewer positive frames nobody can say how much is missed."""

KEY_FRAMES_PER_HOUR = 1100
"""Of film: 545 key frames of the shared films and trailers in half an hour of them."""


@dataclass(frozen=True)
class Watch:
    """A threshold at which little of a tag is missed.

    Attributes:
        threshold: a key frame is to be looked at from this probability on.
        recall: the share of frames with the tag that are, of frames left out.
        interval: of the recall, 90 %, by Clopper and Pearson.
        stills_per_hour: how many key frames an hour of film has at or above the threshold.
    """

    threshold: float
    recall: float
    interval: tuple[float, float]
    stills_per_hour: int

    def card(self) -> dict:
        """What `model.json` says of it, under "watch"."""
        return {
            "threshold": self.threshold,
            "recall": self.recall,
            "interval": list(self.interval),
            "stills_per_hour": self.stills_per_hour,
        }


def watch_for(probabilities: np.ndarray, applies: np.ndarray, known: np.ndarray) -> Watch | None:
    """The highest threshold at which RECALL of a tag's frames are looked at; None of too few.

    Args:
        probabilities: of the tag, by a head that did not see the frames, float [N].
        applies: whether it plainly applies, [N].
        known: bool [N], False where it may apply.
    """
    positive = np.sort(probabilities[known & (applies > 0)])[::-1]
    if len(positive) < LEAST_POSITIVES:
        return None
    found = int(np.ceil(RECALL * len(positive) - 1e-9))
    threshold = np.floor(positive[found - 1] * 1e6) / 1e6
    found = int((positive >= threshold).sum())
    recall = found / len(positive)
    share = float((probabilities >= threshold).mean())
    low, high = share_interval(found, len(positive))
    return Watch(float(threshold), round(recall, 4), (low, high), round(share * KEY_FRAMES_PER_HOUR))


def watch_all(probabilities: np.ndarray, labels: Labels, vocabulary: Sequence[str]) -> Mapping[str, Watch]:
    """`watch_for` each tag with enough positive frames, by the frames of films.

    Args:
        probabilities: by heads that did not see the pictures, float [N, tags].
        labels: of the same pictures.
        vocabulary: the tags.
    """
    rows = np.flatnonzero(labels.frames)
    found = {
        tag: watch_for(probabilities[rows, i], labels.applies[rows, i], ~labels.maybe[rows, i])
        for i, tag in enumerate(vocabulary)
    }
    return {tag: watch for tag, watch in found.items() if watch}
