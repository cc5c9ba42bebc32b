"""How often a tag is believed after learning: as often as before, or less where people rejected it.

People speak where a model errs, and rarely where it is right to be silent, so that their labels say which of two key
frames is the likelier one to show a tag, but not how many do. As in any case-control study the slopes can be learned
from them, and the intercept cannot (King and Zeng 2001): it is set by key frames of which nothing need be known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PULL = 10
"""A tag's own offset is drawn to that of all together as by so many of its key frames: few say little."""
MARGIN = 0.01
"""How far, in logits, an offset keeps off where another key frame is believed: heads are kept in half precision."""
USUAL, IMAGINED = 0.5, 10
"""The share of right ones among the films that have a tag at which it is believed as often as before, and how many
films are imagined to have that share: people who reject what is wrong do not always confirm what is right."""


def shares(right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """How often a tag is to be believed, of how often it was, in (0, 1].

    Args:
        right, wrong: films that have a tag by the model, and of which people say that it applies, or not, int [tags].
    """
    found = (right + USUAL * IMAGINED) / (right + wrong + IMAGINED)
    return np.minimum(1.0, found / USUAL)


def offsets(
    before: np.ndarray, after: np.ndarray, cuts: np.ndarray, share: np.ndarray, tags: Sequence[int]
) -> np.ndarray:
    """What to add to logits after learning, float [tags]: as little as lets a tag be believed on a share of as many key
    frames as before; 0 for others than `tags`.

    Args:
        before, after: logits of key frames by heads that did not learn from their films, float [N, tags].
        cuts: the logit from which each tag is believed, float [tags].
        share: by tag, in (0, 1].
        tags: places of tags that have learned.
    """
    found = np.zeros(len(cuts))
    if not len(tags) or not len(before):
        return found
    lacking = cuts - after  # what a key frame lacks to be believed
    number = (before >= cuts).sum(0)
    together = offset_for(lacking[:, tags], number[tags].sum(), 0.0)
    for tag in tags:
        own = offset_for(lacking[:, tag], round(number[tag] * share[tag]), together)
        found[tag] = (number[tag] * own + PULL * together) / (number[tag] + PULL)
    return found


def offset_for(lacking: np.ndarray, number: int, near: float) -> float:
    """The offset at which so many are believed that lies nearest to another, and a little off the next ones."""
    order = np.concatenate([[-np.inf], np.sort(lacking, axis=None), [np.inf]])
    low, high = float(order[number]), float(order[number + 1])
    margin = min(MARGIN, (high - low) / 2)
    return min(max(near, low + margin), high - margin)
