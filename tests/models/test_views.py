import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.models.views import View, canvas_size, fit, lay_out, middle_mirrored, without_bars


def noise(seed: int, height: int, width: int) -> np.ndarray:
    """A picture without a dark pixel."""
    return np.random.default_rng(seed).integers(60, 256, (height, width, 3), np.uint8)


def test_fit_averages_areas():
    checks = np.indices((4, 4)).sum(0) % 2 * 200
    pixels = np.repeat(checks[..., None], 3, 2).astype(np.uint8)
    assert (fit(pixels, (2, 2)) == 100).all()


@given(st.integers(20, 60), st.integers(20, 60), *[st.integers(0, 8)] * 4)
def test_what_bars_were_put_around_a_picture_are_cut_off(height, width, top, bottom, left, right):
    pixels = noise(height, height, width)
    barred = np.pad(pixels, ((top, bottom), (left, right), (0, 0)), constant_values=3)
    assert np.array_equal(without_bars(barred), pixels)


def test_a_dark_picture_keeps_its_size():
    night = np.zeros((40, 60, 3), np.uint8)
    assert without_bars(night).shape == night.shape
    night[30:32, 30:40] = 200  # one bright window, far from the edges
    assert without_bars(night).shape == night.shape


@pytest.mark.parametrize(("height", "width"), [(30, 50), (50, 30), (31, 50), (20, 20)])
def test_the_middle_is_a_square_as_in_a_mirror(height, width):
    pixels = noise(1, height, width)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    for y, x in ((0, 0), (3, 5), (side - 1, side - 1)):
        assert np.array_equal(middle_mirrored(pixels)[y, x], pixels[top + y, left + side - 1 - x])


@given(
    st.lists(st.tuples(st.sampled_from(["whole", "middle_mirrored", "without_bars"]), st.integers(4, 20)), min_size=1)
)
def test_every_view_lies_on_the_canvas_at_its_place(asked):
    views = [View(cut, (side, side + 3)) for cut, side in asked]
    pixels = noise(2, 40, 56)
    canvas, left = lay_out(pixels, views), 0
    assert canvas.shape == (*canvas_size(views), 3)
    for view in views:
        height, width = view.size
        alone = lay_out(pixels, [view])
        assert alone.shape == (height, width, 3)
        assert np.array_equal(canvas[:height, left : left + width], alone)
        left += width
    assert left == canvas.shape[1]
