"""Stretches: what segments of a video say of their samples, and how that joins to the shots of the whole video.

A segment cannot know the shots that cross its borders. What it says of its own samples is small, and joins with its
neighbour's by an associative operation, so that shots are found without moving frames.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from movie_tags.transforms.shots.cuts import Cut
from movie_tags.transforms.shots.detector import Rule
from movie_tags.transforms.video.clock import Clock


@dataclass(frozen=True, order=True)
class Shot:
    """Samples `first` to `last` of a video, both included; of a draft, the numbers that its pictures stand for.

    Attributes:
        begins, ends: the true cuts with which it and the next shot begin, where they are known.
    """

    first: int
    last: int
    begins: Cut | None = field(default=None, compare=False)
    ends: Cut | None = field(default=None, compare=False)

    @property
    def median(self) -> int:
        """The number of the key frame's sample."""
        return (self.first + self.last) // 2


@dataclass(frozen=True)
class Boundary:
    """The first sample of a shot, and the true cut before it where that is known."""

    first: int
    cut: Cut | None = None


def shot_between(boundary: Boundary, after: Boundary) -> Shot:
    """The shot that begins with one boundary and ends with the next."""
    return Shot(boundary.first, after.first - 1, boundary.cut, after.cut)


@dataclass(frozen=True)
class Stretch:
    """What one segment, or several neighbours joined, say of their samples.

    Attributes:
        segments: first and last segment, both included.
        count: how many segments the video has.
        clock: the video's sampling clock.
        samples: first and last sample; None where nothing was sampled.
        head: the first samples, (number, description), of which it is open whether a shot begins with them, since that
            hangs on samples before the stretch: as many as the detector's context, or all; none of the film's first.
        tail: descriptions of the last samples, as many as the detector's context, or of all.
        sampled: how many samples that are.
        cuts: the beginnings of the first and of the last shot that is known to begin inside; None if none is.
        shots: shots begun and ended inside, `unread` included.
        unread: those of them whose key frames nobody has read yet.
        closed: the video's end has ended the last shot.
        end_s: when the last frame leaves the screen, in seconds.
        damaged: packets that could not be decoded.
        seekable: whether the video's container has dependable random access.
        start_s: where the video's first frame lies on a player's clock, in seconds.
        warnings: what a user should know of the file.
    """

    segments: tuple[int, int]
    count: int
    clock: Clock
    samples: tuple[int, int] | None = None
    head: tuple[tuple[int, np.ndarray], ...] = ()
    tail: tuple[np.ndarray, ...] = ()
    sampled: int = 0
    cuts: tuple[Boundary, Boundary] | None = None
    shots: int = 0
    unread: tuple[Shot, ...] = ()
    closed: bool = False
    end_s: float = 0.0
    damaged: int = 0
    seekable: bool = False
    start_s: float = 0.0
    warnings: tuple[str, ...] = ()


def join(left: Stretch, right: Stretch, rule: Rule) -> Stretch:
    """Join two neighbouring stretches of a video. Associative.

    Args:
        left, right: the stretches; `right` begins with the segment after `left`'s last.
        rule: tells where a shot begins.
    """
    assert left.segments[1] + 1 == right.segments[0], "only neighbours can be joined"
    whole = replace(
        left,
        segments=(left.segments[0], right.segments[1]),
        sampled=left.sampled + right.sampled,
        shots=left.shots + right.shots,
        unread=left.unread + right.unread,
        closed=right.closed,
        end_s=max(left.end_s, right.end_s),
        damaged=left.damaged + right.damaged,
        warnings=left.warnings + right.warnings,
    )
    if right.samples is None:
        return whole
    if left.samples is None:
        return replace(whole, samples=right.samples, head=right.head, tail=right.tail, cuts=right.cuts)
    begun, still_open = _decide(left, right, rule)
    around = [*(left.cuts or ())[-1:], *begun, *(right.cuts or ())[:1]]
    cuts = [*(left.cuts or ()), *begun, *(right.cuts or ())]
    ended = list(itertools.starmap(shot_between, itertools.pairwise(around)))
    return replace(
        whole,
        samples=(left.samples[0], right.samples[1]),
        head=left.head + still_open,
        tail=(left.tail + right.tail)[-rule.detector.context :],
        cuts=(cuts[0], cuts[-1]) if cuts else None,
        shots=whole.shots + len(ended),
        unread=tuple(sorted((*whole.unread, *ended))),
    )


def _decide(left: Stretch, right: Stretch, rule: Rule) -> tuple[list[Boundary], tuple[tuple[int, np.ndarray], ...]]:
    """Of `right`'s open samples those with which a shot begins, by what `left` saw, and those that stay open."""
    context, before = rule.detector.context, list(left.tail)
    from_start = left.samples is not None and left.samples[0] == 0
    begun, still_open = [], []
    for number, description in right.head:
        if not from_start and len(before) < context:
            still_open.append((number, description))
        elif rule.is_boundary(tuple(before[-context:]), description):
            begun.append(Boundary(number))
        before.append(description)
    return begun, tuple(still_open)


def join_all(stretches: Iterable[Stretch], rule: Rule) -> list[Stretch]:
    """Join whichever of some stretches of one video are neighbours; those left apart come in order."""
    joined: list[Stretch] = []
    for stretch in sorted(stretches, key=lambda stretch: stretch.segments):
        if joined and joined[-1].segments[1] + 1 == stretch.segments[0]:
            joined[-1] = join(joined[-1], stretch, rule)
        else:
            joined.append(stretch)
    return joined


def close(stretch: Stretch) -> Stretch:
    """The stretch of a whole video, whose last shot ends with the video.

    Raises:
        ValueError: it is not whole, or nothing was sampled.
    """
    if stretch.segments != (0, stretch.count - 1):
        first, last = stretch.segments
        raise ValueError(f"of its segments 0 to {stretch.count - 1} only {first} to {last} came back")
    if stretch.samples is None or stretch.cuts is None:
        raise ValueError("no frame could be sampled")
    if stretch.closed:
        return stretch
    last_shot = shot_between(stretch.cuts[1], film_end(stretch.clock, stretch.samples[1], stretch.end_s))
    return replace(stretch, shots=stretch.shots + 1, unread=(*stretch.unread, last_shot), closed=True)


def film_end(clock: Clock, last: int, end_s: float) -> Boundary:
    """Where the last shot of a video ends, whose last sample is `last` and which ends at `end_s` seconds."""
    return Boundary(clock.last_number(last, end_s) + 1, Cut(clock.origin + round(end_s / clock.time_base)))
