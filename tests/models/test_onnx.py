"""Classifiers of others: how pictures are shown to them, importing them, and tagging with them."""

import json
import sys

import cv2
import numpy as np
import onnx
import pytest
from films import picture
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from movie_tags.models.bundle import ONNX, BundleError, read_bundle
from movie_tags.models.loading import load_model, predict
from movie_tags.models.runtimes.onnx_model import Preprocessing, activate, preprocess, preprocessing_of
from movie_tags.pipeline.commands import main

KERNEL = np.array([[1.0, -2.0], [0.5, 1.0], [-1.0, 3.0]], np.float32)
BIAS = np.array([0.25, -0.5], np.float32)


def write_onnx(path, layout="nchw", size=16):
    """A classifier that knows a picture's mean colour alone: logits are the mean of each channel · KERNEL + BIAS."""
    shape, axes = ([None, 3, size, size], [2, 3]) if layout == "nchw" else ([None, size, size, 3], [1, 2])
    nodes = [
        helper.make_node("ReduceMean", ["pictures", "axes"], ["mean"], keepdims=0),
        helper.make_node("Gemm", ["mean", "kernel", "bias"], ["logits"]),
    ]
    constants = {"axes": np.array(axes, np.int64), "kernel": KERNEL, "bias": BIAS}
    graph = helper.make_graph(
        nodes,
        "mean colour",
        [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


@pytest.fixture
def given_files(tmp_path):
    write_onnx(tmp_path / "mean.onnx")
    (tmp_path / "vocabulary.txt").write_text("Warm\nCold\n")
    words = ["model", "import", "--onnx", str(tmp_path / "mean.onnx"), "--vocabulary", str(tmp_path / "vocabulary.txt")]
    return tmp_path, [*words, "--size", "16", "--output", str(tmp_path / "bundle")]


@given(st.sampled_from(["rgb", "bgr"]), st.floats(0.001, 2), *[st.tuples(*[st.floats(0.5, 200)] * 3)] * 2)
def test_a_picture_is_shown_by_the_formula(channels, scale, mean, deviation):
    pixels = picture(1, 24, 24)
    found = preprocess(pixels, Preprocessing("nchw", channels, scale, mean, deviation))
    assert found.shape == (1, 3, 24, 24) and found.dtype == np.float32
    for place, channel in enumerate((0, 1, 2) if channels == "rgb" else (2, 1, 0)):
        expected = (pixels[5, 7, channel] * scale - mean[place]) / deviation[place]
        assert found[0, place, 5, 7] == pytest.approx(expected, rel=1e-4, abs=1e-3)
    other = preprocess(pixels, Preprocessing("nhwc", channels, scale, mean, deviation))
    assert np.array_equal(other, found.transpose(0, 2, 3, 1))


def test_the_middle_is_cut_out_and_a_jpeg_leaves_its_traces():
    pixels = picture(2, 33, 32)
    cropped = preprocess(pixels, Preprocessing("nhwc", crop=16))[0]
    assert np.array_equal(cropped, pixels[8:24, 8:24].astype(np.float32))
    squeezed = preprocess(pixels, Preprocessing("nhwc", jpeg=75))[0]
    assert 0 < np.abs(squeezed - pixels).mean() < 12


def test_answers_by_hand():
    logits = np.array([[0.0, np.log(3), -200.0]])
    assert activate(logits, Preprocessing(activation="sigmoid")) == pytest.approx([0.5, 0.75, 0])
    assert activate(logits, Preprocessing(activation="softmax")) == pytest.approx([0.25, 0.75, 0])
    assert activate(logits, Preprocessing(outputs=(1,))) == pytest.approx([np.log(3)])


@pytest.mark.parametrize("said", [None, {"layout": "hwcn"}, {"mean": [1]}, {"deviation": [1, 0, 1]}, {"shape": 3}])
def test_a_card_that_does_not_say_how_is_refused(said):
    with pytest.raises(ValueError, match="onnx"):
        preprocessing_of({"onnx": said})


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_an_imported_classifier_says_what_its_formula_says(given_files, layout, capsys):
    folder, words = given_files
    write_onnx(folder / "mean.onnx", layout)
    options = ["--scale", "0.01", "--mean", "1", "0.5", "2", "--deviation", "2", "--layout", layout, "--sigmoid"]
    assert main([*words, *options, "--threshold", "0.4"]) == 0
    bundle = read_bundle(str(folder / "bundle"))
    assert (bundle.parts, bundle.vocabulary, bundle.thresholds) == ((ONNX,), ("Warm", "Cold"), (0.4, 0.4))
    pictures = [picture(seed) for seed in range(5)]
    found = np.stack([answer.probabilities for answer in predict(load_model(bundle), pictures, bundle.fitted)])
    for row, pixels in zip(found, pictures, strict=True):
        mean = (bundle.fitted(pixels).mean((0, 1)) * 0.01 - [1, 0.5, 2]) / 2
        assert row == pytest.approx(1 / (1 + np.exp(-(mean @ KERNEL + BIAS))), abs=1e-5)
    assert np.ptp(found) > 0.05
    alone = np.concatenate([load_model(bundle)(bundle.fitted(pixels)[None]) for pixels in pictures])
    assert np.array_equal(found, alone)
    cv2.imwrite(str(folder / "a.png"), pictures[0][..., ::-1])
    assert main(["frame", str(folder / "a.png"), "--model", str(folder / "bundle"), "--json"]) == 0
    said = {row["tag"]: row["probability"] for row in json.loads(capsys.readouterr().out.splitlines()[-1])["tags"]}
    assert said["Warm"] == pytest.approx(found[0, 0], abs=1e-6)


def test_how_pictures_are_taken_is_in_the_fingerprint(given_files):
    folder, words = given_files
    assert main([*words, "--sigmoid"]) == 0
    first = read_bundle(str(folder / "bundle")).fingerprint
    card = json.loads((folder / "bundle" / "model.json").read_text())
    card["onnx"]["scale"] = 2.0
    (folder / "bundle" / "model.json").write_text(json.dumps(card))
    with pytest.raises(BundleError, match="fingerprint"):
        read_bundle(str(folder / "bundle"))
    assert main([*words[:-1], str(folder / "other"), "--sigmoid", "--scale", "2"]) == 0
    assert read_bundle(str(folder / "other")).fingerprint != first


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ([], "no probabilities; add --sigmoid or --softmax"),
        (["--sigmoid", "--size", "20"], "does not run on pictures taken so"),
        (["--sigmoid", "--layout", "nhwc"], "does not run on pictures taken so"),
        (["--sigmoid", "--mean", "1", "2"], "--mean takes one number, or three"),
        (["--sigmoid", "--crop", "17"], "--crop 17 is more than --size 16"),
        (["--sigmoid", "--onnx", "nowhere.onnx"], "nowhere.onnx"),
        (["--sigmoid", "--vocabulary", "nowhere.txt"], "cannot be read"),
    ],
)
def test_what_cannot_be_imported_says_why(given_files, capsys, change, says):
    folder, words = given_files
    assert main([*words, *change]) == 2
    assert says in capsys.readouterr().err or "nowhere" in says
    assert not (folder / "bundle" / "model.json").exists()


@pytest.mark.parametrize("option", ["--onnx", "--vocabulary", "--output"])
def test_the_file_that_cannot_be_read_or_written_is_named(given_files, capsys, option):
    folder, words = given_files
    (folder / "file").touch()
    words = [*words, "--sigmoid"]
    bad = words[words.index(option) + 1] = str(folder / "file" / "nothing")
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.count(bad) == 1 and ("written" if option == "--output" else "read") in said


def test_a_vocabulary_of_another_length_and_a_file_that_is_no_model(given_files, capsys):
    folder, words = given_files
    (folder / "vocabulary.txt").write_text("Warm\nCold\nMild\n")
    assert main([*words, "--sigmoid"]) == 2
    assert "2 outputs, but the vocabulary has 3 tags" in capsys.readouterr().err
    (folder / "mean.onnx").write_bytes(b"no model")
    assert main([*words, "--sigmoid"]) == 2
    assert "no model that ONNX Runtime can run" in capsys.readouterr().err


def test_without_onnx_runtime_it_says_what_to_install(given_files, monkeypatch, capsys):
    _, words = given_files
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main([*words, "--sigmoid"]) == 2
    assert "pip install 'movie-tags[onnx]'" in capsys.readouterr().err
