"""Which candidates are kept, one of near-duplicates, and in which split they are: pure decisions of the driver."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from movie_tags.training.data.complete_labels import agreed
from movie_tags.training.data.examples import Candidate

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}

MAX_DISTANCE = 4
"""Pictures whose 64-bit perceptual hashes differ in at most so many bits are near-duplicates."""


def near_duplicates(hashes: Sequence[int], max_distance: int = MAX_DISTANCE) -> list[int]:
    """For each 64-bit hash the first hash it is near to, directly or through others; its own place where there is none.

    Hashes at most d bits apart agree wholly in at least one of d + 1 bands of bits, so only those are compared.
    """
    values = np.asarray(hashes, np.uint64)
    first = list(range(len(values)))

    def root(i: int) -> int:
        while first[i] != i:
            first[i] = first[first[i]]
            i = first[i]
        return i

    edges = np.linspace(0, 64, max_distance + 2).astype(int)
    for low, high in pairwise(edges):
        bands = (values >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(bands, kind="stable")
        starts = np.flatnonzero(np.diff(bands[order])) + 1
        for group in np.split(order, starts):
            for at in range(len(group) - 1):
                distance = np.bitwise_count(values[group[at + 1 :]] ^ values[group[at]])
                for other in group[at + 1 :][distance <= max_distance]:
                    a, b = root(int(group[at])), root(int(other))
                    first[max(a, b)] = min(a, b)
    return [root(i) for i in range(len(values))]


def merge(
    candidates: Iterable[Candidate], max_distance: int = MAX_DISTANCE
) -> tuple[list[Candidate], dict[str, str], dict[str, str]]:
    """Keep one of each group of near-duplicates, with the tags of all of them.

    Where all are labelled completely, a tag applies that all say, and what only some say may. Otherwise what one of
    them has for certain is no longer a maybe, and one that is labelled completely makes the group so, unless others
    have tags that it does not know of.

    Returns:
        (the candidates kept, in order of id; then {id of one left out: id of the one kept in its place}: of those whose
        bytes are the same, as when a picture stands under several tags, and of those that only look the same)
    """
    items = sorted(candidates, key=lambda item: item.id)
    first = near_duplicates([item.hash for item in items], max_distance)
    groups: dict[int, list[Candidate]] = defaultdict(list)
    for item, place in zip(items, first, strict=True):
        groups[place].append(item)
    kept = [_joined(items[place], group) for place, group in sorted(groups.items())]
    seen: dict[str, str] = {}
    same, near = {}, {}
    for item, place in zip(items, first, strict=True):
        if item.key in seen:
            same[item.id] = items[place].id
        elif item.id != items[place].id:
            near[item.id] = items[place].id
        seen[item.key] = item.id
    return kept, same, near


def _joined(kept: Candidate, group: Sequence[Candidate]) -> Candidate:
    film = any(item.film for item in group)
    complete = [item for item in group if item.complete]
    if len(complete) == len(group):
        plain, unsure = agreed([(frozenset(item.tags), frozenset(item.maybe)) for item in group])
        return replace(kept, tags=tuple(sorted(plain)), maybe=tuple(sorted(unsure)), film=film)
    tags = {tag for item in group for tag in item.tags}
    maybe = {tag for item in group for tag in item.maybe} - tags
    known = all(tags <= {*item.tags, *item.maybe} for item in complete)
    whole = bool(complete) and known
    return replace(kept, tags=tuple(sorted(tags)), maybe=tuple(sorted(maybe)), complete=whole, film=film)


def split_by_source(items: Sequence[Candidate], previous: Mapping[str, str] | None = None) -> dict[str, str]:
    """Assign whole sources to splits, as near to 80/10/10 as they allow: {source: split}.

    Sources come in an order that depends on their names alone. One goes to the smaller of the held-out splits if it
    fits there and leaves at least half of each of its tags' pictures to learn from; otherwise to training.

    Args:
        items: the pictures.
        previous: splits that are settled already, from an earlier data set.
    """
    counts: dict[str, Counter] = defaultdict(Counter)
    sizes: Counter = Counter()
    for item in items:
        sizes[item.source] += 1
        counts[item.source].update(item.tags)
    left = sum(counts.values(), Counter())
    half = {tag: n / 2 for tag, n in left.items()}
    chosen = {source: split for source, split in (previous or {}).items() if source in sizes}
    room = {split: SHARES[split] * len(items) for split in ("test", "validation")}
    for source, split in chosen.items():
        if split != "train":
            room[split] -= sizes[source]
            left -= counts[source]
    for source in sorted(set(sizes) - set(chosen), key=lambda name: hashlib.sha256(name.encode()).digest()):
        split = max(room, key=lambda name: room[name])
        fits = sizes[source] <= room[split] and all(left[tag] - n >= half[tag] for tag, n in counts[source].items())
        chosen[source] = split if fits else "train"
        if fits:
            room[split] -= sizes[source]
            left -= counts[source]
    return chosen


def split_at_random(key: str) -> str:
    """The split of a picture by its key alone, so that it never changes when others join it."""
    draw = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 16**8
    return "train" if draw < SHARES["train"] else "validation" if draw < 1 - SHARES["test"] else "test"
