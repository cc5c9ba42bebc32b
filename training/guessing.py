"""A tag's own first guess: a head of one tag, fitted in a moment from a few marked pictures before all is learned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from movie_tags.models.heads import LinearHead, sigmoid
from movie_tags.training.corrected import WEAK
from movie_tags.training.heads.adapt import NEW_PENALTY, Examples, adapt, extended


def first_guess(
    head: LinearHead, yes: np.ndarray, no: np.ndarray, others: np.ndarray, asked: np.ndarray
) -> tuple[np.ndarray, float]:
    """How probable a tag is, as `learn` would find it with these examples alone.

    Args:
        head: of the model: how it takes features.
        yes, no: features, float32 [N, F], of pictures that show the tag, and that do not.
        others: of pictures of which nobody says it: weak negatives.
        asked: of pictures that are asked about.

    Returns:
        Probabilities, float32 [pictures asked about]; and the one halfway, by log-odds, between those that show the tag
        and those that do not.
    """
    features = np.concatenate([yes, no, others])
    labels = np.repeat([1.0, 0.0, 0.0], [len(yes), len(no), len(others)])
    weights = np.repeat([1.0, 1.0, WEAK], [len(yes), len(no), len(others)])
    examples = Examples(features, labels[:, None], weights[:, None], np.arange(len(features)))
    nothing = replace(head, kernel=head.kernel[:, :0], bias=head.bias[:0], activation="sigmoid", relu=False)
    fitted = replace(adapt(extended(nothing, 1), examples, NEW_PENALTY), activation="none")
    logits = fitted(features)[:, 0]
    halfway = np.mean([logits[labels == kind].mean() for kind in (0, 1) if (labels == kind).any()])
    return sigmoid(fitted(asked)[:, 0]), float(sigmoid(halfway))
