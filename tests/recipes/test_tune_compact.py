"""The recipe of the compact network, on pictures that the test makes, with the published weights below it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from films import picture
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.errors import UserError
from movie_tags.models.backbones import compact, efficientnet_lite
from movie_tags.models.backbones.efficientnet_lite import WeightsError
from movie_tags.models.views import fit, without_bars
from movie_tags.training.heads.multilabel import Labels, MultiLabelSettings
from recipes import tune_compact, tuned
from recipes.default_model import make, make_dataset
from recipes.film_looks import as_in_a_film
from recipes.tune_compact import Batches, TuningSettings, wanted_of, weighted_cross_entropy

FEW = TuningSettings(epochs=2, versions=2, folds=2, batch=16, learning_rate=2e-5, warmup=2)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32))
def test_what_looks_like_film_is_a_picture_of_the_size_and_the_same_from_the_same_seed(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    one, again = (as_in_a_film(pixels.copy(), (40, 56), np.random.default_rng(seed)) for _ in range(2))
    assert one.shape == (40, 56, 3) and one.dtype == np.uint8 and np.array_equal(one, again)


def test_the_loss_weighs_each_label():
    random = np.random.default_rng(0)
    shape = (5, 3)
    applies, weights = random.integers(0, 2, shape).astype(np.float32), random.uniform(0, 1, shape).astype(np.float32)
    weights[0, 0] = 0  # nobody knows
    labels = Labels(applies, weights, np.zeros(shape, bool), np.ones(5, bool), np.arange(5))
    logits = random.normal(0, 2, shape)
    found = weighted_cross_entropy(wanted_of(labels), tf.constant(logits, tf.float32)).numpy()
    p = 1 / (1 + np.exp(-logits))
    cross = -(applies * np.log(p) + (1 - applies) * np.log(1 - p))
    assert np.allclose(found, (weights / weights.mean() * cross).sum(1), rtol=1e-4)


def test_every_picture_comes_once_an_epoch_and_its_versions_take_turns():
    maps = [np.full((10, 1, 1, 1), version, np.float16) for version in range(3)]
    rows = np.array([0, 2, 3, 5, 7, 8])
    batches = Batches(maps, rows, np.arange(10 * 2, dtype=np.float32).reshape(10, 2, 1), 2)
    seen = {row: [] for row in rows.tolist()}
    for epoch in range(3):
        batches.begin(epoch)
        for number in range(len(batches)):
            shown, wanted = batches[number]
            for one, row in zip(shown, wanted[:, 0, 0] // 2, strict=True):
                seen[int(row)].append(int(one.item()))
    assert all(sorted(versions) == [0, 1, 2] for versions in seen.values())


class Cut(Exception):
    """A run that was cut off."""


def test_the_recipe_from_pictures_to_a_network_and_its_head(data, tmp_path, monkeypatch):
    work, out = tmp_path / "work", tmp_path / "out"
    with pytest.raises(UserError, match=r"recipes\.tune_compact"):
        make(data, "compact", out, work, MultiLabelSettings())
    begun = Batches.begin

    def begin(batches, epoch):
        begun(batches, epoch)
        begins.append(epoch)
        if cut and epoch == 1:
            cut.pop()
            raise Cut

    begins, cut = [], [True]
    monkeypatch.setattr(Batches, "begin", begin)
    with pytest.raises(Cut):
        tune_compact.tune_compact(data, work, out, FEW)
    assert begins == [0, 0, 1]  # made, first epoch, cut off in the second
    found = tune_compact.tune_compact(data, work, out, FEW)
    assert begins[3:] == [0, 1, 0, 0, 1, 0, 0, 1]  # the first part goes on from its second epoch, the others begin

    monkeypatch.setattr(compact, "BODY", out / "body.npz")
    card = make(data, "compact", out, work, MultiLabelSettings())
    assert card["accuracy"]["films_left_out"]["frames"]["mean_average_precision"] > 0.9  # colours are easily told
    dataset = make_dataset(data, work)
    assert np.isfinite(found.logits).all() and found.logits.any(1).all()

    network = compact.load(out / "body.npz")
    published = efficientnet_lite.load_frozen(compact.PUBLISHED)
    pixels = fit(without_bars(picture(3)), compact.SIZE)[None].astype(np.float32)
    cut_at = [
        keras.Model(one.network.input, one.network.get_layer(tune_compact.CUT).output)(pixels).numpy()
        for one in (network, published)
    ]
    assert np.array_equal(*cut_at) and np.abs(np.subtract(network(pixels), published(pixels))).max() > 1e-3
    # Folded and rounded, the frozen blocks say what they said in the tuning.
    maps = tune_compact.maps_of_versions(dataset, FEW.versions, work)[0]
    shown = np.stack([tune_compact.look(pixels[0].astype(np.uint8), 0, 0)])
    in_tuning = tune_compact.split()[0].predict_on_batch(shown.astype(np.float32))
    assert np.linalg.norm(in_tuning - cut_at[1]) < 0.01 * np.linalg.norm(in_tuning)
    assert maps.shape == (len(dataset.entries), *tune_compact.split()[0].output.shape[1:])


def test_what_was_tuned_on_other_tags_is_not_taken(tmp_path):
    head = tuned.MultiLabelHead(np.zeros((4, 1), np.float32), np.zeros(1, np.float32))
    tuned.Tuned(head, np.zeros((0, 1), np.float32), ("War",)).write(tmp_path, [])
    assert tuned.Tuned.read(tmp_path, [], ("War",)).vocabulary == ("War",)
    with pytest.raises(UserError, match="other pictures or tags"):
        tuned.Tuned.read(tmp_path, [], ("Food",))


def test_weights_that_are_not_of_the_network_are_refused(tmp_path):
    path = tmp_path / "body.npz"
    for content in (b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="install movie-tags anew"):
            compact.load(path)
    np.savez(path, head=np.zeros(3, np.float16))
    with pytest.raises(WeightsError, match="install movie-tags anew"):
        compact.load(path)
