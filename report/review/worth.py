"""What is most worth a person's look: tags near the setting that decides, of many films, few of one and varied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from movie_tags.records import PERSON, Film, TagStrength
from movie_tags.results.listing import listed, rating

A_FILM, SHARE_OF_TAG = 2, 0.2
"""At most so many of one film; of one tag at most this share of what is asked for, while others are left."""


@dataclass(frozen=True)
class Question:
    """Whether a tag applies to a film. Attributes: the name of the film's page; the film; the tag; it is listed."""

    name: str
    film: Film
    tag: TagStrength
    listed: bool


def worth_a_look(films: Iterable[tuple[str, Film]], threshold: float, number: int = 30) -> list[Question]:
    """The tags whose rating lies nearest to the threshold and of which nobody has said anything, the nearest first.

    Args:
        films: with the names of their pages.
        threshold: of the run, in [0, 1].
        number: how many at most.
    """
    asked = []
    for name, film in films:
        said = {tag.tag for tag in listed(film, None, threshold)}
        asked += [Question(name, film, tag, tag.tag in said) for tag in film.tags if tag.by != PERSON]
    asked.sort(key=lambda one: (abs(rating(one.tag) - threshold), one.name, one.tag.tag))
    of_film: Counter[str] = Counter()
    of_tag: Counter[str] = Counter()
    most = max(2, round(SHARE_OF_TAG * number))
    chosen: list[Question] = []
    for one in asked:
        if len(chosen) < number and of_film[one.name] < A_FILM and of_tag[one.tag.tag] < most:
            of_film[one.name] += 1
            of_tag[one.tag.tag] += 1
            chosen.append(one)
    return chosen
