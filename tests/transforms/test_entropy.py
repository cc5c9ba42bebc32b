import cv2
import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.transforms.entropy import entropy


def test_one_colour_says_nothing():
    assert entropy(np.full((8, 8, 3), (200, 30, 90), np.uint8)) == 0


def test_two_greys_in_equal_parts_are_one_bit():
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:2] = 255
    assert entropy(pixels) == pytest.approx(1)


def test_all_greys_are_eight_bits():
    greys = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(16, 16, 3)
    assert entropy(greys) == pytest.approx(8)


@given(st.integers(0, 10_000))
def test_agrees_with_counting(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    assert entropy(pixels) == pytest.approx(reference.entropy(pixels))
    assert entropy(pixels) == pytest.approx(entropy(cv2.flip(pixels, 1)))
    assert 0 <= entropy(pixels) <= 24
