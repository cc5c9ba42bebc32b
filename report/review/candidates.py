"""Pictures to mark with a tag of one's own: those that look like the marked ones, fit its words, carry related tags, or
are in doubt.

Active learning: a head of the one tag is fitted from what is marked, in a moment, and says which pictures it takes for
the surest (Rocchio's relevance feedback, where a search shows more of what was liked) and of which it knows least
(uncertainty sampling, Lewis and Gale 1994). Each kind in turn, few of one film.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from movie_tags.report.alike import Features, Query
from movie_tags.report.by_words import Described
from movie_tags.report.nearest import unit
from movie_tags.report.phrases import percent
from movie_tags.report.review.live import Catalogue
from movie_tags.results.corrections import APPLIES, said_at
from movie_tags.results.listing import rating
from movie_tags.results.synonyms import meanings

NUMBER, OF_FILM = 20, 3
"""Pictures that are shown at a time; at most so many of one film, while others are left."""
EXAMPLES, NEAREST = 5, 120
"""Marked pictures by whose looks others are found, and how many are."""
RELATED_TAGS, RELATED_FILMS, RELATED_FRAMES = 4, 15, 2
"""Related tags, films of each, and key frames of each film."""
REST_FILMS, REST_FRAMES = 40, 10
"""Films of which nothing is said that stand for all others, and key frames of each."""
Key = tuple[str, float]
"""A key frame: its film's id and its time in seconds."""
Guess = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, float]]
"""Features, float32 [N, F] each, of pictures that show the tag, do not, probably do not, and are asked about -> the
probabilities of the last, float [N], and the one at which it is as good as unknown whether the tag applies."""

Describe = Callable[[str, int], Iterable[Described]]
"""Words, and how many shots at most -> the shots whose key frames fit them, the most probable first."""


@dataclass(frozen=True)
class Candidate:
    """A picture to look at. Attributes: its film's id; its time in seconds; why it is shown."""

    id: str
    time_s: float
    why: str


@dataclass(frozen=True)
class Marked:
    """What people say of a tag: the key frames that show it, those that do not, and the films of which it is said."""

    yes: tuple[Key, ...]
    no: tuple[Key, ...]
    films: frozenset[str]


def marked(tag: str, now: Catalogue) -> Marked:
    """What people say of a tag, of a key frame as `said_at`."""
    yes: list[Key] = []
    no: list[Key] = []
    films = set()
    for film in now.rows.values():
        said = {key: one for key, one in now.verdicts(film).items() if key[0] == tag}
        if said:
            films |= {film.id} if any(one.verdict == APPLIES for one in said.values()) else set()
            for frame in now.results.key_frames(film.id, {}):
                for one in said_at(frame.time_s, said).values():
                    (yes if one.verdict == APPLIES else no).append((film.id, frame.time_s))
    return Marked(tuple(yes), tuple(no), frozenset(films))


def candidates(
    tag: str, now: Catalogue, features: Features, guess: Guess | None, describe: Describe | None = None
) -> list[Candidate]:
    """The next pictures to look at.

    Args:
        tag: any text.
        now: the catalogue.
        features: of its key frames.
        guess: fits a head; None: only looks, words and related tags count.
        describe: where the model that tagged knows words.

    Raises:
        OutputError: something cannot be read.
    """
    said = marked(tag, now)
    said_of = {*said.yes, *said.no}
    related = _related(tag, said.yes, now)
    seen_key = _seen_key(said.yes, now, features)
    seen = replace(said, yes=_seen(said.yes, features, seen_key), no=_seen(said.no, features, seen_key))
    alike = _alike(seen.yes, features, seen_key, NEAREST + len(said_of))
    described = _described(tag, describe, NEAREST + len(said_of)) if describe else {}
    lists = [_as_candidates(found, said_of) for found in (alike, described, related)]
    if guess and seen.yes:
        rest = _rest(said.films, features, seen_key)
        others = dict.fromkeys([*alike, *_seen([*described, *related], features, seen_key), *rest])
        lists = [*_guessed(guess, seen, rest, [key for key in others if key not in said_of], features), *lists]
    return in_turn(lists, NUMBER, OF_FILM)


def _seen_key(yes: Sequence[Key], now: Catalogue, features: Features) -> str:
    """How what is compared was seen: as in the last run, or else as most marked pictures; "" where none has features.

    Features of two backbones are not to be compared, and may be equally wide.
    """
    keys = Counter(key for id, _ in yes if (key := features.seen_key_of(id)))
    last = (now.results.run or {}).get("seen_key", "")
    return last if last in keys else max(keys, key=lambda key: keys[key], default="")


def _seen(keys: Iterable[Key], features: Features, seen_key: str) -> tuple[Key, ...]:
    """The key frames of films that were seen so."""
    return tuple(key for key in keys if seen_key and features.seen_key_of(key[0]) == seen_key)


def _alike(yes: Sequence[Key], features: Features, seen_key: str, number: int) -> dict[Key, str]:
    """The key frames that look like marked ones, with why; the most alike first. All are looked through once."""
    kept = features.vectors_of(set(yes))
    if not kept:
        return {}
    directions = unit(np.stack([kept[key] for key in _spread([key for key in yes if key in kept], EXAMPLES)])).T
    found = features.best(Query(directions, lambda cosines: cosines.max(1), seen_key), number)
    return {(shot.id, shot.time_s): f"looks like those that show it, similarity {score:.2f}" for score, shot in found}


