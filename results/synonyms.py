"""Synonyms and near words of the tags, by language, and what a person's word means among the tags of a model.

The lists are in words/LANGUAGE.json: {tag: [words that people type for it]}. A word may stand under several tags.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from unicodedata import normalize

LANGUAGES = ("en", "de", "fr", "es", "hi")
NEAREST = 3
"""How many tags are offered in place of an unknown word."""


def fold(text: str) -> str:
    """Text without case and without accents of Latin letters, its words parted by single blanks.

    >>> fold("Club/Bar, Été")
    'club bar ete'
    """
    plain = re.sub("[\u0300-\u036f]", "", normalize("NFKD", text.casefold()))
    return " ".join(re.findall(r"[^\s/.,;:!?&+\"'\u2019()_|-]+", plain))


@lru_cache(1024)
def words_of(text: str) -> tuple[str, ...]:
    """The words of a tag, folded: of `Beach/Sea` beach and sea."""
    return tuple(fold(text).split())


@cache
def listed(language: str) -> dict[str, list[str]]:
    """A language's words and phrases for each tag."""
    return json.loads((files(__package__) / "words" / f"{language}.json").read_text("utf-8"))


@cache
def synonyms() -> dict[str, tuple[str, ...]]:
    """All words and phrases of the lists, folded, each with the tags that it stands for."""
    found: dict[str, dict[str, None]] = {}
    for language in LANGUAGES:
        for tag, words in listed(language).items():
            for word in (tag, *words):
                found.setdefault(fold(word), {})[tag] = None
    return {word: tuple(tags) for word, tags in found.items()}


def singulars(folded: str) -> Iterable[str]:
    """A word or phrase, and what it may be the English plural of."""
    yield folded
    for ending, single in (("ies", "y"), ("es", ""), ("s", "")):
        if folded.endswith(ending) and len(folded) > len(ending) + 2:
            yield folded.removesuffix(ending) + single


def meanings(term: str) -> tuple[str, ...]:
    """The tags, of any model, that the lists have for a term; none where it is in none of them."""
    return next((synonyms()[form] for form in singulars(fold(term)) if form in synonyms()), ())


def named(term: str, vocabulary: Sequence[str]) -> tuple[str, ...]:
    """The tags of a vocabulary that a term names, in its order.

    The tag of that name alone; or else every tag that has all of the term's words, and every tag that the lists have
    for the term; or else the same of what it may be the English plural of. None where it names none.
    """
    plain = term.casefold()
    same = tuple(tag for tag in vocabulary if tag.casefold() == plain)
    return same or next((found for form in singulars(fold(term)) if (found := _named(form, vocabulary))), ())


def _named(folded: str, vocabulary: Sequence[str]) -> tuple[str, ...]:
    wanted = words_of(folded)
    exact = tuple(tag for tag in vocabulary if words_of(tag) == wanted != ())
    if exact or not wanted:
        return exact
    meant, all_of = synonyms().get(folded, ()), set(wanted)
    return tuple(tag for tag in vocabulary if tag in meant or all_of.issubset(words_of(tag)))


def nearest(term: str, vocabulary: Sequence[str], number: int = NEAREST) -> list[str]:
    """What is spelt most like a term among a vocabulary's names, their words and the English synonyms.

    Returns:
        Tags, the nearest first, each with the synonym that is meant: `Violence`, `Music (violin)`.
    """
    names: dict[str, str] = {}
    for tag in vocabulary:
        for name in (fold(tag), *words_of(tag)):
            names.setdefault(name, tag)
    for tag, words in listed("en").items():
        for word in words if tag in vocabulary else ():
            names.setdefault(fold(word), f"{tag} ({word})")
    close = difflib.get_close_matches(fold(term), names, 8 * number, 0.0)
    by_tag: dict[str, str] = {}
    for name in close:
        by_tag.setdefault(names[name].split(" (")[0], names[name])
    return list(by_tag.values())[:number]


def spoken(vocabulary: Sequence[str]) -> dict[str, list[int]]:
    """Everything that names tags of a vocabulary, folded, with the numbers of these tags: what a page searches by."""
    number_of = {tag: number for number, tag in enumerate(vocabulary)}
    exact = {fold(tag): [number] for tag, number in number_of.items() if fold(tag)}
    by_word: dict[str, set[int]] = {}
    for tag, number in number_of.items():
        for word in words_of(tag):
            by_word.setdefault(word, set()).add(number)
    meant = {word: {number_of[tag] for tag in tags if tag in number_of} for word, tags in synonyms().items()}

    def found(form: str) -> list[int]:
        may = {number for one in singulars(form) for number in meant.get(one, ())}
        may |= {number for one in singulars(form) for word in one.split() for number in by_word.get(word, ())}
        return [number_of[tag] for tag in named(form, [vocabulary[number] for number in sorted(may)])]

    return {form: found(form) for form in sorted({*by_word, *(word for word, tags in meant.items() if tags)})} | exact


def lacked(vocabulary: Sequence[str]) -> dict[str, str]:
    """What of the lists, folded, names no tag of a vocabulary, with the first tag that it stands for."""
    return {word: tags[0] for word, tags in synonyms().items() if not set(tags) & set(vocabulary)}
