"""Rows with corrections laid over them: pure functions on records, idempotent; a correction left away is undone.

A person who says that a tag applies to a key frame or a stretch says it of the film, too. A tag is taken from a film
where that is said of it as a whole, or of stretches that are together as long as it is seen. Strengths stay what was
measured; a tag that the model did not see lasts as long as the stretches for which people give it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from movie_tags.records import PERSON, Film, KeyFrame, Span, TagProbability, TagStrength, changed
from movie_tags.results.corrections import APPLIES, REJECTED, Correction, Place, Verdicts, said_at

EXACT_S = 0.01
"""Seconds by which lengths may differ that are the same."""
SURE: dict[str, Any] = {"confidence": 1.0, "by": PERSON}
"""What a person's word makes of a tag."""


def said_of_film(tags: Sequence[TagStrength], verdicts: Verdicts) -> dict[str, bool]:
    """Which tags people say that the film has, or has not.

    Args:
        tags: all that count in the film by the model.
        verdicts: what holds of the film.
    """
    whole = {tag: one.verdict == APPLIES for (tag, place), one in verdicts.items() if place.of_film}
    parts = [(place, one) for (_, place), one in verdicts.items() if not place.of_film]
    if not parts:
        return whole
    applied = {one.tag for one in verdicts.values() if one.verdict == APPLIES}
    rejected: dict[str, list[Place]] = {}
    for place, one in parts:
        if one.verdict == REJECTED:
            rejected.setdefault(one.tag, []).append(place)
    gone = {tag.tag for tag in tags if tag.tag in rejected and covered(rejected[tag.tag]) >= tag.seconds - EXACT_S}
    return {**dict.fromkeys(gone - applied, False), **dict.fromkeys(applied, True), **whole}


def covered(places: Iterable[Place]) -> float:
    """Seconds that stretches cover together."""
    seconds = until = 0.0
    for start, end in sorted((place.start_s or 0.0, place.end_s or 0.0) for place in places):
        seconds += max(0.0, end - max(start, until))
        until = max(until, end)
    return seconds


def film(row: Film, verdicts: Verdicts) -> Film:
    """A film with what people say of its tags: those they give come first, those they take keep their row in `tags`."""
    said = said_of_film(row.tags, verdicts)
    if not any(said.values()) and said.keys().isdisjoint(tag.tag for tag in (*row.tags, *row.short_list)):
        return row
    tags = {tag.tag: tag for tag in row.tags}
    given = []
    for tag in sorted(said):
        if said[tag]:
            tags[tag] = changed(tags[tag], **SURE) if tag in tags else _unseen(tag, row, verdicts)
            given.append(tags[tag])
        elif tag in tags:
            tags[tag] = changed(tags[tag], confidence=0.0, by=PERSON)
    others = [tag for tag in row.short_list if tag.tag not in said]
    return changed(row, short_list=(*given, *others), tags=tuple(tags.values()))


def _unseen(tag: str, row: Film, verdicts: Verdicts) -> TagStrength:
    """A tag that the model did not see, with the seconds and the share of the film for which people give it."""
    if all(said != tag or place.of_film for said, place in verdicts):
        return TagStrength(tag, **SURE)
    end = row.duration_s or math.inf
    given = (span for span in spans((), verdicts) if span.tag == tag)
    seconds = sum(max(0.0, min(span.end_s, end) - span.start_s) for span in given)
    return TagStrength(tag, seconds=seconds, share=seconds / row.duration_s if row.duration_s else 0.0, **SURE)


def key_frame(row: KeyFrame, verdicts: Verdicts) -> KeyFrame:
    """A key frame with what people say of it (`said_at`), which prevails over the model."""
    said = {tag: one.verdict == APPLIES for tag, one in said_at(row.time_s, verdicts).items()}
    if not said:
        return row
    given = [TagProbability(tag, 1.0, PERSON) for tag in sorted(said) if said[tag]]
    return changed(row, tags=(*given, *(tag for tag in row.tags if tag.tag not in said)))


def spans(rows: Iterable[Span], verdicts: Verdicts) -> tuple[Span, ...]:
    """A film's spans with what people say: stretches they name are spans of theirs, those they reject are cut out.

    A single key frame says nothing of how long its shot is: it cuts nothing, and a span goes once all its key frames
    are rejected.
    """
    kept = list(rows)
    for (tag, place), one in verdicts.items():
        kept = [piece for span in kept for piece in (_cut(span, place) if span.tag == tag else (span,))]
        if one.verdict == APPLIES and not place.of_film:
            kept.append(_span_of(one))
        elif one.verdict == APPLIES:  # of the film as a whole: its spans are confirmed, not cut
            kept = _uncut(rows, kept, tag)
    kept = [span for span in kept if not _has_no_key_frame(span, verdicts)]
    return tuple(sorted(kept, key=lambda span: (span.start_s, span.end_s, span.tag)))


def _has_no_key_frame(span: Span, verdicts: Verdicts) -> bool:
    """Whether people reject a span's tag on as many of its key frames as have it."""
    said = (place for (tag, place), one in verdicts.items() if tag == span.tag and one.verdict == REJECTED)
    return 0 < span.key_frames <= sum(place.width == 0 and place.meets(span.start_s, span.end_s) for place in said)


def _uncut(rows: Iterable[Span], kept: list[Span], tag: str) -> list[Span]:
    return [*(span for span in kept if span.tag != tag), *(span for span in rows if span.tag == tag)]


def _cut(span: Span, place: Place) -> tuple[Span, ...]:
    """What is left of a span outside a place."""
    if place.start_s is None or place.end_s is None:
        return ()
    if place.width == 0 or not place.meets(span.start_s, span.end_s):
        return (span,)
    left = changed(span, end_s=place.start_s) if span.start_s < place.start_s else None
    right = changed(span, start_s=place.end_s) if place.end_s < span.end_s else None
    return tuple(piece for piece in (left, right) if piece is not None)


def _span_of(one: Correction) -> Span:
    start, end = one.place.start_s or 0.0, one.place.end_s or 0.0
    return Span(one.tag, start, end, 1.0, 1.0, 0, PERSON, id=one.film)
