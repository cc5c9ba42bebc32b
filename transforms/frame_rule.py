"""What a key frame's probabilities make of it: its most probable tags, and those of them that count (section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from movie_tags.models.ensemble import Ensemble
from movie_tags.records import TITLE_CARD, UNIT, KeyFrame, TagProbabilities, TagProbability
from movie_tags.transforms.kinds import is_evidence, with_card
from movie_tags.transforms.watched import to_watch, watch_thresholds


def in_millionths(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities, float, as whole millionths, int64, of which sums are exact."""
    return np.rint(np.asarray(probabilities, np.float64) * UNIT).astype(np.int64)


def top_tags(millionths: np.ndarray, vocabulary: Sequence[str], k: int) -> TagProbabilities:
    """The k most probable tags (section 4.3), the most probable first, ties in the vocabulary's order.

    Args:
        millionths: the probabilities, int64 [tags], as of `in_millionths`.
        vocabulary: the tags in the order of the outputs.
        k: how many; all of them where there are fewer.
    """
    order = np.argsort(-millionths, kind="stable")[:k]
    return tuple(TagProbability.of_millionths(vocabulary[i], int(millionths[i])) for i in order)


def believed(tags: TagProbabilities, thresholds: Mapping[str, float]) -> TagProbabilities:
    """The tags whose probability reaches their threshold, in [0, 1], in the same order."""
    return tuple(one for one in tags if one.millionths >= round(thresholds[one.tag] * UNIT))


@dataclass(frozen=True)
class TaggedFrame:
    """A key frame with all that a model says of it, until the whole film is known.

    Attributes:
        frame: with the tags that count by their own thresholds.
        millionths: the probabilities of all tags, in the order of `film_vocabulary`.
        features: what the backbone saw, quantised; nothing where that is not kept.
    """

    frame: KeyFrame
    millionths: tuple[int, ...] = ()
    features: bytes = b""


@dataclass(frozen=True)
class FrameRule:
    """What a single key frame's probabilities make of it.

    Attributes:
        outputs: the tags, and TITLE_CARD where the model has it, in the order of the probabilities.
        thresholds: of each of them, in 0 to 1.
        top_k: tags of a key frame.
        min_probability: a tag counts from this probability on, in place of its threshold, and on key frames of every
            kind, as the paper has it; None: by its threshold, on pictures.
        watch: the probabilities, in 0 to 1, from which tags to watch out for are kept beyond the top k.
    """

    outputs: tuple[str, ...]
    thresholds: Mapping[str, float]
    top_k: int
    min_probability: float | None = None
    watch: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, models: Ensemble, top_k: int, min_probability: float | None = None) -> FrameRule:
        thresholds = dict(zip(models.vocabulary, models.thresholds, strict=True))
        return cls(models.vocabulary, thresholds, top_k, min_probability, watch_thresholds(models.watch))

    def tagged(self, frame: KeyFrame, probabilities: np.ndarray) -> TaggedFrame:
        """A key frame with its kind and tags, by what the model says of it, float [outputs]."""
        kind, vocabulary = frame.kind, list(self.outputs)
        if TITLE_CARD in vocabulary:
            card = vocabulary.index(TITLE_CARD)
            kind = with_card(kind, float(probabilities[card]), self.thresholds[TITLE_CARD])
            probabilities = np.delete(probabilities, card)
            del vocabulary[card]
        millionths = in_millionths(probabilities)
        top_k = top_tags(millionths, vocabulary, self.top_k)
        watch = to_watch(millionths, vocabulary, self.watch, top_k)
        said = replace(frame, tags=self._counts(top_k, kind), top_k=top_k, kind=kind, watch=watch)
        return TaggedFrame(said, tuple(millionths.tolist()))

    def _counts(self, top_k: TagProbabilities, kind: str) -> TagProbabilities:
        if self.min_probability is not None:
            return believed(top_k, dict.fromkeys(self.outputs, self.min_probability))
        return believed(top_k, self.thresholds) if is_evidence(kind) else ()
