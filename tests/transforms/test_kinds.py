import numpy as np
import pytest
from films import picture

from movie_tags.transforms.kinds import BLACK, PICTURE, kind_of


def flat(colour, noise=0, seed=0):
    random = np.random.default_rng(seed)
    pixels = np.full((90, 160, 3), colour, np.int16) + random.integers(-noise, noise + 1, (90, 160, 1))
    return np.clip(pixels, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("colour", [0, 8, (16, 16, 16), 255, (200, 30, 30), (90, 140, 220)])
def test_black_and_one_colour_are_no_pictures_noise_included(colour):
    assert kind_of(flat(colour)) == kind_of(flat(colour, noise=4)) == BLACK


@pytest.mark.parametrize("colour", [0, 12, 128])
def test_a_small_logo_does_not_make_a_picture_and_a_larger_thing_does(colour):
    pixels = flat(colour, noise=2)
    pixels[40:50, 70:80] = 235  # 0.7 % of it
    assert kind_of(pixels) == BLACK
    pixels[40:55, 70:90] = 235  # 2 %
    assert kind_of(pixels) == PICTURE


def test_pictures_are_pictures_the_dark_ones_too():
    assert {kind_of(picture(seed)) for seed in range(20)} == {PICTURE}
    assert kind_of(picture(1) // 6) == PICTURE
    sky = np.repeat(np.linspace(120, 200, 90).astype(np.uint8)[:, None], 160, 1)
    assert kind_of(np.dstack([sky // 2, sky, sky])) == PICTURE


def test_a_letterboxed_picture_is_judged_as_a_whole():
    pixels = flat(0)
    pixels[30:60] = picture(2, 30, 160)
    assert kind_of(pixels) == PICTURE
