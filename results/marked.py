"""Marked stretches: what a person marked in an annotation tool -> corrections of what the model said."""

from __future__ import annotations

from collections.abc import Iterable

from movie_tags.records import Film, Span
from movie_tags.results.corrections import APPLIES, REJECTED, Correction, Place

FRAME_S = 0.05
"""Seconds by which a stretch may differ that nobody has moved: annotation tools count whole frames."""


def corrections_of(film: Film, shown: Iterable[Span], marked: Iterable[tuple[str, Place]], by: str) -> list[Correction]:
    """What a film's corrected annotation says.

    A stretch that a person marked applies there. One that was shown and that no mark of its tag meets is rejected; of
    one that marks meet in part, nothing is said beyond the marks.

    Args:
        film: whose annotation it is.
        shown: the spans that the person was shown.
        marked: (tag, place) of the stretches as the person left them.
        by: the person's name.
    """
    stretches = list(marked)
    spans = list(shown)
    said = [
        Correction(film.id, tag, APPLIES, _as_shown(tag, place, spans), film.content, by) for tag, place in stretches
    ]
    for span in spans:
        if not any(tag == span.tag and place.meets(span.start_s, span.end_s) for tag, place in stretches):
            said.append(Correction(film.id, span.tag, REJECTED, Place(span.start_s, span.end_s), film.content, by))
    return said


def _as_shown(tag: str, place: Place, spans: Iterable[Span]) -> Place:
    """A place as the span that it confirms has it, where it differs by the rounding to frames alone."""
    for span in spans:
        near = abs(span.start_s - (place.start_s or 0)) <= FRAME_S and abs(span.end_s - (place.end_s or 0)) <= FRAME_S
        if span.tag == tag and near:
            return Place(span.start_s, span.end_s)
    return place
