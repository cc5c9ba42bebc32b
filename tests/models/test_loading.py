import json
import os
import shutil
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from films import picture

from movie_tags.models.bundle import SAVED_MODEL, TFLITE, BundleError, fingerprint, read_bundle
from movie_tags.models.loading import check_outputs, load_model, load_saved_model, load_tflite, predict
from movie_tags.models.runtimes import Answers, Model
from movie_tags.models.views import fit


def test_a_bad_picture_costs_only_itself():
    def model(pictures):
        if (pictures == 13).all((1, 2, 3)).any():
            raise ValueError("unlucky")
        return Answers(pictures.reshape(len(pictures), -1)[:, :2] / 255)

    good, bad = picture(1), np.full((8, 8, 3), 13, np.uint8)
    first, second, third = predict(Model(model), [good, bad, good], partial(fit, size=(4, 4)))
    assert second.probabilities is None and second.reason == "ValueError: unlucky"
    assert np.array_equal(first.probabilities, third.probabilities)


def test_probabilities_that_are_none_are_a_failure():
    (result,) = predict(Model(lambda pictures: Answers(np.full((len(pictures), 2), np.nan))), [picture(1)])
    assert "finite" in result.reason


def test_no_bundle_says_so(tmp_path):
    with pytest.raises(BundleError, match=r"model\.json"):
        read_bundle(str(tmp_path))


def test_changed_weights_are_refused(small_bundle, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(small_bundle, copy)
    (copy / "vocabulary.txt").write_text("a\nb\nc\nd\ne\n")
    with pytest.raises(BundleError, match="fingerprint"):
        read_bundle(str(copy))


@pytest.mark.parametrize("size", [1, 3, 16])
def test_the_batch_does_not_change_a_picture_by_a_bit(small_bundle, size):
    bundle = read_bundle(small_bundle)
    model = load_model(bundle)
    pictures = [picture(seed) for seed in range(17)]
    alone = [predict(model, [p], bundle.fitted)[0].probabilities for p in pictures]
    together = [
        found.probabilities
        for at in range(0, len(pictures), size)
        for found in predict(model, pictures[at : at + size], bundle.fitted)
    ]
    assert np.array_equal(together, alone)
    assert np.ptp(together, axis=0).max() > 1e-3


def renewed(bundle, folder, **card):
    """A copy of a bundle with other words on its card, and the fingerprint that goes with them."""
    shutil.copytree(bundle, folder)
    card = {**json.loads((folder / "model.json").read_text()), **card}
    return card, folder


@pytest.mark.parametrize("tags", ["a\nb\nc\nd\n", "a\nb\nc\nd\ne\nf\n"])
def test_a_vocabulary_that_is_not_the_models_is_refused_before_the_run(small_bundle, tmp_path, tags):
    card, copy = renewed(small_bundle, tmp_path / "copy")
    (copy / "vocabulary.txt").write_text(tags)
    (copy / "model.json").write_text(json.dumps({**card, "fingerprint": fingerprint(str(copy), card)}))
    bundle = read_bundle(str(copy))
    with pytest.raises(BundleError, match=f"5 probabilities, but its vocabulary has {len(tags.split())} tags"):
        check_outputs(bundle)


def test_other_thresholds_are_another_model(small_bundle, tmp_path):
    plain = read_bundle(small_bundle)
    assert plain.thresholds == (0.0,) * 5
    card, copy = renewed(small_bundle, tmp_path / "copy", thresholds=dict.fromkeys(plain.vocabulary, 0.25))
    (copy / "model.json").write_text(json.dumps(card))
    with pytest.raises(BundleError, match="fingerprint"):
        read_bundle(str(copy))
    (copy / "model.json").write_text(json.dumps({**card, "fingerprint": fingerprint(str(copy), card)}))
    assert read_bundle(str(copy)).thresholds == (0.25,) * 5


@pytest.mark.parametrize("thresholds", [{"Animal": 0.5}, dict.fromkeys(("Animal", "Food", "War", "Music", "Drama"), 2)])
def test_thresholds_must_be_those_of_the_tags(small_bundle, tmp_path, thresholds):
    card, copy = renewed(small_bundle, tmp_path / "copy", thresholds=thresholds)
    (copy / "model.json").write_text(json.dumps(card))
    with pytest.raises(BundleError, match="thresholds"):
        read_bundle(str(copy))


def test_litert_says_what_the_saved_model_says(small_bundle):
    bundle = read_bundle(small_bundle)
    assert bundle.parts == (TFLITE, SAVED_MODEL)
    pictures = np.stack([fit(picture(seed), bundle.input_size) for seed in range(16)])
    lite, full = (
        load(os.path.join(small_bundle, part))(pictures)
        for load, part in ((load_tflite, TFLITE), (load_saved_model, SAVED_MODEL))
    )
    assert np.abs(lite - full).max() <= 1e-4
    assert np.ptp(full, axis=0).max() > 1e-2


def test_without_a_model_for_litert_tensorflow_is_asked_about_one_picture_at_a_time(small_bundle, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(small_bundle, copy)
    (copy / TFLITE).unlink()
    card = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**card, "fingerprint": fingerprint(str(copy), card)}))
    bundle = read_bundle(str(copy))
    model = load_model(bundle)
    pictures = np.stack([fit(picture(seed), bundle.input_size) for seed in range(16)])
    assert np.array_equal(model(pictures), np.concatenate([model(pictures[i : i + 1]) for i in range(16)]))


def test_tagging_on_cpus_does_not_import_tensorflow(small_bundle):
    code = (
        "import sys, numpy as np\n"
        "from movie_tags.models.bundle import read_bundle\n"
        "from movie_tags.models.loading import check_outputs\n"
        "import movie_tags.pipeline.run\n"
        f"check_outputs(read_bundle({small_bundle!r}))\n"
        "print([name for name in ('tensorflow', 'keras', 'torch') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_file_that_is_no_model_says_so(tmp_path):
    path = tmp_path / TFLITE
    path.write_bytes(b"TFL3 no model at all")
    with pytest.raises(BundleError, match="no model that LiteRT can run"):
        load_tflite(str(path))
