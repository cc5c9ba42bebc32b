"""How good probabilities are: accuracy, calibration, and the figures of each tag, on arrays."""

from __future__ import annotations

import numpy as np
from scipy.stats import binomtest


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float | int | None]:
    """Top-1 and top-3 accuracy; any of a picture's tags counts as right.

    Args:
        probabilities: float [N, tags].
        labels: 1 where a picture has a tag, [N, tags]; pictures with no tag of the vocabulary are passed over.

    Returns:
        {"top1", "top3", "pictures"}; the shares are None where no picture counts.
    """
    p, labels = _labelled(probabilities, labels)
    if not len(p):
        return {"top1": None, "top3": None, "pictures": 0}
    ranked = np.take_along_axis(labels, np.argsort(-p, 1, kind="stable")[:, :3], 1)
    return {
        "top1": round(float(ranked[:, 0].mean()), 4),
        "top3": round(float(ranked.max(1).mean()), 4),
        "pictures": len(p),
    }


def share_interval(right: int, number: int) -> tuple[float, float]:
    """The 90 % interval of a share, `right` of `number` (1 or more), by Clopper and Pearson; three decimals."""
    low, high = binomtest(right, number).proportion_ci(0.9, "exact")
    return round(float(low), 3), round(float(high), 3)


def calibration_bins(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> list[tuple[float, float, int]]:
    """(mean probability of the top tag, share that is right, pictures) of each equally wide bin that is not empty."""
    p, labels = _labelled(probabilities, labels)
    confidence, right = p.max(1, initial=0), labels[np.arange(len(p)), p.argmax(1)]
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        (float(confidence[which == b].mean()), float(right[which == b].mean()), int((which == b).sum()))
        for b in sorted(set(which.tolist()))
    ]


def calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: the mean gap between confidence and accuracy over `calibration_bins`."""
    found = calibration_bins(probabilities, labels, bins)
    return sum(abs(said - right) * n for said, right, n in found) / max(1, sum(n for _, _, n in found))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature to divide logits by at which the labels are most likely (between 0.3 and 4)."""
    logits, labels = _labelled(np.asarray(logits, np.float64), labels)
    if not len(logits):
        return 1.0

    def loss(temperature: float) -> float:
        return -float((labels * log_softmax(logits / temperature)).sum() / labels.sum())

    return float(min(np.geomspace(0.3, 4, 200), key=loss))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """The logarithm of the softmax over the last axis."""
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(log_softmax(logits))


def _labelled(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = labels.sum(1) > 0
    return scores[known], labels[known]
