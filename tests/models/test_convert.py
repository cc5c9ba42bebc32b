"""Completing older bundles, and the command for it."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from films import picture

from movie_tags.models.bundle import SAVED_MODEL, TFLITE, read_bundle, write_card
from movie_tags.models.loading import load_model
from movie_tags.pipeline.commands import main


@pytest.fixture
def older(small_bundle, tmp_path):
    """A bundle from before there was a model for LiteRT."""
    folder = tmp_path / "older"
    shutil.copytree(small_bundle, folder)
    (folder / TFLITE).unlink()
    write_card(str(folder), json.loads((folder / "model.json").read_text()))
    return folder


def test_an_older_bundle_is_completed(older, small_bundle):
    before = read_bundle(str(older))
    assert main(["model", "complete", str(older)]) == 0
    after = read_bundle(str(older))
    assert (before.parts, after.parts) == ((SAVED_MODEL,), (TFLITE, SAVED_MODEL))
    assert after.fingerprint != before.fingerprint
    canvases = np.stack([after.fitted(picture(seed)) for seed in range(8)])
    assert np.abs(load_model(after)(canvases) - load_model(before)(canvases)).max() <= 1e-4


def test_a_complete_bundle_stays_as_it_is(small_bundle, capsys):
    assert main(["model", "complete", small_bundle]) == 2
    assert "already" in capsys.readouterr().err


def test_operations_that_litert_does_not_know_are_named(older, capsys):
    class Cropping(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.uint8, "images")])
        def serve(self, images):
            boxes = tf.tile([[0.1, 0.1, 0.9, 0.9]], [tf.shape(images)[0], 1])
            middle = tf.image.crop_and_resize(tf.cast(images, tf.float32), boxes, tf.range(tf.shape(images)[0]), [8, 8])
            return {"probabilities": tf.nn.softmax(tf.reduce_mean(middle, [1, 2])[:, :1] * tf.ones([1, 5]))}

    shutil.rmtree(older / SAVED_MODEL)
    model = Cropping()
    tf.saved_model.save(model, str(older / SAVED_MODEL), signatures={"serving_default": model.serve})
    write_card(str(older), json.loads((older / "model.json").read_text()))
    before = read_bundle(str(older)).fingerprint
    assert main(["model", "complete", str(older)]) == 2
    assert "CropAndResize" in capsys.readouterr().err
    assert not os.path.exists(older / TFLITE) and read_bundle(str(older)).fingerprint == before
