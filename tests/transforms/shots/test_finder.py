import csv
import itertools
import math
import weakref

import apache_beam as beam
import numpy as np
import pytest
import reference
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to
from films import VIDEOS, needs_footage, picture, write_video
from hypothesis import given, settings
from hypothesis import strategies as st

from movie_tags.records import Video
from movie_tags.transforms.shots import finder as shots
from movie_tags.transforms.shots.detector import Rule, rule_of
from movie_tags.transforms.shots.finder import FindShots, JoinStretches
from movie_tags.transforms.shots.inside import MAX_HELD_BYTES, ShotFinder
from movie_tags.transforms.shots.stretches import Shot, close
from movie_tags.transforms.video.exact import SampleClock
from movie_tags.transforms.video.samples import Frame, SegmentReader, read_samples
from movie_tags.transforms.video.screen import Tally
from movie_tags.transforms.video.segments import Segment, plan_segments

CLOCK = SampleClock(0, 1, 1)
RULE = rule_of()
COLOURS = [np.full((2, 2, 3), colour, np.uint8) for colour in ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))]


def test_median_of_a_shot():
    assert [Shot(0, 0).median, Shot(0, 1).median, Shot(3, 7).median, Shot(2, 5).median] == [0, 0, 5, 3]


class Lookback:
    """A shot begins with a picture that differs from all of the last so many: needs more context than a neighbour."""

    def __init__(self, context):
        self.context = context

    def describe(self, pixels):
        return pixels[0, 0].astype(np.int64)

    def difference(self, before, now):
        assert 1 <= len(before) <= self.context
        return float(all((now != one).any() for one in before))


def run_segments(colours, borders, max_held_bytes=MAX_HELD_BYTES, rule=RULE):
    """Key frames and stretches of samples cut at the given sample numbers."""
    edges = [0, *sorted(borders), len(colours)]
    inside, stretches = [], []
    for i, (start, end) in enumerate(itertools.pairwise(edges)):
        frames = [Frame(k, COLOURS[colours[k]]) for k in range(start, end)]
        finder = ShotFinder(Segment(i, len(edges) - 1, CLOCK), rule, max_held_bytes)
        inside += finder.key_frames(frames)
        stretches.append(finder.stretch)
    return inside, stretches


def shot_of(key_frame):
    """The shot of a key frame, at one sample a second."""
    return Shot(round(key_frame.frame.shot_start_s), round(key_frame.frame.shot_end_s) - 1)


def plain_shots(colours, context=1):
    starts = [0] + [k for k in range(1, len(colours)) if colours[k] not in colours[max(0, k - context) : k]]
    return [Shot(a, b - 1) for a, b in zip(starts, [*starts[1:], len(colours)], strict=True)]


@given(st.data())
@settings(max_examples=500)
def test_shots_do_not_depend_on_cuts_or_on_the_order_of_joining(data):
    colours = [
        colour
        for colour, length in data.draw(
            st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), min_size=1, max_size=12), label="shots"
        )
        for _ in range(length)
    ]
    borders = data.draw(st.lists(st.integers(0, len(colours)), max_size=8), label="borders")
    # Little memory, too: frames of 12 bytes each.
    held = data.draw(st.sampled_from([MAX_HELD_BYTES, 0, 12, 30]), label="held")
    context = data.draw(st.integers(1, 4), label="context")
    rule = Rule(Lookback(context), 0.5)
    inside, runs = run_segments(colours, borders, held, rule)
    fn = JoinStretches(rule)
    accumulators = []
    for run in data.draw(st.permutations(runs), label="order"):
        if accumulators and data.draw(st.booleans(), label="add to the last"):
            accumulators[-1] = fn.add_input(accumulators[-1], run)
        else:
            accumulators.append(fn.add_input(fn.create_accumulator(), run))
    while len(accumulators) > 1:
        i = data.draw(st.integers(0, len(accumulators) - 2), label="merge")
        accumulators[i : i + 2] = [fn.merge_accumulators(accumulators[i : i + 2])]
    (joined,) = fn.extract_output(accumulators[0])
    whole = close(joined)
    expected = plain_shots(colours, context)
    assert sorted([*whole.unread, *map(shot_of, inside)]) == expected
    assert whole.shots == len(expected)
    assert whole.samples == (0, len(colours) - 1)
    for key_frame in inside:
        assert key_frame.frame.time_s == shot_of(key_frame).median
        assert key_frame.pixels is COLOURS[colours[shot_of(key_frame).median]]


