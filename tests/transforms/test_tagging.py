import numpy as np

from movie_tags.models.ensemble import read_models
from movie_tags.transforms.tagging import BundleHandler, believed, top_tags


def test_top_tags_by_hand():
    found = top_tags(np.array([0.1, 0.4, 0.2, 0.3]), ["a", "b", "c", "d"], 3)
    assert found == (("b", 400_000), ("d", 300_000), ("c", 200_000))


def test_ties_keep_the_order_of_the_vocabulary():
    assert top_tags(np.array([0.25] * 4), list("dcba"), 2) == (("d", 250_000), ("c", 250_000))


def test_more_tags_asked_than_known():
    assert len(top_tags(np.array([0.5, 0.5]), ["a", "b"], 5)) == 2


def test_batches_have_the_size_asked_for(small_bundle):
    assert BundleHandler(read_models(small_bundle), 7).batch_elements_kwargs() == {
        "min_batch_size": 7,
        "max_batch_size": 7,
    }


def test_what_reaches_its_threshold_is_believed():
    seen = (("a", 500_000), ("b", 499_999), ("c", 10))
    assert believed(seen, {"a": 0.5, "b": 0.5, "c": 0.00001}) == (("a", 500_000), ("c", 10))
    assert believed(seen, dict.fromkeys("abc", 0.0)) == seen
    assert believed(seen, dict.fromkeys("abc", 0.6)) == ()
