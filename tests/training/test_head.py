import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from movie_tags.training.heads.softmax import (
    PAPER,
    Examples,
    HeadSettings,
    as_distribution,
    build_head,
    draw_weights,
    train_head,
)


def clouds(n: int, seed: int = 0, width: int = 12, tags: int = 4) -> Examples:
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(0, 1, (tags, width))
    which = random.integers(0, tags, n)
    features = centres[which] + random.normal(0, 1, (n, width))
    return Examples(features.astype(np.float32), np.eye(tags, dtype=np.float32)[which])


def test_the_paper_preset_has_the_papers_numbers():
    assert (PAPER.steps, PAPER.batch_size, PAPER.learning_rate, PAPER.dropout, PAPER.relu) == (
        50_000,
        500,
        0.005,
        0.5,
        True,
    )
    model = build_head(7, 3, PAPER)
    assert type(model.optimizer).__name__ == "SGD" and float(model.optimizer.learning_rate) == pytest.approx(0.005)
    assert model.layers[0].rate == 0.5 and type(model.layers[-1]).__name__ == "ReLU"


def test_tags_of_a_picture_share_one():
    assert as_distribution(np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]])).tolist() == [
        [0.5, 0.5, 0],
        [0, 0, 1],
        [0, 0, 0],
    ]


def test_balance_draws_tags_equally_often():
    labels = np.eye(2)[[0] * 9 + [1]]
    assert draw_weights(labels, 0) == pytest.approx([0.1] * 10)
    even = draw_weights(labels, 1)
    assert even[:9].sum() == pytest.approx(even[9]) == pytest.approx(0.5)


def test_a_head_is_as_good_as_scikit_learns():
    training, test = clouds(1500), clouds(1500, 1)
    head, curves = train_head(
        training, clouds(200, 2), HeadSettings(steps=400, learning_rate=0.05, weight_decay=0, dropout=0)
    )
    theirs = LogisticRegression(max_iter=500).fit(training.features, training.labels.argmax(1))
    truth = test.labels.argmax(1)
    ours = (head.logits(tf.constant(test.features)).numpy().argmax(1) == truth).mean()
    assert ours >= theirs.score(test.features, truth) - 0.015
    assert curves["step"] == [100, 200, 300, 400]
    assert len(curves["val_accuracy"]) == len(curves["loss"]) == 4


def test_the_same_seed_gives_the_same_head_and_relu_never_goes_below_nothing():
    settings = HeadSettings(steps=20, batch_size=50, relu=True)
    empty = Examples(np.zeros((0, 12), np.float32), np.zeros((0, 4), np.float32))
    one, two = (train_head(clouds(100), empty, settings)[0] for _ in range(2))
    assert np.array_equal(one.kernel, two.kernel)
    assert one.logits(tf.constant(clouds(50).features)).numpy().min() == 0
    other = train_head(clouds(100), empty, dataclasses.replace(settings, seed=2))[0]
    assert not np.array_equal(one.kernel, other.kernel)


def test_an_interrupted_training_goes_on(tmp_path):
    settings = HeadSettings(steps=400, batch_size=20)

    class Stop(Exception):
        pass

    def stop(step):
        if step >= 200:
            raise Stop

    nothing = clouds(40, 3)
    with pytest.raises(Stop):
        train_head(clouds(100), nothing, settings, backup=tmp_path / "b", on_step=stop)
    seen = []
    _, curves = train_head(clouds(100), nothing, settings, backup=tmp_path / "b", on_step=seen.append)
    assert seen[-1] == 400 and min(seen) > 100  # not from the beginning
    assert curves["step"][0] == 100 and curves["step"][-1] == 400
