"""Wording that every room needs: counts agree with their nouns."""

from __future__ import annotations


def number(count: int, one: str, many: str = "") -> str:
    """A count with its noun: 1 film, 2 films."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
