"""Several bundles as one model: their tags united."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from movie_tags.models import DEFAULT, resolve
from movie_tags.models.bundle import HEAD_CARD, BundleError, ModelBundle, read_bundle
from movie_tags.models.heads import LinearHead, read_head
from movie_tags.models.loading import Prediction, check_outputs, load_model, predict
from movie_tags.models.runtimes import Model
from movie_tags.records import TITLE_CARD

Fitted = tuple[np.ndarray, ...]
"""A picture as each bundle of an ensemble takes it, uint8 RGB, in the order of the bundles."""


@dataclass(frozen=True)
class Ensemble:
    """One bundle or more, in order of their names; no tag is in two of them.

    Attributes:
        bundles: the bundles.
    """

    bundles: tuple[ModelBundle, ...]

    @property
    def name(self) -> str:
        return " + ".join(bundle.name for bundle in self.bundles)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """All tags, in the order of `predict_with`'s probabilities."""
        return tuple(tag for bundle in self.bundles for tag in bundle.vocabulary)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """By tag, the probability from which the tag is believed on a key frame, in [0, 1]."""
        return tuple(threshold for bundle in self.bundles for threshold in bundle.thresholds)

    @property
    def watch(self) -> dict[str, dict]:
        """By tag, what the cards' "watch" says: a threshold, and at that recall, its interval and stills an hour."""
        return {tag: dict(said) for bundle in self.bundles for tag, said in bundle.card.get("watch", {}).items()}

    @property
    def fingerprint(self) -> str:
        """The bundle's own; of several, SHA-256 of theirs in order, in hex."""
        if len(self.bundles) == 1:
            return self.bundles[0].fingerprint
        return hashlib.sha256("".join(bundle.fingerprint for bundle in self.bundles).encode()).hexdigest()

    @property
    def features_fingerprint(self) -> str | None:
        """Of all that decides what `predict_with` gives as features; None where a bundle gives none, or has no head."""
        found = [bundle.features_fingerprint for bundle in self.bundles if HEAD_CARD in bundle.card]
        known = [one for one in found if one is not None]
        return " ".join(known) if len(known) == len(self.bundles) else None

    def heads(self) -> tuple[LinearHead, ...]:
        """The bundles' heads, in order.

        Raises:
            BundleError: one cannot be read, or has none.
        """
        found = [read_head(bundle) for bundle in self.bundles]
        heads = tuple(head for head in found if head is not None)
        if len(heads) != len(found):
            raise BundleError(f"{self.name}: has no head that takes kept features")
        return heads

    def fitted(self, pixels: np.ndarray) -> Fitted:
        """A picture, uint8 RGB [H, W, 3], as each bundle takes it."""
        return tuple(bundle.fitted(pixels) for bundle in self.bundles)

    def without_cards(self) -> Ensemble:
        """The same, less what its bundles' cards say besides what running them takes."""
        needed = (HEAD_CARD,)
        cards = [{name: bundle.card[name] for name in needed if name in bundle.card} for bundle in self.bundles]
        return Ensemble(tuple(replace(bundle, card=card) for bundle, card in zip(self.bundles, cards, strict=True)))

    def load(self, threads: int = 1) -> tuple[Model, ...]:
        """Load each bundle's model (`load_model`)."""
        return tuple(load_model(bundle, threads) for bundle in self.bundles)

    def check(self, threads: int = 1) -> None:
        """Run each bundle on one grey picture.

        Raises:
            BundleError: one does not run, or does not give one probability for each line of its vocabulary.
        """
        for bundle in self.bundles:
            check_outputs(bundle, threads)


def unite(bundles: Sequence[ModelBundle]) -> Ensemble:
    """Bundles as one model; the order in which they are given does not matter.

    Raises:
        BundleError: two of them claim a tag.
    """
    ordered = sorted(bundles, key=lambda bundle: (bundle.name, bundle.fingerprint))
    owner: dict[str, ModelBundle] = {}
    for bundle in ordered:
        shared = [tag for tag in bundle.vocabulary if tag in owner]
        if shared:
            tags = ", ".join(shared[:3]) + (" …" if len(shared) > 3 else "")
            raise BundleError(
                f"{owner[shared[0]].uri} and {bundle.uri} both claim {tags}: a tag must come from one model only"
            )
        owner |= dict.fromkeys(bundle.vocabulary, bundle)
    return Ensemble(tuple(ordered))


def read_models(models: str | os.PathLike | ModelBundle | Ensemble | Sequence[str] = DEFAULT) -> Ensemble:
    """Read and check the bundles that a user names, each a name or a folder (`resolve`).

    Raises:
        UserError: one cannot be built or is no usable bundle, or two of them claim a tag.
    """
    if isinstance(models, Ensemble):
        return models
    if isinstance(models, ModelBundle):
        return unite([models])
    named = [models] if isinstance(models, str | os.PathLike) else models
    return unite([read_bundle(resolve(name)) for name in named])


def predict_with(models: Sequence[Model], pictures: Sequence[Fitted]) -> list[Prediction]:
    """What models say together of each picture.

    Args:
        models: of an ensemble's bundles, in their order.
        pictures: as each of them takes them.

    Returns:
        Probabilities float32 [all tags], or the first model's reason why it has none.
    """
    said = [predict(model, [picture[i] for picture in pictures]) for i, model in enumerate(models)]
    return [_united(answers) for answers in zip(*said, strict=True)]


def _united(answers: Sequence[Prediction]) -> Prediction:
    probabilities = [answer.probabilities for answer in answers if answer.probabilities is not None]
    if len(probabilities) == len(answers):
        features = [answer.features for answer in answers if answer.features is not None]
        seen = np.concatenate(features) if len(features) == len(answers) else None
        return Prediction(np.concatenate(probabilities), features=seen)
    return next(answer for answer in answers if answer.probabilities is None)


def say_again(heads: Sequence[LinearHead], features: np.ndarray) -> np.ndarray:
    """What heads say of kept features, as `predict_with` gives them: float32 [N, F] -> probabilities float32 [N, tags].

    Raises:
        ValueError: the features are not as wide as the heads take them.
    """
    widths = [sum(head.widths) for head in heads]
    if features.shape[1] != sum(widths):
        raise ValueError(f"{features.shape[1]} features where the heads take {sum(widths)}")
    parts = np.split(features, np.cumsum(widths)[:-1], 1)
    return np.concatenate([head(part) for head, part in zip(heads, parts, strict=True)], 1)


def film_vocabulary(models: Ensemble) -> tuple[str, ...]:
    """The tags that films may have: all outputs but that for title cards, which is none."""
    return tuple(tag for tag in models.vocabulary if tag != TITLE_CARD)
