"""The catalogue's page: all films of a folder of results, searched, sorted and counted in the browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from movie_tags.records import PERSON, Failure, Film, TagStrength
from movie_tags.report import phrases
from movie_tags.report.about import LIMITS, about, tagged_on
from movie_tags.report.markup import inline, script_hash, template, text_of
from movie_tags.results.listing import levels, millionths, rating, threshold_of
from movie_tags.results.synonyms import lacked, listed, spoken

SURE, RELATIVE, SAID = range(3)
"""What a rating in the page's data is: a confidence, a relative strength, a person's word."""


@dataclass(frozen=True)
class Entry:
    """A film in the catalogue.

    Attributes:
        film: as the tables have it.
        name: of its page and its picture, without their endings.
        pictured: it has a picture.
        trouble: its page tells of warnings or failures.
    """

    film: Film
    name: str
    pictured: bool = False
    trouble: bool = False


def kind_of(tag: TagStrength) -> int:
    """What the rating of a tag is."""
    if tag.by == PERSON:
        return SAID
    return RELATIVE if tag.confidence is None else SURE


def compact_film(entry: Entry, number_of: dict[str, int], threshold: float) -> list:
    """A film as `compact` has it."""
    film = entry.film
    tags: list[float] = []
    for tag, level in levels(film, threshold):
        tags += number_of[tag.tag], millionths(level), millionths(rating(tag)), kind_of(tag), round(tag.seconds, 1)
    shown = [film.title, entry.name, int(entry.pictured), round(film.duration_s, 1), film.shots, int(entry.trouble)]
    return [*shown, tags]


def compact(entries: Sequence[Entry], failures: Sequence[Failure], run: dict | None) -> dict:
    """What the page's script works on.

    Returns:
        {"tags": names, first those `present` in films, in alphabetical order; "words": {what names tags: their
        numbers}; "elsewhere": {what names none of them, but tags of other models: the first}; "english": {numbers of
        tags: their English synonyms}; "threshold": the run's setting in millionths; "films": [title, name, pictured,
        seconds, shots, trouble, [of each tag its number, its level and its rating in millionths, the rating's kind, the
        seconds it is seen, …]]; "failures": [address, stage, reason, retryable]}.
    """
    threshold = threshold_of(run)
    present = {tag.tag for entry in entries for tag in (*entry.film.tags, *entry.film.short_list)}
    vocabulary = set(((run or {}).get("model") or {}).get("vocabulary") or ()) - present
    names = [*sorted(present, key=str.casefold), *sorted(vocabulary, key=str.casefold)]
    number_of = {name: i for i, name in enumerate(names)}
    return {
        "tags": names,
        "present": len(present),
        "words": spoken(names),
        "elsewhere": lacked(names),
        "english": {i: listed("en")[name] for i, name in enumerate(names) if name in listed("en")},
        "threshold": millionths(threshold),
        "films": [compact_film(entry, number_of, threshold) for entry in entries],
        "failures": [[failed.uri, failed.stage, failed.reason, int(failed.retryable)] for failed in failures],
    }


def catalogue_page(
    entries: Sequence[Entry], failures: Sequence[Failure], run: dict | None, links: Sequence[tuple[str, str]] = ()
) -> str:
    """The text of index.html.

    Args:
        entries: the films.
        failures: inputs without a result.
        run: what run.json says.
        links: address and name of each page that it leads to besides those of films.
    """
    js = text_of("typed.js", "catalogue.js")
    length_s = sum(entry.film.duration_s for entry in entries)
    facts = [phrases.number(len(entries), "film"), phrases.length(length_s)]
    if failures:
        facts.append(f"{len(failures):,} failed")
    as_listed = phrases.percent(threshold_of(run))
    confident = any(tag.confidence is not None for entry in entries for tag in entry.film.tags)
    return template("catalogue.html.j2").render(
        facts=facts + tagged_on(run),
        films=len(entries),
        failures=failures,
        failed=phrases.number(len(failures), "failure"),
        measure="sure to at least" if confident else "relative strength at least",
        listing=f"{as_listed} as the films were listed; less finds more, and more that is wrong.",
        links=list(links),
        about=about(run),
        limits=LIMITS,
        data=compact(entries, failures, run),
        css=inline(text_of("base.css", "catalogue.css")),
        js=inline(js),
        script_hash=script_hash(js),
    )
