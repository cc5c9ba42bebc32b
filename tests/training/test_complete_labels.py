import json

import cv2
import numpy as np
import pytest

from movie_tags.records import TITLE_CARD
from movie_tags.training.data.complete_labels import agreed, completed
from movie_tags.training.data.labels import LabelError, LabelledPicture, find_pictures, read_labels


@pytest.fixture
def folder(tmp_path):
    for name in ("War/s__1.png", "War/s__2.png", "_none/t__3.png", "Food/u__4.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((8, 8, 3), 90, np.uint8))
    return tmp_path


def write(folder, *rows):
    (folder / "LABELS.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def labelled(folder):
    return {p.uri.rpartition("/")[2]: p for p in completed(str(folder), find_pictures(str(folder))[0])}


def test_labels_take_the_place_of_the_folders_name(folder):
    before = labelled(folder)
    assert before["s__1.png"].tags == ("War",) and not before["s__1.png"].complete
    write(
        folder,
        {"file": "War/s__1.png", "tags": ["Weapon", "War"], "maybe": ["Action"]},
        {"file": "_none/t__3.png", "tags": ["Food"]},
        {"file": "Food/u__4.png", "tags": [], "film": "a film"},
    )
    found = labelled(folder)
    path = f"{folder}/War/s__1.png"
    assert found["s__1.png"] == LabelledPicture(path, ("War", "Weapon"), "s", ("Action",), True, False)
    assert found["s__2.png"] == before["s__2.png"]  # it has no line: its folder's name must do
    assert (found["t__3.png"].tags, found["t__3.png"].complete) == (("Food",), True)
    assert (found["u__4.png"].source, found["u__4.png"].film, found["u__4.png"].tags) == ("a film", True, ())


def test_a_line_for_a_picture_that_is_not_there_is_named(folder):
    write(folder, {"file": "War/s__9.png", "tags": []})
    with pytest.raises(LabelError, match=r"names 1 picture that is not in the folder, .*s__9\.png"):
        labelled(folder)


def test_title_cards_are_labelled_as_such(folder):
    write(
        folder, {"file": "War/s__1.png", "tags": [], "card": True}, {"file": "War/s__2.png", "tags": [], "card": False}
    )
    assert [picture.tags for picture in read_labels(str(folder / "LABELS.jsonl"))] == [(TITLE_CARD,), ()]


def test_what_labellers_say_together():
    a, b = (frozenset({"War", "Food"}), frozenset({"Drama"})), (frozenset({"War"}), frozenset({"Family"}))
    assert agreed([a, b]) == agreed([b, a]) == (frozenset({"War"}), frozenset({"Food", "Drama", "Family"}))
    assert agreed([a]) == a
