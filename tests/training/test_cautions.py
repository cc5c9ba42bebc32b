"""Cautions: what is said, of which trainings."""

import numpy as np

from movie_tags.models.heads import LinearHead
from movie_tags.training.cautions import FEW, cautions, cautions_of_learning
from movie_tags.training.corrected import Corrected
from movie_tags.training.heads.adapt import Examples, TagChange
from movie_tags.training.learning import Learned
from movie_tags.training.never_worse import JudgedFilms


def splits(pictures, error=0.05):
    tags = {tag: {"pictures": n} for tag, n in pictures.items()}
    return {"test": {"pictures": sum(pictures.values()), "per_tag": tags, "expected_calibration_error": error}}


SOURCES = {"War": ["a", "b"], "Food": ["a", "c"]}


def test_of_a_good_training_nothing_is_said():
    assert cautions(splits({"War": FEW, "Food": 50}), SOURCES, "source") == []


def test_what_is_wrong_is_said():
    (said,) = cautions(splits({"War": 0, "Food": 0}), SOURCES, "source")
    assert "nothing is known" in said
    (said,) = cautions(splits({"War": 0, "Food": 9}), SOURCES, "source")
    assert "no test picture of War" in said
    (said,) = cautions(splits({"War": FEW - 1, "Food": 9}), SOURCES, "source")
    assert "fewer than 5 test pictures of War" in said
    (said,) = cautions(splits({"War": 9, "Food": 9}, 0.58), SOURCES, "source")
    assert "off by 0.58" in said
    (said,) = cautions(splits({"War": 9, "Food": 9}), {**SOURCES, "War": ["a", "a"]}, "source")
    assert "all pictures of War come from one source" in said
    (said,) = cautions(splits({"War": 9, "Food": 9}), {"War": ["a"], "Food": ["a"]}, "source")
    assert said.startswith("all pictures come from one source")
    assert len(cautions(splits({"War": 9, "Food": 9}), SOURCES, "random")) == 1
    many = {f"tag {n}": 0 for n in range(20)}
    assert "and 12 more tags" in cautions(splits({**many, "Food": 9}), {}, "source")[0]


def learning(labels, films, judged, known=1):
    """What was learned of tags, of which labels [key frames, tags] were said; judged: (before, after) by tag."""
    labels = np.array(labels, float)
    tags = tuple(f"tag{i}" for i in range(labels.shape[1]))
    examples = Examples(np.zeros((len(labels), 2)), labels, np.ones(labels.shape), np.array(films))
    said = Corrected(tags, examples, {}, known, np.ones(len(labels), bool))
    head = LinearHead(np.zeros((2, len(tags)), np.float32), np.zeros(len(tags), np.float32), (2,))
    changes = tuple(TagChange(tag, (0, 0), ((1, *pair),)) for tag, pair in judged.items())
    films = JudgedFilms(*[np.zeros((0, known), bool)] * 4)
    return said, Learned(head, tags, np.zeros(len(tags)), None, changes, tuple(range(len(tags))), known, films)


def test_what_should_keep_from_trusting_a_model_that_has_learned():
    enough = [[1]] * FEW + [[0]] * FEW
    films = [f"film{i % 3}" for i in range(2 * FEW)]
    assert cautions_of_learning(*learning(enough, films, {0: (0.5, 0.6)})) == []
    (said,) = cautions_of_learning(*learning(enough, films, {0: (0.5, 0.4)}))
    assert "worse at tag0" in said
    (said,) = cautions_of_learning(*learning(enough[1:], films[1:], {0: (0.5, 0.4)}))
    assert f"fewer than {FEW} key frames" in said and "tag0" in said
    (said,) = cautions_of_learning(*learning([[0], [0]], films[:2], {}))
    assert "nothing is known of how good the model is at tag0 now" in said
    alone = ["one"] * FEW + films[:FEW]
    (said,) = cautions_of_learning(*learning(enough, alone, {0: (0.5, 0.4)}, known=0))
    assert "tag0: marked in one film alone" in said
