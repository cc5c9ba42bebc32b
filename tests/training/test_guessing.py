"""A tag's first guess: pictures like those that show it, and the line between the two kinds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.models.heads import LinearHead
from movie_tags.training.guessing import first_guess


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(0, 4), st.integers(0, 9))
def test_what_is_like_the_marked_is_above_the_line(seed, yes, no, others):
    random = np.random.default_rng(seed)

    def pictures(number, side):
        found = random.normal(0, 0.05, (number, 12)).astype(np.float32)
        found[:, 0] += side
        return found

    head = LinearHead(np.ones((12, 3), np.float32), np.zeros(3, np.float32), (12,), activation="softmax")
    asked = np.concatenate([pictures(4, 1), pictures(4, -1)])
    found, even = first_guess(head, pictures(yes, 1), pictures(no, -1), pictures(others, -1), asked)
    assert found.shape == (8,) and ((found > 0) & (found < 1)).all()
    assert found[:4].min() > found[4:].max()
    if no + others:
        assert found[:4].min() > even > found[4:].max()
