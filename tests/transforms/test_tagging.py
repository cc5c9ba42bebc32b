import numpy as np

from movie_tags.models.ensemble import read_models
from movie_tags.records import TagProbability
from movie_tags.transforms.tagging import BundleHandler, believed, top_tags


def tags(**probabilities):
    return tuple(TagProbability(tag, p) for tag, p in probabilities.items())


def test_top_tags_by_hand():
    found = top_tags(np.array([0.1, 0.4, 0.2, 0.3]), ["a", "b", "c", "d"], 3)
    assert found == tags(b=0.4, d=0.3, c=0.2)


def test_ties_keep_the_order_of_the_vocabulary():
    assert top_tags(np.array([0.25] * 4), list("dcba"), 2) == tags(d=0.25, c=0.25)


def test_more_tags_asked_than_known():
    assert len(top_tags(np.array([0.5, 0.5]), ["a", "b"], 5)) == 2


def test_batches_have_the_size_asked_for(small_bundle):
    assert BundleHandler(read_models(small_bundle), 7).batch_elements_kwargs() == {
        "min_batch_size": 7,
        "max_batch_size": 7,
    }


def test_what_reaches_its_threshold_is_believed():
    seen = tags(a=0.5, b=0.499999, c=0.00001)
    assert believed(seen, {"a": 0.5, "b": 0.5, "c": 0.00001}) == tags(a=0.5, c=0.00001)
    assert believed(seen, dict.fromkeys("abc", 0.0)) == seen
    assert believed(seen, dict.fromkeys("abc", 0.6)) == ()
