"""Cautions: what is said, of which trainings."""

from movie_tags.training.cautions import FEW, cautions


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
