"""Kinds of key frames: which show a picture and which are black or of one colour, and which of them are evidence.

Entropy lets dark noise, fades and logos on black pass. What a model says of such a frame says nothing of the film.
"""

from __future__ import annotations

import cv2
import numpy as np

from movie_tags.records import BLACK, CARD, PICTURE

SHARE = 0.99
"""So many of the pixels decide; a logo, a subtitle or a time code may cover the rest."""

DARK = 20
"""Luma, 0 to 255, up to which a pixel is black. Of 7,329 labelled frames (shared data, frames/) 14 are black by it and
none of them shows a tag; at 24 four more are, of which two do. Of 545 labelled key frames of the shared films 28 are,
none with a plain tag, six of them title cards."""

SPREAD = 12
"""Levels of Y, Cr and Cb in which pixels of one colour may lie: noise of coding. Of the same frames none is by it that
shows a tag; within 32 levels two would be."""


def kind_of(pixels: np.ndarray) -> str:
    """What a key frame shows, as far as its pixels alone tell.

    Args:
        pixels: uint8 RGB [H, W, 3].

    Returns:
        BLACK where SHARE of the pixels are no brighter than DARK, or lie within SPREAD levels in each of Y, Cr and Cb;
        else PICTURE.
    """
    channels = cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb)
    needed = SHARE * channels[..., 0].size
    counts = [cv2.calcHist([channels], [i], None, [256], [0, 256]).ravel().astype(np.int64) for i in range(3)]
    if counts[0][: DARK + 1].sum() >= needed:
        return BLACK
    return BLACK if all(_most_within(one, SPREAD) >= needed for one in counts) else PICTURE


def with_card(kind: str, probability: float, threshold: float) -> str:
    """What a key frame shows when a model has said how probable a title card is: CARD from the threshold on.

    Args:
        kind: by its pixels.
        probability: that it is a title card, in 0 to 1.
        threshold: that the model's bundle gives, in 0 to 1.
    """
    return CARD if kind == PICTURE and probability >= threshold else kind


def is_evidence(kind: str) -> bool:
    """Whether tags count on key frames of a kind, and they speak for or against tags of the film."""
    return kind == PICTURE


def _most_within(counts: np.ndarray, levels: int) -> int:
    """The most that any so many neighbouring levels hold of a histogram, int64 [256]."""
    below = np.concatenate(([0], np.cumsum(counts)))
    return int((below[levels:] - below[:-levels]).max())
