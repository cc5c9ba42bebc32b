"""Spans: tags of key frames -> when: the stretches of a film that carry a tag."""

from __future__ import annotations

from collections.abc import Iterable

from movie_tags.records import UNIT, KeyFrame, Span


def find_spans(key_frames: Iterable[KeyFrame], max_gap_s: float, min_span_s: float = 0.0) -> tuple[Span, ...]:
    """Join neighbouring shots that carry a tag, tag by tag.

    Args:
        key_frames: of one film, in any order.
        max_gap_s: shots of a tag are one span where no more than this many seconds lie between them.
        min_span_s: shorter spans are left out.

    Returns:
        The spans in order of time. Those of one tag never overlap and cover the shots that carry it, and the gaps
        bridged between them.
    """
    shots: dict[str, list[tuple[float, float, int]]] = {}
    for frame in key_frames:
        for found in frame.tags:
            shots.setdefault(found.tag, []).append((frame.shot_start_s, frame.shot_end_s, found.millionths))
    spans = []
    for tag, carried in shots.items():
        joined: list[list[tuple[float, float, int]]] = []
        for shot in sorted(carried):
            if joined and shot[0] - joined[-1][-1][1] <= max_gap_s:
                joined[-1].append(shot)
            else:
                joined.append([shot])
        for part in joined:
            probabilities = [millionths for _, _, millionths in part]
            spans.append(
                Span(
                    tag,
                    part[0][0],
                    part[-1][1],
                    sum(probabilities) / len(part) / UNIT,
                    max(probabilities) / UNIT,
                    len(part),
                )
            )
    kept = [span for span in spans if span.end_s - span.start_s >= min_span_s]
    return tuple(sorted(kept, key=lambda span: (span.start_s, span.end_s, span.tag)))
