"""Views cut in a graph, against OpenCV's."""

import cv2
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from movie_tags.models import graph_views, views
from movie_tags.models.views import View

LOOKS = (View("without_bars", (48, 64)), View("middle_mirrored", (40, 40)), View("middle", (20, 30)))


def film_picture(seed, height, width, bars=(0, 0)):
    """A smooth picture with black bars at the top and the bottom, or the left and the right."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 13, 3), np.uint8)
    pixels = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    down, across = bars
    pixels[:down] = pixels[height - down :] = 3
    pixels[:, :across] = pixels[:, width - across :] = 0
    return pixels


def both(pictures):
    in_graph = graph_views.lay_out(tf.constant(np.stack(pictures)), LOOKS).numpy()
    return in_graph.astype(int), np.stack([views.lay_out(pixels, LOOKS) for pixels in pictures]).astype(int)


def test_they_know_the_same_cuts():
    assert graph_views.CUTS.keys() == views.CUTS.keys()


@settings(max_examples=20)
@given(st.integers(24, 150), st.integers(24, 150), st.integers(0, 40), st.integers(0, 40), st.integers(0, 99))
def test_pixels_are_those_of_opencv(height, width, down, across, seed):
    bars = (min(down, height // 3), min(across, width // 3))
    found, expected = both([film_picture(seed, height, width, bars), film_picture(seed + 1, height, width)])
    assert found.shape == expected.shape == (2, 48, 134, 3)
    assert np.abs(found - expected).max() <= 1 and (found != expected).mean() < 0.01


def test_each_picture_of_a_batch_has_bars_of_its_own():
    pictures = [film_picture(seed, 120, 160, (seed * 9, 0)) for seed in range(5)]
    found, expected = both(pictures)
    assert np.abs(found - expected).max() <= 1
    alone = [both([pixels])[0][0] for pixels in pictures]
    assert np.array_equal(found, alone)


@pytest.mark.parametrize("grey", [0, 255])
def test_a_picture_of_one_colour_is_whole(grey):
    found, expected = both([np.full((30, 50, 3), grey, np.uint8)])
    assert np.array_equal(found, expected)
