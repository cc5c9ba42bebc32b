"""Words on embeddings: the head that tells tags or any words by a text model, for pictures whose embeddings are known.

The head is linear, so words need no picture to be opened: of SigLIP sigmoid(scale · cos(picture, words) + bias) (Zhai
et al. 2023, equation 1); of CLIP a softmax of two, the words and the mean of neutral prompts (as WinCLIP does: Jeong et
al. 2023, section 3.1), which is sigmoid(scale · (cos(picture, words) - cos(picture, neutral))).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from movie_tags.models.bundle import BundleError
from movie_tags.models.clip.hub_folder import CLIP, SIGLIP
from movie_tags.models.clip.prompts import NEUTRAL, Prompts
from movie_tags.models.clip.text_encoder import AGREEMENT, TextEncoder, text_encoder_at
from movie_tags.models.heads import LinearHead
from movie_tags.models.runtimes.onnx_model import unit_length

DEFAULT_THRESHOLDS = {CLIP: 0.5, SIGLIP: 0.1}
"""From which words are believed of a picture, where no one says: a guess, for no published weights were tried."""


@dataclass(frozen=True)
class Words:
    """A text model with what makes probabilities of its words.

    Attributes:
        encoder: the text model.
        family: CLIP or SIGLIP.
        scale, bias: of the cosine of a picture and a text.
        neutral: float32 [width], of length 1, what CLIP's words are held against; None of a SigLIP.
    """

    encoder: TextEncoder
    family: str
    scale: float
    bias: float
    neutral: np.ndarray | None

    @property
    def threshold(self) -> float:
        """The probability from which words are believed of a picture, in [0, 1]."""
        return DEFAULT_THRESHOLDS[self.family]

    def head(self, prompts: Prompts) -> LinearHead:
        """The head that tells tags by their prompts; a tag is the mean of its prompts' embeddings.

        Raises:
            BundleError: the text model does not take its tokenizer's tokens.
        """
        rows = unit_length(np.stack([self.encoder(texts).mean(0) for texts in prompts.values()]))
        if self.neutral is not None:
            rows = rows - self.neutral
        kernel = (self.scale * rows.T).astype(np.float32)
        return LinearHead(kernel, np.full(len(prompts), self.bias, np.float32), (len(kernel),))

    def to_card(self) -> dict:
        """What AGREEMENT says of it."""
        said = {"family": self.family, "scale": self.scale, "bias": self.bias}
        return said if self.neutral is None else {**said, "neutral": [round(float(x), 8) for x in self.neutral]}


def words_of(encoder: TextEncoder, family: str, scale: float, bias: float) -> Words:
    """The words of a text model whose agreement with pictures is known.

    Raises:
        BundleError: the text model does not take its tokenizer's tokens.
    """
    neutral = unit_length(encoder(NEUTRAL).mean(0, keepdims=True))[0] if family == CLIP else None
    return Words(encoder, family, scale, bias, neutral)


def load_words(uri: str, card: Mapping, threads: int = 1) -> Words:
    """The words of a bundle that knows them; nothing of its image model is read.

    Args:
        uri: the bundle's folder, local or remote.
        card: its `model.json`.
        threads: for one operation, in this process.

    Raises:
        BundleError: it knows none, or they cannot be read.
    """
    encoder = text_encoder_at(uri, card, threads)
    try:
        said = card[AGREEMENT]
        neutral = np.array(said["neutral"], np.float32) if said["family"] == CLIP else None
        return Words(encoder, str(said["family"]), float(said["scale"]), float(said["bias"]), neutral)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(
            f"{uri}: does not say how its words go with its pictures; import the pair anew (model import --clip)"
        ) from error
