"""Scenes: stretches of films throughout which an expression of tags holds, from spans; pure functions on arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from movie_tags.results.expressions import And, Expression, Not, Or, Term

Amounts = Mapping[str, np.ndarray]
"""Of each tag how much there is of it at N places, float [N]; nan where it is not there."""
Columns = Mapping[str, np.ndarray]
"""A table by its columns."""


def holds(expression: Expression, tags: Amounts) -> np.ndarray:
    """Where an expression, resolved, holds, bool [N]."""
    match expression:
        case Term(_, names):
            return np.any([~np.isnan(tags[name]) for name in names], 0)
        case Not(of):
            return ~holds(of, tags)
        case And(parts):
            return np.all([holds(part, tags) for part in parts], 0)
        case Or(parts):
            return np.any([holds(part, tags) for part in parts], 0)


def amount(expression: Expression, tags: Amounts) -> np.ndarray:
    """How much an expression holds where it does, float [N]; nan where nothing but `not` makes it hold.

    The least of what `and` joins, the most of what `or` joins.
    """
    match expression:
        case Term(_, names):
            return np.fmax.reduce([tags[name] for name in names])
        case Not():
            return np.full_like(next(iter(tags.values())), np.nan)
        case And(parts):  # fmin and fmax pass over nan
            return np.fmin.reduce([amount(part, tags) for part in parts])
        case Or(parts):
            return np.fmax.reduce([np.where(holds(part, tags), amount(part, tags), np.nan) for part in parts])


def scenes(expression: Expression, tags: Sequence[str], films: Columns, spans: Columns) -> dict[str, np.ndarray]:
    """The scenes of films, in order of film and time.

    Args:
        expression: resolved.
        tags: those in it.
        films: `film`, a number of its own, int [F], and `duration_s`, float [F].
        spans: of these films: `film`; `slot`, the tag's place in `tags`; `start_s` and `ends_s`; `millionths`, the mean
            probability as a whole number, of which sums are exact; each [S].

    Returns:
        `film`, `start_s` and `end_s` of each, and `p`, the mean over time of how much the expression holds, in [0, 1];
        nan where nothing but `not` makes it hold.
    """
    ends, lengths = np.ones_like(spans["film"]), np.zeros_like(films["film"])
    film = np.concatenate([spans["film"], spans["film"], films["film"], films["film"]])
    time_s = np.concatenate([spans["start_s"], spans["ends_s"], lengths, films["duration_s"]])
    order = np.lexsort((time_s, film))
    film, time_s = film[order], time_s[order]
    change = np.concatenate([ends, -ends, lengths, lengths])[order]
    slot = np.concatenate([spans["slot"], spans["slot"], lengths, lengths])[order]
    weight = np.concatenate([spans["millionths"], spans["millionths"], lengths, lengths])[order] * change
    # Of each moment the last change. What has begun in a film ends in it: sums over all films are right in each.
    last = np.flatnonzero(np.append((film[1:] != film[:-1]) | (time_s[1:] != time_s[:-1]), True)[: len(film)])
    here = {}
    for k, tag in enumerate(tags):
        count, sure = (np.cumsum(np.where(slot == k, what, 0))[last] for what in (change, weight))
        here[tag] = np.where(count > 0, sure / np.maximum(count, 1) / 1e6, np.nan)
    # A moment lasts until the next one of its film.
    film, time_s = film[last], time_s[last]
    held = holds(expression, here) & np.append(film[1:] == film[:-1], False)[: len(film)]
    within = np.flatnonzero(held)
    first = np.flatnonzero(~np.insert(held, 0, False)[within])
    length = time_s[within + 1] - time_s[within]
    sure = amount(expression, here)[within]
    known = ~np.isnan(sure)
    with np.errstate(invalid="ignore"):
        p = np.add.reduceat(np.where(known, sure * length, 0), first) / np.add.reduceat(length * known, first)
    begin, end = within[first], within[np.append(first[1:], len(within))[: len(first)] - 1] + 1
    return {"film": film[begin], "start_s": time_s[begin], "end_s": time_s[end], "p": p}
