import cv2
import numpy as np
import pytest
import tensorflow as tf

from movie_tags.models.backbones import specs
from movie_tags.models.bundle import read_bundle
from movie_tags.models.loading import load_model, predict
from movie_tags.training.data.vocabulary import TAGS, folder_name, tag_of_folder
from movie_tags.training.heads.softmax import HeadSettings
from recipes import distil
from recipes.distil import main
from recipes.picture_folders import find_labelled, multi_hot, split_pictures


def test_table_1_has_50_tags():
    assert len(TAGS) == len(set(TAGS)) == 50
    assert {"Beach/Sea", "College/Univ.", "Sci-fi", "Drama"} <= set(TAGS)


def test_folder_names_lead_back():
    assert all(tag_of_folder(folder_name(tag)) == tag for tag in TAGS)
    assert folder_name("College/Univ.") == "College_Univ"
    assert tag_of_folder("Time_travel") == "Time travel"


@pytest.fixture
def data(tmp_path):
    random = np.random.default_rng(0)
    for tag, value in (("Desert", 220), ("War", 40)):
        folder = tmp_path / "images" / tag
        folder.mkdir(parents=True)
        for i in range(60):
            source = ("one", "two", "gymeq")[i % 3]
            pixels = np.clip(random.normal(value, 20, (40, 50, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"{source}__{tag}{i:03}.jpg"), pixels)
    both = cv2.imread(str(tmp_path / "images/War/one__War000.jpg"))
    cv2.imwrite(str(tmp_path / "images/Desert/one__War000.jpg"), both)
    return tmp_path


def test_a_picture_under_two_tags_is_one_picture(data):
    pictures = find_labelled(data / "images")
    assert len(pictures) == 120
    (twice,) = [p for p in pictures if len(p.tags) == 2]
    assert multi_hot([twice], ("War", "Food", "Desert")).tolist() == [[1, 0, 1]]


def test_splits_keep_sources_and_pictures_apart(data):
    pictures = find_labelled(data / "images")
    known, held, strange = split_pictures(pictures, {"gymeq"}, 0.2)
    assert {p.source for p in strange} == {"gymeq"} and "gymeq" not in {p.source for p in known + held}
    assert len(known) + len(held) + len(strange) == 120
    assert 5 <= len(held) <= 30
    again = split_pictures(list(reversed(pictures))[:50], {"gymeq"}, 0.2)
    assert set(again[1]) <= set(held)


def test_the_sources_of_a_model_are_not_overwritten(tmp_path, capsys):
    (tmp_path / "head.npz").touch()
    with pytest.raises(SystemExit):
        main(["--data", str(tmp_path / "none"), "--work", str(tmp_path / "work"), "--output", str(tmp_path)])
    assert "would overwrite" in capsys.readouterr().err


def test_the_recipe_from_pictures_to_a_bundle_that_can_tell(data, tmp_path, monkeypatch):
    monkeypatch.setattr(distil, "TEACHERS_HEAD", HeadSettings(steps=30, batch_size=50))
    monkeypatch.setattr(distil, "FOLDS", 2)
    out, work = tmp_path / "bundle", tmp_path / "work"
    words = ["--data", str(data), "--output", str(out), "--work", str(work), "--teacher", "random", "--size", "32"]
    few = ["--epochs", "4", "--batch", "16", "--crops", "1", "--mixtures", "1", "--precision", "float32"]
    main([*words, *few])
    bundle = read_bundle(str(out))
    assert bundle.vocabulary == ("Desert", "War")
    assert bundle.card["accuracy"]["held_out_sources"]["pictures"] == 40
    assert "Food" in bundle.card["left_out"]
    model = load_model(bundle, 1)
    results = predict(model, [np.full((64, 64, 3), 220, np.uint8), np.full((64, 64, 3), 40, np.uint8)], bundle.fitted)
    assert np.allclose([found.probabilities.sum() for found in results], 1, atol=1e-5)
    before = bundle.fingerprint
    main([*words, *few])  # all epochs are done: goes straight to the bundle
    again = read_bundle(str(out))
    assert np.allclose(
        load_model(again, 2)(np.full((1, *again.input_size, 3), 40, np.uint8)),
        model(np.full((1, *bundle.input_size, 3), 40, np.uint8)),
        atol=1e-3,
    ), before
    features = specs.load_backbone(specs.make_spec(str(out)))
    assert features.compute(tf.zeros([2, *features.spec.size, 3])).shape == (2, features.width)
