"""The catalogue's page: all films of a folder of results, searched, sorted and counted in the browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from movie_tags.records import Failure, TagStrength
from movie_tags.report import phrases
from movie_tags.report.page import about, inline, script_hash, template, text_of

PERMILLE = 1000


@dataclass(frozen=True)
class Entry:
    """A film in the catalogue.

    Attributes:
        id, title: of the film.
        name: of its page and its picture, without their endings.
        pictured: it has a picture.
        duration_s, shots: seconds and a count.
        tags: all its tags, the strongest first.
        kept: how many of them are on its short list.
        trouble: its page tells of warnings or failures.
    """

    id: str
    title: str
    name: str
    pictured: bool
    duration_s: float
    shots: int
    tags: tuple[TagStrength, ...]
    kept: int
    trouble: bool = False


def compact(entries: Sequence[Entry], failures: Sequence[Failure]) -> dict:
    """What the page's script works on.

    Returns:
        {"tags": names, in alphabetical order; "films": [title, name, pictured, seconds, shots, kept, trouble,
        [tag's number, its relative strength in thousandths, …]]; "failures": [address, stage, reason, again]}.
    """
    names = sorted({tag.tag for entry in entries for tag in entry.tags}, key=str.casefold)
    number_of = {name: i for i, name in enumerate(names)}
    films = [
        [
            entry.title,
            entry.name,
            int(entry.pictured),
            round(entry.duration_s, 1),
            entry.shots,
            entry.kept,
            int(entry.trouble),
            [n for tag in entry.tags for n in (number_of[tag.tag], round(PERMILLE * tag.relative_strength))],
        ]
        for entry in entries
    ]
    return {
        "tags": names,
        "films": films,
        "failures": [[failure.uri, failure.stage, failure.reason, int(failure.retryable)] for failure in failures],
    }


def catalogue_page(entries: Sequence[Entry], failures: Sequence[Failure], run: dict | None) -> str:
    """The text of index.html."""
    js = text_of("catalogue.js")
    facts = [phrases.number(len(entries), "film"), phrases.length(sum(entry.duration_s for entry in entries))]
    if failures:
        facts.append(f"{len(failures):,} failed")
    if run and (run.get("ended") or run.get("begun")):
        facts.append("tagged on " + str(run.get("ended") or run["begun"])[:10])
    return template("catalogue.html.j2").render(
        facts=facts,
        films=len(entries),
        failures=failures,
        failed=phrases.number(len(failures), "failure"),
        about=about(run),
        data=compact(entries, failures),
        css=inline(text_of("base.css", "catalogue.css")),
        js=inline(js),
        script_hash=script_hash(js),
    )
