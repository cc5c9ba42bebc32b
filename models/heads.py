"""Heads: what turns a backbone's features into probabilities, in numpy: the same numbers as the bundle's own model.

A head applied to kept features says what the bundle says, without a picture; `movie_tags.models.joining` puts the same
head into the bundle's graph.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from movie_tags import storage
from movie_tags.models.bundle import HEAD, HEAD_CARD, BundleError, ModelBundle

PLAIN, ROOT4, UNIT = "plain", "root4", "unit"
"""How a head takes features: as they are; their fourth root, 0 for what is below 0; divided by the root mean square of
those of the same backbone."""
SCALES = (PLAIN, ROOT4, UNIT)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The logistic function, without overflow."""
    return np.exp(-np.logaddexp(0, -logits))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Exponentials over their sum, along the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda values: values,
    "sigmoid": sigmoid,
    "softmax": softmax,
}


def scaled(features: np.ndarray, scale: str) -> np.ndarray:
    """One backbone's features, float [N, w], in one of SCALES."""
    if scale == ROOT4:
        return np.sqrt(np.sqrt(np.maximum(features, 0)))
    if scale == UNIT:
        return features / np.maximum(np.sqrt(np.square(features).mean(1, keepdims=True)), 1e-6)
    return features


def scale_parts(parts: Sequence[np.ndarray], scales: Sequence[str]) -> np.ndarray:
    """Features as a head takes them: all parts in the first scale, then all in the second …

    Args:
        parts: of each backbone float [N, w].
        scales: of SCALES.

    Returns:
        Float [N, width of the head's kernel].
    """
    return np.concatenate([scaled(part, scale) for scale in scales for part in parts], 1)


@dataclass(frozen=True)
class LinearHead:
    """A linear layer on scaled features: activation(scaled(features) · kernel + bias).

    Attributes:
        kernel: float32 [width, tags].
        bias: float32 [tags].
        widths: how many features each backbone gives, in order.
        scales: of SCALES; see `scale_parts`.
        activation: of ACTIVATIONS.
        relu: whether logits below 0 are taken for 0, as the paper writes (equation 1).
    """

    kernel: np.ndarray
    bias: np.ndarray
    widths: tuple[int, ...]
    scales: tuple[str, ...] = (PLAIN,)
    activation: str = "sigmoid"
    relu: bool = False

    def __post_init__(self) -> None:
        """
        Raises:
            ValueError: its parts do not go together.
        """
        rows = sum(self.widths) * len(self.scales)
        if self.kernel.ndim != 2 or len(self.kernel) != rows or self.bias.shape != self.kernel.shape[1:]:
            raise ValueError(
                f"a kernel {list(self.kernel.shape)} and a bias {list(self.bias.shape)} for {rows} scaled features"
            )
        if not set(self.scales) <= set(SCALES) or self.activation not in ACTIVATIONS:
            raise ValueError(f"scales are {', '.join(SCALES)}, activations {', '.join(ACTIVATIONS)}")

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Features as the bundle gives them, float [N, sum of widths] -> probabilities float32 [N, tags]."""
        logits = self.scaled(features) @ self.kernel + self.bias
        return ACTIVATIONS[self.activation](np.maximum(logits, 0) if self.relu else logits).astype(np.float32)

    def scaled(self, features: np.ndarray) -> np.ndarray:
        """Features as the bundle gives them, float [N, sum of widths], as the kernel takes them: float32 [N, width]."""
        parts = np.split(np.asarray(features, np.float32), np.cumsum(self.widths)[:-1], 1)
        return scale_parts(parts, self.scales)

    def to_card(self) -> dict:
        """What HEAD_CARD says of it."""
        said = {"widths": list(self.widths), "scales": list(self.scales), "activation": self.activation}
        return {**said, "relu": True} if self.relu else said


def read_head(bundle: ModelBundle) -> LinearHead | None:
    """A bundle's head; None where it has none beside its model, as imported classifiers.

    Raises:
        BundleError: it cannot be read.
    """
    return head_at(bundle.uri, bundle.card) if HEAD_CARD in bundle.card else None


def head_at(uri: str, card: dict) -> LinearHead:
    """The head in a bundle's folder, whose `model.json` is `card`.

    Raises:
        BundleError: it cannot be read.
    """
    path, said = storage.join(uri, HEAD), card.get(HEAD_CARD, {})
    try:
        kernel, bias = kernel_and_bias(storage.read_bytes(path))
        return LinearHead(
            kernel,
            bias,
            tuple(said["widths"]),
            tuple(said["scales"]),
            str(said["activation"]),
            bool(said.get("relu", False)),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{path}: no head that goes with its {HEAD_CARD} ({error})") from error


def kernel_and_bias(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The arrays in the bytes of a HEAD, float32.

    Raises:
        KeyError, ValueError: they are not there.
    """
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return np.asarray(arrays["kernel"], np.float32), np.asarray(arrays["bias"], np.float32)


def write_head(path: str, head: LinearHead) -> None:
    """Write a head's arrays, `kernel` and `bias`, as .npz; local or remote."""
    data = io.BytesIO()
    np.savez_compressed(data, kernel=head.kernel, bias=head.bias)
    storage.write_bytes(path, data.getvalue())
