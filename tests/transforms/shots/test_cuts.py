"""True cuts against films whose every frame is known, and against a film of which every frame is compared."""

import csv
import itertools
from fractions import Fraction

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that
from films import VIDEOS, needs_footage, picture, write_video
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from movie_tags.records import APPROXIMATE, EXACT, SAMPLED, Video
from movie_tags.transforms.shots.detector import CONTENT, HSV_HISTOGRAM, rule_of
from movie_tags.transforms.shots.finder import CutFinder, FindShots
from movie_tags.transforms.shots.inside import ShotFinder, key_frame
from movie_tags.transforms.shots.stretches import close, join_all
from movie_tags.transforms.video.decoding import Decoding
from movie_tags.transforms.video.screen import Tally

SLOW = {"deadline": None, "suppress_health_check": list(HealthCheck)}
B_FRAMES = {"g": "100", "bf": "3", "x264-params": "scenecut=0:b-adapt=0"}
"""Cuts fall anywhere between reference frames: the encoder does not look for them."""


def shots_of(path, length=None, detector=HSV_HISTOGRAM, exact=True):
    """[(start, end, cut)] of a film's shots in order, and what was met; as FindShots finds them, without Beam."""
    decoding, rule, tally = Decoding(None), rule_of(detector), Tally()
    cuts = CutFinder(decoding, rule)
    found, stretches = [], []
    for segment in decoding.plan(str(path), 1, length):
        finder = ShotFinder(segment, rule, locate=lambda between: cuts.locate(str(path), tally, between))
        found += finder.key_frames(decoding.samples(str(path), segment, tally, between=True), tally)
        stretches.append(finder.stretch)
    (whole,) = join_all(stretches, rule)
    whole = close(whole)
    for shot in whole.unread:
        shot = cuts.complete(str(path), whole.clock, shot, tally)
        found += [
            key_frame(whole.clock, shot, f)
            for f in decoding.samples_again(str(path), whole.clock, [shot.median], tally)
        ]
    return sorted((f.frame.shot_start_s, f.frame.shot_end_s, f.frame.cut) for f in found), tally


def film_of(path, shots, **how):
    """A film of shots, each (picture, frames) at 25 frames a second, every frame a little different."""
    pictures = [np.roll(picture(seed), k % 8, axis=1) for seed, frames in shots for k in range(frames)]
    return write_video(path, pictures, **how)


@given(
    shots=st.lists(
        st.tuples(st.integers(0, 30), st.integers(26, 60)), min_size=2, max_size=4, unique_by=lambda s: s[0]
    ),
    options=st.sampled_from([{}, B_FRAMES, {"g": "12"}, {"bf": "0"}]),
    length=st.sampled_from([None, 1, 2.3]),
    detector=st.sampled_from([HSV_HISTOGRAM, CONTENT]),
)
@settings(max_examples=12, **SLOW)
def test_hard_cuts_are_found_to_the_frame_however_the_film_is_cut(tmp_path, shots, options, length, detector):
    path = film_of(tmp_path / "a.mp4", shots, options=options)
    starts = [k / 25 for k in itertools.accumulate((frames for _, frames in shots), initial=0)]
    found, _ = shots_of(path, length, detector)
    assert found == [(pytest.approx(a), pytest.approx(b), EXACT) for a, b in itertools.pairwise(starts)]


@pytest.mark.parametrize("name,codec", [("a.ts", "mpeg2video"), ("a.mkv", "mpeg4"), ("a.ts", "libx264")])
def test_hard_cuts_in_other_containers_and_codecs(tmp_path, name, codec):
    path = film_of(tmp_path / name, [(1, 37), (2, 60), (3, 41)], codec=codec, options={"g": "30", "bf": "2"})
    found, _ = shots_of(path)  # a transport stream does not say how long its last frame is shown
    assert [(start, how) for start, _, how in found] == [
        (0, EXACT),
        (pytest.approx(1.48), EXACT),
        (pytest.approx(3.88), EXACT),
    ]
    assert [end for _, end, _ in found[:-1]] == [start for start, *_ in found[1:]]


