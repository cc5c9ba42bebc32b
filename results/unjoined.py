"""Scenes unjoined: the shots of which found scenes are made, without the gaps that spans bridge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from movie_tags.records import Film, KeyFrame
from movie_tags.results.expressions import And, Expression, Not, Or, Term
from movie_tags.results.film_tables import Results
from movie_tags.results.listing import listed, threshold_of
from movie_tags.results.search import Found


def holds(expression: Expression, tags: Mapping[str, float]) -> bool:
    """Whether an expression, resolved, holds where these tags are, with their probabilities."""
    match expression:
        case Term(_, names):
            return any(name in tags for name in names)
        case Not(part):
            return not holds(part, tags)
        case And(parts):
            return all(holds(part, tags) for part in parts)
        case Or(parts):
            return any(holds(part, tags) for part in parts)


def amount(expression: Expression, tags: Mapping[str, float]) -> float | None:
    """How much an expression holds that does: the least of what `and` joins, the most of `or`; None of `not`."""
    match expression:
        case Term(_, names):
            return max((tags[name] for name in names if name in tags), default=None)
        case And(parts):
            return min((one for part in parts if (one := amount(part, tags)) is not None), default=None)
        case Or(parts):
            held = (amount(part, tags) for part in parts if holds(part, tags))
            return max((one for one in held if one is not None), default=None)
    return None


def unjoined(results: Results, scenes: Sequence[Found], expression: Expression, setting: float | None) -> list[Found]:
    """The shots of some scenes for which the expression holds, scene by scene in the order given.

    Args:
        results: the folder of results in which they were found.
        scenes: what was found.
        expression: for which, resolved.
        setting: how sure a tag must be in its film, in [0, 1] (`listing.listed`); None: as the run listed.

    Raises:
        OutputError: the tables cannot be read.
    """
    wanted = {scene.id for scene in scenes}
    films = {film.id: film for film in results.films() if film.id in wanted}
    threshold = threshold_of(results.run)
    found: list[Found] = []
    for scene in scenes:
        counted = {tag.tag for tag in listed(films[scene.id], setting, threshold)}
        found += _shots(scene, films[scene.id], results.key_frames(scene.id), counted, expression)
    return found


def _shots(
    scene: Found, film: Film, key_frames: Sequence[KeyFrame], counted: set[str], expression: Expression
) -> Iterator[Found]:
    for frame in key_frames:
        start, end = frame.shot_start_s, min(frame.shot_end_s, film.duration_s or frame.shot_end_s)
        tags = {tag: probability for tag, probability in frame.tags if tag in counted}
        inside = (scene.start_s or 0.0) <= start < end <= (film.duration_s if scene.end_s is None else scene.end_s)
        if inside and holds(expression, tags):
            yield replace(scene, start_s=start, end_s=end, sure=amount(expression, tags))
