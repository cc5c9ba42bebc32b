import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from movie_tags.training.evaluate.watching import KEY_FRAMES_PER_HOUR, RECALL, watch_for


@given(st.integers(0, 10_000), st.integers(10, 60))
def test_nine_of_ten_frames_are_looked_at_and_as_few_others_as_that_allows(seed, positives):
    random = np.random.default_rng(seed)
    applies = np.zeros(300)
    applies[:positives] = 1
    probabilities = np.round(random.random(300), 6)
    found = watch_for(probabilities, applies, np.ones(300, bool))
    looked_at = probabilities >= found.threshold
    assert applies[looked_at].sum() / positives == pytest.approx(found.recall, abs=1e-4) and found.recall >= RECALL
    higher = probabilities > probabilities[looked_at & (applies > 0)].min()
    assert applies[higher].sum() / positives < RECALL
    interval = binomtest(int(applies[looked_at].sum()), positives).proportion_ci(0.9, "exact")
    assert found.interval == pytest.approx((interval.low, interval.high), abs=1e-3)
    assert found.stills_per_hour == pytest.approx(looked_at.mean() * KEY_FRAMES_PER_HOUR, abs=0.51)


def test_of_few_frames_nobody_can_say():
    assert watch_for(np.ones(20), np.array([1] * 9 + [0] * 11), np.ones(20, bool)) is None
    known = np.array([True] * 9 + [False] * 11)
    assert watch_for(np.ones(20), np.ones(20), known) is None