def test_frames_of_varying_length(tmp_path):
    times = [*(Fraction(k, 20) for k in range(30)), *(Fraction(3, 2) + Fraction(k, 7) for k in range(20))]
    path = write_video(tmp_path / "a.mkv", [picture(k // 33) for k in range(50)], times)
    (_, first, _), (second, _, how) = shots_of(path)[0]
    assert first == second == pytest.approx(float(times[33]), abs=0.0006)
    assert how == EXACT


@pytest.mark.parametrize("frames", [5, 12, 25, 40])
def test_a_dissolve_is_approximate(tmp_path, frames):
    """Its place lies in the dissolve, and nothing before or after it is taken for a cut."""
    a, b = (picture(seed).astype(np.float64) for seed in (1, 2))
    shares = [0] * 40 + [(k + 1) / (frames + 1) for k in range(frames)] + [1] * 40
    path = write_video(tmp_path / "a.mp4", [(a + (b - a) * share).astype(np.uint8) for share in shares])
    found, _ = shots_of(path)
    assert found[0][2] == EXACT  # the film's own beginning
    assert {how for *_, how in found[1:]} == {APPROXIMATE}
    assert all(40 / 25 <= start <= (40 + frames) / 25 for start, *_ in found[1:])


@given(
    parts=st.lists(st.tuples(st.integers(26, 45), st.sampled_from([0, 0, 1, 9, 20])), min_size=2, max_size=4),
    options=st.sampled_from([{"g": "12"}, {"g": "30"}, {**B_FRAMES, "g": "20"}]),
    length=st.sampled_from([0.5, 1, 2.3]),
)
@settings(max_examples=8, **SLOW)
def test_cuts_and_dissolves_are_the_same_however_the_film_is_cut(tmp_path, parts, options, length):
    """Each shot comes in by a dissolve of so many frames; 0 is a hard cut."""
    pictures = []
    for number, (frames, dissolve) in enumerate(parts):
        a, b = (picture(seed).astype(np.float64) for seed in (number, number + 1))
        pictures += [a] * frames + [a + (b - a) * (k + 1) / (dissolve + 1) for k in range(dissolve)]
    path = write_video(tmp_path / "a.mp4", [pixels.astype(np.uint8) for pixels in pictures], options=options)
    assert shots_of(path, length)[0] == shots_of(path)[0]


def test_a_flash_at_a_cut_is_within_a_frame_and_not_called_exact(tmp_path):
    white = np.full((96, 128, 3), 255, np.uint8)
    path = write_video(tmp_path / "a.mp4", [picture(1)] * 40 + [white] + [picture(2)] * 40)
    (*_, (start, _, how)) = shots_of(path)[0]
    assert how == APPROXIMATE and 40 <= round(start * 25) <= 41


def test_only_what_lies_around_a_cut_is_decoded_again(tmp_path):
    path = film_of(tmp_path / "a.mp4", [(seed, 50) for seed in range(8)], options={"g": "50"})
    _, tally = shots_of(path)
    plain = Tally()
    (segment,) = Decoding(None).plan(str(path), 1, None)
    list(Decoding(None).samples(str(path), segment, plain))
    assert tally.decoded == plain.decoded  # each cut is a key frame, and the frame before it is decoded anyway


def test_the_transform_gives_the_same_in_segments(tmp_path):
    path = film_of(tmp_path / "a.mp4", [(1, 70), (2, 61), (3, 33), (4, 90)], options=B_FRAMES)
    expected, _ = shots_of(path)
    with test_pipeline.TestPipeline() as p:
        found = p | beam.Create([Video("a", str(path))]) | FindShots(1, rule_of(), 2, exact_cuts=True)
        frames = [found["inside"], found["crossing"]] | beam.Flatten()
        rows = frames | beam.MapTuple(lambda video, f: (f.frame.shot_start_s, f.frame.shot_end_s, f.frame.cut))

        def same(rows):
            assert sorted(rows) == expected

        assert_that(rows, same)


def test_without_exact_cuts_boundaries_are_samples(tmp_path):
    path = film_of(tmp_path / "a.mp4", [(1, 37), (2, 60)])
    with test_pipeline.TestPipeline() as p:
        found = p | beam.Create([Video("a", str(path))]) | FindShots(1, rule_of(), 2)
        frames = [found["inside"], found["crossing"]] | beam.Flatten()
        rows = frames | beam.MapTuple(lambda video, f: (f.frame.shot_start_s, f.frame.shot_end_s, f.frame.cut))

        def samples(rows):
            assert sorted(rows) == [(0, 2, SAMPLED), (2, 4, SAMPLED)]

        assert_that(rows, samples)


@needs_footage
@pytest.mark.parametrize("length", [None, 7])
def test_known_cuts_are_found_to_the_frame(length):
    film = next((VIDEOS / "films").glob("compiled_mixed*.mp4"))
    with open(next((VIDEOS / "shots").glob("compiled_mixed*.tsv")), newline="") as lines:
        true = [float(row["start_s"]) for row in csv.DictReader(lines, delimiter="\t")]
    found, _ = shots_of(film, length)
    exact = [start for start, _, how in found if how == EXACT]
    assert len(exact) >= 25
    assert all(min(abs(start - cut) for cut in true) < 0.04 / 2 for start in exact)
