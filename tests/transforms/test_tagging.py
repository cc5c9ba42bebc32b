import numpy as np
import pytest
from films import picture

from movie_tags.models.bundle import BundleError, read_bundle
from movie_tags.transforms.tagging import BundleHandler, fit, load_saved_model, predict, top_tags


def test_top_tags_by_hand():
    found = top_tags(np.array([0.1, 0.4, 0.2, 0.3]), ["a", "b", "c", "d"], 3)
    assert found == (("b", 400_000), ("d", 300_000), ("c", 200_000))


def test_ties_keep_the_order_of_the_vocabulary():
    assert top_tags(np.array([0.25] * 4), list("dcba"), 2) == (("d", 250_000), ("c", 250_000))


def test_more_tags_asked_than_known():
    assert len(top_tags(np.array([0.5, 0.5]), ["a", "b"], 5)) == 2


def test_fit_averages_areas():
    checks = np.indices((4, 4)).sum(0) % 2 * 200
    pixels = np.repeat(checks[..., None], 3, 2).astype(np.uint8)
    assert (fit(pixels, (2, 2)) == 100).all()


def test_a_bad_picture_costs_only_itself():
    def model(pictures):
        if (pictures == 13).all((1, 2, 3)).any():
            raise ValueError("unlucky")
        return pictures.reshape(len(pictures), -1)[:, :2] / 255

    good, bad = picture(1), np.full((8, 8, 3), 13, np.uint8)
    first, second, third = predict(model, [good, bad, good], (4, 4))
    assert second == "ValueError: unlucky"
    assert np.array_equal(first, third)


def test_probabilities_that_are_none_are_a_failure():
    (result,) = predict(lambda pictures: np.full((len(pictures), 2), np.nan), [picture(1)], (4, 4))
    assert "finite" in result


def test_the_batch_does_not_change_a_picture(small_bundle):
    bundle = read_bundle(small_bundle)
    model = load_saved_model(bundle.saved_model_uri, bundle.fingerprint, 1)
    pictures = [picture(seed) for seed in range(7)]
    together = predict(model, pictures, bundle.input_size)
    alone = [predict(model, [p], bundle.input_size)[0] for p in pictures]
    assert np.allclose(together, alone, atol=1e-5)
    assert np.allclose(np.sum(together, 1), 1, atol=1e-5)
    assert np.ptp(together, axis=0).max() > 1e-3


def test_batches_have_the_size_asked_for(small_bundle):
    assert BundleHandler(read_bundle(small_bundle), 7).batch_elements_kwargs() == {
        "min_batch_size": 7,
        "max_batch_size": 7,
    }


def test_no_bundle_says_so(tmp_path):
    with pytest.raises(BundleError, match=r"model\.json"):
        read_bundle(str(tmp_path))


def test_changed_weights_are_refused(small_bundle, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(small_bundle, copy)
    (copy / "vocabulary.txt").write_text("a\nb\nc\nd\ne\n")
    with pytest.raises(BundleError, match="fingerprint"):
        read_bundle(str(copy))
