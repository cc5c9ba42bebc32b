"""Cautions: what about a training's figures should keep a person from trusting the model, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from movie_tags.training.corrected import Corrected
    from movie_tags.training.learning import Learned

FEW = 5
"""Fewer test pictures of a tag than these say nothing of it."""
OFF = 0.15
"""A calibration error above this: probabilities do not mean what they say."""
NAMED = 8
"""Tags that are named; of more, how many they are."""


def cautions(splits: Mapping[str, Mapping], sources: Mapping[str, Iterable[str]], split_by: str) -> list[str]:
    """What should keep a person from trusting a model; nothing where there is nothing.

    Args:
        splits: `training_report.measure`'s results by split.
        sources: of each tag of the vocabulary, the sources of its pictures.
        split_by: "source" or "random".
    """
    test = splits["test"]
    if not test["pictures"]:
        return ["no picture was held out to test with: nothing is known of how good this model is"]
    found = []
    pictures = {tag: row["pictures"] for tag, row in test["per_tag"].items()}
    unseen = [tag for tag, n in pictures.items() if n == 0]
    few = [tag for tag, n in pictures.items() if 0 < n < FEW]
    alone = [tag for tag, names in sources.items() if len(set(names)) == 1]
    if unseen:
        found.append(f"no test picture of {_listed(unseen)}: nothing is known of how good the model is at that")
    if few:
        found.append(f"fewer than {FEW} test pictures of {_listed(few)}: their figures are chance")
    if len({name for names in sources.values() for name in names}) == 1:
        found.append("all pictures come from one source: the model may know its looks rather than the tags")
    elif alone:
        found.append(f"all pictures of {_listed(alone)} come from one source: the model may know its looks instead")
    error = test["expected_calibration_error"]
    if error is not None and error > OFF:
        found.append(f"calibration is off by {error:.2f}: a probability does not mean what it says")
    if split_by == "random":
        found.append("pictures of one source are on both sides of the split: on other sources it will be worse")
    return found


def cautions_of_learning(said: Corrected, learned: Learned) -> list[str]:
    """What should keep a person from trusting a model that has learned from corrections; none where there is nothing.

    Args:
        said: what people have said.
        learned: what the model has learned of it.
    """
    labels, films = said.examples.labels[:, learned.touched], said.examples.films
    judged = {one.tag: one for one in learned.judged}
    chance, unseen, alone, worse = [], [], [], []
    for place, tag in enumerate(learned.touched):
        name = learned.tags[tag]
        own = tag >= learned.known
        if own and len(np.unique(films[labels[:, place] == 1])) == 1:
            alone.append(name)
        if tag not in judged:
            unseen.append(name)
        elif min(said.counts(tag)) < FEW:
            chance.append(name)
        elif judged[tag].after < judged[tag].before and not own:
            worse.append(name)
    found = []
    if unseen:
        found.append(
            f"nothing is known of how good the model is at {_listed(unseen)} now: that takes more key frames "
            "that show it and that do not, of several films"
        )
    if chance:
        found.append(f"fewer than {FEW} key frames that show {_listed(chance)}, or that do not: the figures are chance")
    if alone:
        found.append(f"{_listed(alone)}: marked in one film alone; the model may know its looks rather than the tag")
    if worse:
        found.append(f"on films left out the model is worse at {_listed(worse)} than before")
    return found


def _listed(tags: list[str]) -> str:
    return ", ".join(tags) if len(tags) <= NAMED else f"{', '.join(tags[:NAMED])} and {len(tags) - NAMED} more tags"
