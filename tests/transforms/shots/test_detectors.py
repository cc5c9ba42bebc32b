import itertools

import cv2
import numpy as np
import pytest
import reference
from films import picture

from movie_tags.pipeline.method import Method, method_key
from movie_tags.transforms.shots.detector import CONTENT, DETECTORS, HSV_HISTOGRAM, compare, rule_of
from movie_tags.transforms.shots.hsv_histogram import HsvHistogram
from movie_tags.transforms.video.samples import Frame

BLACK, WHITE = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)


def difference_of(detector, a, b):
    return detector.difference((detector.describe(a),), detector.describe(b))


def test_histogram_difference_agrees_with_numpy():
    for a, b in itertools.combinations(range(6), 2):
        mine = difference_of(HsvHistogram(), picture(a), picture(b))
        assert reference.is_boundary(picture(a), picture(b), mine - 1e-6)
        assert not reference.is_boundary(picture(a), picture(b), mine + 1e-6)


def test_histogram_difference_is_0_for_the_same_and_1_for_nothing_in_common():
    assert difference_of(HsvHistogram(), BLACK, BLACK) == 0
    assert difference_of(HsvHistogram(), BLACK, WHITE) == 1


def test_content_difference_is_the_mean_absolute_difference_of_hsv():
    """By OpenCV's own norm over pictures whose every block is of one colour, so that scaling keeps them."""
    a, b = (np.kron(picture(seed)[::32, ::32], np.ones((12, 16, 1), np.uint8)) for seed in (1, 2))
    assert a.shape == (36, 64, 3)
    hsv = [cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV) for pixels in (a, b)]
    expected = cv2.norm(*hsv, cv2.NORM_L1) / a.size / 255
    large = [np.kron(pixels, np.ones((5, 5, 1), np.uint8)) for pixels in (a, b)]
    assert difference_of(rule_of(CONTENT).detector, *large) == pytest.approx(expected)
    assert difference_of(rule_of(CONTENT).detector, BLACK, WHITE) == pytest.approx(1 / 3)  # value alone


def test_content_sees_a_cut_that_keeps_the_colours():
    """Mirrored, a picture has the same histogram."""
    a = picture(3)
    for name, expected in ((HSV_HISTOGRAM, [True, False]), (CONTENT, [True, True])):
        frames = [Frame(0, a), Frame(1, np.ascontiguousarray(a[:, ::-1]))]
        assert [sample.begins for sample in compare(frames, rule_of(name))] == expected


@pytest.mark.parametrize("name", DETECTORS)
def test_descriptions_are_small_and_differences_shares(name):
    detector = rule_of(name).detector
    pictures = [picture(1, 360, 640), picture(2, 360, 640), picture(3, 640, 360), BLACK, WHITE]
    assert all(detector.describe(pixels).nbytes <= 8192 for pixels in pictures)
    for a, b in itertools.product(pictures, repeat=2):
        assert 0 <= difference_of(detector, a, b) <= 1
        assert difference_of(detector, a, b) == difference_of(detector, b, a)


def test_a_method_is_known_by_its_detector_and_the_default_by_the_key_it_had():
    assert method_key(Method(), "model") == method_key(Method(detector=HSV_HISTOGRAM, shot_threshold=0.5), "model")
    keys = {method_key(method, "model") for method in (Method(), Method(detector=CONTENT), Method(shot_threshold=0.4))}
    assert len(keys) == 3
    assert Method(detector=CONTENT).shot_threshold == DETECTORS[CONTENT].threshold
