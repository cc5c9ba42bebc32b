"""Printing: a video's tags, as `movie-tags tag` shows them on a terminal and in a pipe."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from movie_tags.records import Film
from movie_tags.report.phrases import NOTHING_SURE, relative, seen, sure, tag_in_words, weight
from movie_tags.results.listing import listed, rating

BAR = 30
"""Characters of the bar of a tag that is wholly sure."""


def print_tags(console: Console, films: Iterable[Film]) -> None:
    """Print each film's tags, the surest first: a table with bars on a terminal, a plain line elsewhere."""
    for film in films:
        if console.is_terminal:
            _print_table(console, film)
            continue
        tags = "; ".join(tag_in_words(tag, film.duration_s) for tag in listed(film))
        console.print(f"{film.title or film.id}: {tags or NOTHING_SURE}", highlight=False, markup=False, soft_wrap=True)


def _print_table(console: Console, film: Film) -> None:
    about = f"({film.duration_s:.0f} s, {film.shots} shots, {film.key_frames} key frames)"
    console.print(f"[bold]{escape(film.title or film.id)}[/]  {about}", highlight=False, soft_wrap=True)
    table = Table(box=None, show_header=False, pad_edge=False)
    for tag in listed(film):
        bar = "█" * max(1, round(rating(tag) * BAR))
        strengths = f"[dim]R {relative(tag.relative_strength)}, W {weight(tag.strength)}[/]"
        table.add_row(escape(tag.tag), f"[cyan]{bar}[/]", sure(tag), seen(tag.seconds, film.duration_s), strengths)
    console.print(table if table.rows else NOTHING_SURE)
    console.print()