def test_a_stretch_that_lacks_a_segment_is_not_closed():
    _, stretches = run_segments([0, 0, 1, 1, 2, 2], [2, 4])
    fn = JoinStretches(RULE)
    for lost in range(3):
        left = [stretch for i, stretch in enumerate(stretches) if i != lost]
        joined = fn.extract_output(fn.merge_accumulators([fn.add_input(fn.create_accumulator(), s) for s in left]))
        assert len(joined) == (2 if lost == 1 else 1)
        for stretch in joined:
            with pytest.raises(ValueError, match="came back"):
                close(stretch)


def test_the_last_segment_lost_is_said_and_not_tagged(tmp_path, monkeypatch):
    """A runner that loses an element: the film is a failure, and says why."""
    film = write_video(tmp_path / "a.mp4", [picture(k // 50) for k in range(200)])
    process = shots._FindInside.process

    def forgetful(self, element):
        if element[1].index != element[1].count - 1:
            yield from process(self, element)

    monkeypatch.setattr(shots._FindInside, "process", forgetful)
    with test_pipeline.TestPipeline() as p:
        found = p | beam.Create([Video("a", str(film))]) | FindShots(1, RULE, 2)
        assert_that(found["films"], equal_to([]), "films")
        failed = found["failed"] | beam.MapTuple(lambda video, why: (video.id, why.stage, why.retryable))
        assert_that(failed, equal_to([("a", "accounting", True)]), "failed")


@pytest.mark.parametrize("limit,expected", [(MAX_HELD_BYTES, 205), (480, 50)])
def test_only_half_a_shot_is_held_and_never_more_than_allowed(limit, expected):
    alive: set[int] = set()
    most = 0

    class Pixels(np.ndarray):
        pass

    def frames():
        nonlocal most
        for k in range(400):
            pixels = np.zeros((2, 2, 3), np.uint8).view(Pixels)
            alive.add(k)
            weakref.finalize(pixels, alive.discard, k)
            yield Frame(k, pixels)
            most = max(most, len(alive))

    finder = ShotFinder(Segment(0, 1, CLOCK), RULE, limit)
    inside = list(finder.key_frames(frames()))
    assert [*map(shot_of, inside), *finder.stretch.unread] == [Shot(0, 399)]
    assert most <= expected


def test_a_long_still_shot_is_read_again_in_one_pass(tmp_path):
    """In a container that is not cut, two shots longer than what may be held."""
    film = write_video(tmp_path / "a.ts", [picture(k // 300) for k in range(600)], codec="mpeg2video")
    (segment,) = plan_segments(str(film), 1, 5)
    finder = ShotFinder(segment, RULE, 3 * 96 * 128 * 3)
    assert list(finder.key_frames(SegmentReader(str(film), segment))) == []
    assert [shot.median for shot in close(finder.stretch).unread] == [5, 17]
    frames = list(read_samples(str(film), segment.clock, [5, 17], Tally()))
    samples = reference.sample(film)
    assert [frame.index for frame in frames] == [5, 17]
    assert all(np.array_equal(frame.pixels, samples[frame.index]) for frame in frames)


@needs_footage
def test_known_cuts_are_found():
    film = str(next((VIDEOS / "films").glob("compiled_mixed*.mp4")))
    with open(next((VIDEOS / "shots").glob("compiled_mixed*.tsv")), newline="") as lines:
        true = {math.ceil(float(row["start_s"])) for row in csv.DictReader(lines, delimiter="\t")} - {0}
    (segment,) = plan_segments(film)
    found = {shot_of(item).first for item in ShotFinder(segment, RULE).key_frames(SegmentReader(film, segment))} - {0}
    right = len(found & true)
    assert 2 * right / (len(found) + len(true)) >= 0.96


@needs_footage
def test_real_shots_are_the_reference_shots():
    film = str(VIDEOS / "films/sintel_trailer_480p.mp4")
    (segment,) = plan_segments(film)
    found = list(ShotFinder(segment, RULE).key_frames(SegmentReader(film, segment)))
    samples = reference.sample(film)
    assert [(shot_of(k).first, shot_of(k).last) for k in found] == reference.shots(samples)
    assert all(np.array_equal(k.pixels, samples[shot_of(k).median]) for k in found)
