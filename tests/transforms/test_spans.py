import itertools
import random

from hypothesis import given
from hypothesis import strategies as st

from movie_tags.records import KeyFrame, Span, TagProbability
from movie_tags.transforms.spans import find_spans


def frame(start, end, *tags):
    top = tuple(TagProbability.of_millionths(tag, millionths) for tag, millionths in tags)
    return KeyFrame((start + end) / 2, start, end, 9.0, top, top)


def test_neighbouring_shots_are_joined_across_short_gaps_by_hand():
    frames = [
        frame(0, 4, ("War", 500_000)),
        frame(4, 10, ("Food", 400_000)),
        frame(10, 12, ("War", 900_000)),
        frame(12, 19, ("Food", 200_000)),
        frame(19, 20, ("War", 100_000)),
    ]
    assert find_spans(frames, 6) == (
        Span("War", 0, 12, 0.7, 0.9, 2),
        Span("Food", 4, 19, 0.3, 0.4, 2),
        Span("War", 19, 20, 0.1, 0.1, 1),
    )
    assert [span.tag for span in find_spans(frames, 6, 2)] == ["War", "Food"]


@st.composite
def films(draw):
    """Shots one after the other, each with some tags."""
    at, frames = 0, []
    for length in draw(st.lists(st.integers(1, 9), max_size=25)):
        tags = draw(st.sets(st.sampled_from("ABC")))
        frames.append(frame(at, at + length, *((tag, draw(st.integers(1, 10**6))) for tag in sorted(tags))))
        at += length
    return frames


@given(films(), st.integers(0, 12), st.integers(0, 20), st.randoms(use_true_random=False))
def test_spans_are_what_they_are_defined_to_be(frames, gap, shortest, shuffler: random.Random):
    spans = find_spans(frames, gap, 0)
    shuffled = list(frames)
    shuffler.shuffle(shuffled)
    assert find_spans(shuffled, gap, 0) == spans
    assert find_spans(frames, gap, shortest) == tuple(s for s in spans if s.end_s - s.start_s >= shortest)
    for tag in "ABC":
        own = [span for span in spans if span.tag == tag]
        carrying = [f for f in frames if tag in dict(f.tags)]
        # Second by second: what is covered is what carries the tag, and gaps of at most `gap` between two that do.
        seconds = {s for f in carrying for s in range(int(f.shot_start_s), int(f.shot_end_s))}
        order = sorted(seconds)
        bridged = {s for a, b in itertools.pairwise(order) if b - a - 1 <= gap for s in range(a, b)}
        covered = [s for span in own for s in range(int(span.start_s), int(span.end_s))]
        assert len(covered) == len(set(covered))  # they never overlap
        assert set(covered) == seconds | bridged
        for span in own:
            inside = [dict(f.tags)[tag] for f in carrying if span.start_s <= f.shot_start_s < span.end_s]
            assert span.key_frames == len(inside)
            assert span.peak_probability == max(inside)
            assert abs(span.mean_probability - sum(inside) / len(inside)) < 1e-9
