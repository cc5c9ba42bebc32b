import numpy as np
import pytest

from movie_tags.training.evaluate.accuracy import (
    accuracy,
    calibration_bins,
    calibration_error,
    fit_temperature,
    softmax,
)
from movie_tags.training.training_report import confusion, measure, most_confused


def test_accuracy_by_hand():
    p = np.array([[0.5, 0.3, 0.15, 0.05], [0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
    labels = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
    assert accuracy(p, labels) == {"top1": 0.5, "top3": 1.0, "pictures": 2}
    assert accuracy(p[2:], labels[2:])["pictures"] == 0


def test_calibration_by_hand():
    p = np.array([[0.8, 0.2]] * 10 + [[0.45, 0.55]] * 10)
    labels = np.array([[1, 0]] * 6 + [[0, 1]] * 4 + [[0, 1]] * 10)
    assert calibration_bins(p, labels, 10) == [pytest.approx((0.55, 1, 10)), pytest.approx((0.8, 0.6, 10))]
    assert calibration_error(p, labels, 10) == pytest.approx((0.45 + 0.2) / 2)


def test_temperature_undoes_overconfidence():
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, 5))
    labels = np.eye(5)[[random.choice(5, p=row) for row in softmax(logits)]]
    assert fit_temperature(2 * logits, labels) == pytest.approx(2, rel=0.1)


def test_confusions_by_hand():
    p = np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0, 0.9, 0.1], [0.1, 0, 0.9]])
    labels = np.array([[1, 0, 0], [1, 0, 0], [1, 0, 1], [0, 1, 1]])
    matrix = confusion(p, labels)
    assert matrix.tolist() == [[1, 1.5, 0], [0, 0, 0], [0, 0.5, 1]]
    pairs = most_confused(matrix, "abc")
    assert [(row["tag"], row["found"], row["pictures"]) for row in pairs] == [("a", "b", 1.5), ("c", "b", 0.5)]


def test_figures_of_each_tag_by_hand():
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.5, 0.5]])
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 0]])
    found = measure(p, labels, ["War", "Food"])
    assert (found["top1"], found["pictures"]) == (0.75, 4)
    assert found["per_tag"]["War"]["precision"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["per_tag"]["Food"] == {
        "precision": 1,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3, abs=1e-4),
        "average_precision": 1,
        "pictures": 2,
    }
    assert found["mean_average_precision"] == 1