def _described(tag: str, describe: Describe, number: int) -> dict[Key, str]:
    """The key frames that fit the tag's own words, with why; the most probable first."""
    return {
        (shot.id, shot.time_s): f"fits the words {tag}, {percent(shot.probability)}" for shot in describe(tag, number)
    }


def _related(tag: str, yes: Sequence[Key], now: Catalogue) -> dict[Key, str]:
    """The key frames that carry related tags: what the marked ones carry, and what the tag's words mean."""
    carried: Counter[str] = Counter()
    times: dict[str, set[float]] = {}
    for id, time_s in yes:
        times.setdefault(id, set()).add(time_s)
    for id, wanted in times.items():
        carried.update(
            one.tag for frame in now.results.key_frames(id, {}) if frame.time_s in wanted for one in frame.tags
        )
    names = dict.fromkeys([*meanings(tag), *(name for name, _ in carried.most_common())])
    found: dict[Key, str] = {}
    for name in [name for name in names if name != tag][:RELATED_TAGS]:
        for key in _carrying(name, now):
            found.setdefault(key, f"carries {name}, which is related")
    return found


def _carrying(tag: str, now: Catalogue) -> list[Key]:
    """The key frames on which a tag is the most probable, of the films of which it is the surest."""
    films = [(-rating(one), film.id) for film in now.rows.values() for one in film.tags if one.tag == tag]
    found: list[Key] = []
    for _, id in sorted(films)[:RELATED_FILMS]:
        frames = now.results.key_frames(id, {})
        probable = [(one.probability, frame.time_s) for frame in frames for one in frame.tags if one.tag == tag]
        best = sorted((pair for pair in probable if pair[0]), key=lambda pair: -pair[0])
        found += [(id, time_s) for _, time_s in best[:RELATED_FRAMES]]
    return found


def _rest(films: frozenset[str], features: Features, seen_key: str) -> list[Key]:
    """Key frames of films of which nobody says the tag: drawn by the hashes of their ids."""
    ids = sorted(
        features.films_of(seen_key) - films, key=lambda id: hashlib.sha256(id.encode(errors="replace")).digest()
    )
    times = features.times_of(ids[:REST_FILMS])
    return [(id, time) for id, of_film in times.items() for time in _spread(of_film, REST_FRAMES)]


def _guessed(
    guess: Guess, said: Marked, rest: Sequence[Key], pool: Sequence[Key], features: Features
) -> list[list[Candidate]]:
    """The pictures of a pool of which a head is the surest, and those of which it knows least."""
    said_of = {*said.yes, *said.no}
    probably_not = [key for key in rest if key not in said_of]
    vectors = features.vectors_of({*said_of, *probably_not, *pool})
    groups = [[key for key in keys if key in vectors] for keys in (said.yes, said.no, probably_not, pool)]
    yes, no, others, asked = (_stacked(keys, vectors) for keys in groups)
    if not len(yes) or not len(asked):
        return []
    found, even = guess(yes, no, others, asked)
    order = sorted(range(len(found)), key=lambda i: (-found[i], groups[3][i]))
    doubt = sorted(order, key=lambda i: abs(_logit(float(found[i])) - _logit(even)))
    return [
        [Candidate(*groups[3][i], f"the first guess: {percent(float(found[i]))}") for i in order if found[i] >= even],
        [Candidate(*groups[3][i], f"in doubt: {percent(float(found[i]))}") for i in doubt],
    ]


def _stacked(keys: Sequence[Key], vectors: Mapping[Key, np.ndarray]) -> np.ndarray:
    width = len(next(iter(vectors.values()), ()))
    return np.stack([vectors[key] for key in keys]) if keys else np.zeros((0, width), np.float32)


def _logit(p: float) -> float:
    p = min(max(p, 1e-9), 1 - 1e-9)
    return float(np.log(p / (1 - p)))


def _spread(items: Sequence, number: int) -> list:
    """Some of a sequence, evenly spread over it."""
    if not items:
        return []
    places = np.unique(np.linspace(0, len(items) - 1, min(number, len(items))).round().astype(int))
    return [items[place] for place in places.tolist()]


def _as_candidates(found: Mapping[Key, str], said_of: set[Key]) -> list[Candidate]:
    return [Candidate(*key, why) for key, why in found.items() if key not in said_of]


def in_turn(lists: Sequence[Sequence[Candidate]], number: int, of_film: int) -> list[Candidate]:
    """Candidates of several lists, each list in turn, no picture twice.

    Args:
        lists: each in order.
        number: how many at most.
        of_film: so many of one film at most, while others are left.
    """
    chosen: dict[Hashable, Candidate] = {}
    films: Counter[str] = Counter()
    for most in (of_film, number):
        waiting = [iter(one) for one in lists]
        while waiting and len(chosen) < number:
            waiting = [one for one in waiting if len(chosen) < number and _take(one, chosen, films, most)]
    return list(chosen.values())


def _take(waiting: Iterable[Candidate], chosen: dict, films: Counter, most: int) -> bool:
    """Take the next of a list that may be taken; False where there is none."""
    for one in waiting:
        if (one.id, one.time_s) not in chosen and films[one.id] < most:
            chosen[one.id, one.time_s] = one
            films[one.id] += 1
            return True
    return False
