import csv
import itertools
import math
import weakref

import numpy as np
import reference
from films import VIDEOS, needs_footage, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from movie_tags.transforms.sampling import Frame, SampleClock, Segment, SegmentReader, plan_segments
from movie_tags.transforms.shots import (
    JoinRuns,
    KeyFrame,
    Run,
    Shot,
    close,
    difference,
    find_key_frames,
    histogram,
)

CLOCK = SampleClock(0, 1, 1)
COLOURS = [np.full((2, 2, 3), colour, np.uint8) for colour in ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))]


def test_histogram_agrees_with_numpy():
    for a, b in itertools.combinations(range(6), 2):
        mine = difference(histogram(picture(a)), histogram(picture(b)))
        assert reference.is_boundary(picture(a), picture(b), mine - 1e-6)
        assert not reference.is_boundary(picture(a), picture(b), mine + 1e-6)


def test_difference_is_0_for_the_same_and_1_for_nothing_in_common():
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert difference(histogram(black), histogram(black)) == 0
    assert difference(histogram(black), histogram(white)) == 1


def test_median_of_a_shot():
    assert [Shot(0, 0).median, Shot(0, 1).median, Shot(3, 7).median, Shot(2, 5).median] == [0, 0, 5, 3]


def run_segments(colours, borders):
    """Key frames and runs of samples cut at the given sample numbers."""
    edges = [0, *sorted(borders), len(colours)]
    inside, runs = [], []
    for i, (start, end) in enumerate(itertools.pairwise(edges)):
        frames = [Frame(k, COLOURS[colours[k]]) for k in range(start, end)]
        for item in find_key_frames(frames, Segment(i, len(edges) - 1, CLOCK), 0.5):
            (runs if isinstance(item, Run) else inside).append(item)
    return inside, runs


def plain_shots(colours):
    starts = [0] + [k for k in range(1, len(colours)) if colours[k] != colours[k - 1]]
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
    inside, runs = run_segments(colours, borders)
    fn = JoinRuns(0.5)
    accumulators = []
    for run in data.draw(st.permutations(runs), label="order"):
        if accumulators and data.draw(st.booleans(), label="add to the last"):
            accumulators[-1] = fn.add_input(accumulators[-1], (CLOCK, run))
        else:
            accumulators.append(fn.add_input(fn.create_accumulator(), (CLOCK, run)))
    while len(accumulators) > 1:
        i = data.draw(st.integers(0, len(accumulators) - 2), label="merge")
        accumulators[i : i + 2] = [fn.merge_accumulators(accumulators[i : i + 2])]
    clock, (joined,) = fn.extract_output(accumulators[0])
    whole = close(joined)
    expected = plain_shots(colours)
    assert clock == CLOCK
    assert sorted([*whole.crossing, *(key_frame.shot for key_frame in inside)]) == expected
    assert whole.shots == len(expected)
    assert whole.samples == (0, len(colours) - 1)
    for key_frame in inside:
        assert key_frame.pixels is COLOURS[colours[key_frame.shot.median]]


def test_only_half_a_shot_is_held():
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

    (key_frame,) = [i for i in find_key_frames(frames(), Segment(0, 1, CLOCK), 0.5) if isinstance(i, KeyFrame)]
    assert key_frame.shot == Shot(0, 399)
    assert most <= 205


@needs_footage
def test_known_cuts_are_found():
    film = str(next((VIDEOS / "films").glob("compiled_mixed*.mp4")))
    with open(next((VIDEOS / "shots").glob("compiled_mixed*.tsv")), newline="") as lines:
        true = {math.ceil(float(row["start_s"])) for row in csv.DictReader(lines, delimiter="\t")} - {0}
    (segment,) = plan_segments(film)
    found = {
        item.shot.first
        for item in find_key_frames(SegmentReader(film, segment), segment, 0.5)
        if isinstance(item, KeyFrame)
    } - {0}
    right = len(found & true)
    assert 2 * right / (len(found) + len(true)) >= 0.96


@needs_footage
def test_real_shots_are_the_reference_shots():
    film = str(VIDEOS / "films/sintel_trailer_480p.mp4")
    (segment,) = plan_segments(film)
    found = [i for i in find_key_frames(SegmentReader(film, segment), segment, 0.5) if isinstance(i, KeyFrame)]
    samples = reference.sample(film)
    assert [(k.shot.first, k.shot.last) for k in found] == reference.shots(samples)
    assert all(np.array_equal(k.pixels, samples[(k.shot.first + k.shot.last) // 2]) for k in found)
