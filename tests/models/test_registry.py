"""The registry of backbones: what its lines say is so, and a new line is all that building and training need."""

import hashlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from films import picture

from movie_tags.models.backbones.applications import load_application
from movie_tags.models.backbones.frozen import FrozenNetwork
from movie_tags.models.backbones.registry import BACKBONES, RegisteredBackbone, registered
from movie_tags.models.backbones.specs import load_backbone, make_spec
from movie_tags.models.bundle import read_bundle
from movie_tags.models.joining import join
from movie_tags.models.loading import load_model, predict
from movie_tags.models.sources import read_source
from movie_tags.models.views import lay_out


@pytest.mark.parametrize("name", list(BACKBONES))
def test_a_line_says_what_the_network_is(name):
    known = registered(name.upper().replace("_", "-"))
    assert known is BACKBONES[name] and len(known.digest()) == 64
    pictures = tf.zeros([1, known.size, known.size, 3])
    assert known.load()(pictures).shape == (1, known.width)


@pytest.fixture
def mobilenet(tmp_path, monkeypatch):
    """A line for MobileNetV2 with the weights of a file, as a new backbone would have it."""
    keras.utils.set_random_seed(3)
    network = keras.applications.MobileNetV2(include_top=False, pooling="avg", weights=None, input_shape=(48, 48, 3))
    file = tmp_path / "mobilenet.weights.h5"
    network.save_weights(file)

    def load():
        known, _ = load_application("mobilenet_v2", str(file), (48, 48))
        return FrozenNetwork(keras.Sequential([keras.layers.Rescaling(1 / 127.5, -1), known]))

    line = RegisteredBackbone("film_mobilenet", 48, 1280, lambda: hashlib.sha256(file.read_bytes()).hexdigest(), load)
    monkeypatch.setitem(BACKBONES, line.name, line)
    return network


def test_a_new_line_is_all_that_training_and_building_need(mobilenet, tmp_path):
    pixels = picture(5)
    spec = make_spec("Film-MobileNet")
    canvas = lay_out(pixels, spec.views)[None].astype(np.float32)
    features = mobilenet(canvas / 127.5 - 1, training=False).numpy()
    learned_on = load_backbone(spec)
    assert learned_on.width == 1280 and np.allclose(learned_on.compute(canvas), features, atol=1e-4)

    sources, bundle = tmp_path / "sources", tmp_path / "bundle"
    sources.mkdir()
    bundle.mkdir()
    kernel = np.random.default_rng(0).normal(0, 0.1, (1280, 2)).astype(np.float32)
    np.savez(sources / "head.npz", kernel=kernel, bias=np.zeros(2, np.float32))
    (sources / "vocabulary.txt").write_text("Animal\nFood\n")
    features_card = {"views": [{"backbone": "film_mobilenet", "view": "whole"}]}
    (sources / "model.json").write_text(json.dumps({"features": features_card}))
    join(read_source(sources), bundle)
    read = read_bundle(str(bundle))
    (answer,) = predict(load_model(read), [pixels], read.fitted)
    assert np.allclose(answer.features, features[0], atol=1e-3)
    assert np.allclose(answer.probabilities, 1 / (1 + np.exp(-features[0] @ kernel)), atol=1e-3)
