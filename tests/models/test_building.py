"""Bundles put together from heads and backbones: what they say, that all machines agree, and when two build at once."""

import dataclasses
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from films import picture

from movie_tags.errors import UserError
from movie_tags.models import COMMITTED, NAMES, building, resolve
from movie_tags.models.building import BuildError, build, built, name_of, on_this_machine, place_of
from movie_tags.models.bundle import SAVED_MODEL, TFLITE, BundleError, read_bundle
from movie_tags.models.heads import read_head
from movie_tags.models.loading import check_outputs, load_model, load_saved_model, load_tflite, predict
from movie_tags.models.sources import read_source
from movie_tags.models.views import View

TAGS = ("Animal", "Food", "War")
VIEWS = [
    {"backbone": "efficientnet_lite0", "view": "without_bars", "size": [64, 96]},
    {"backbone": "efficientnet_lite0", "view": "middle_mirrored", "size": [48, 48]},
]


def write_sources(folder, combine="concat", tags=TAGS, width=2560, seed=0, scales=("plain",)):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    kernel = random.normal(0, 0.1, (width, len(tags))).astype(np.float32)
    np.savez(folder / "head.npz", kernel=kernel, bias=np.zeros(len(tags), np.float32))
    (folder / "vocabulary.txt").write_text("".join(f"{tag}\n" for tag in tags))
    thresholds = dict.fromkeys(tags, 0.25)
    features = {"views": VIEWS, "combine": combine, "scales": scales}
    card = {"name": "a head", "features": features, "thresholds": thresholds}
    (folder / "model.json").write_text(json.dumps(card))
    return folder


def joined(sources, folder):
    from movie_tags.models.joining import join

    folder.mkdir()
    join(read_source(sources), folder)
    return str(folder)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return write_sources(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def bundle(sources, tmp_path_factory):
    return joined(sources, tmp_path_factory.mktemp("joined") / "bundle")


@pytest.fixture
def place(monkeypatch, tmp_path):
    """A cache of the test's own, and sources of one small bundle known as `compact`."""
    monkeypatch.setenv("MOVIE_TAGS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(building, "COMMITTED", tmp_path / "sources")
    write_sources(tmp_path / "sources" / "compact")
    return tmp_path / "cache" / "models"


def test_a_joined_bundle_says_what_its_head_says_of_its_backbones(sources, bundle):
    from movie_tags.models.backbones.efficientnet_lite import in_half, load, load_frozen

    published, network = load("efficientnet_lite0"), load_frozen("efficientnet_lite0")
    read = read_bundle(bundle)
    assert read.vocabulary == TAGS and read.thresholds == (0.25,) * 3 and read.input_size == (64, 144)
    assert read.views == (View("without_bars", (64, 96)), View("middle_mirrored", (48, 48)))
    canvas = read.fitted(picture(3))
    parts = (canvas[:64, :96], canvas[:48, 96:])
    features = np.concatenate([network(part[None].astype(np.float32)).numpy()[0] for part in parts])
    exact = np.concatenate([published(part[None].astype(np.float32), training=False).numpy()[0] for part in parts])
    head = np.load(sources / "head.npz")
    kernel, bias = head["kernel"], head["bias"]
    in_16_bits, in_32_bits = (
        1 / (1 + np.exp(-(features @ in_half(kernel) + in_half(bias)))),
        1 / (1 + np.exp(-(exact @ kernel + bias))),
    )
    assert np.allclose(load_model(read)(canvas[None])[0], in_16_bits, atol=1e-4)
    assert np.abs(in_16_bits - in_32_bits).max() < 5e-3 and np.ptp(in_32_bits) > 0.01
    import tensorflow as tf

    given = tf.saved_model.load(os.path.join(bundle, SAVED_MODEL)).signatures["canvas"](canvas=canvas[None])
    assert np.allclose(given["features"].numpy()[0], features, atol=1e-4)


@pytest.mark.parametrize("size", [(90, 160), (48, 64), (150, 100)])
def test_a_stranger_serves_pictures_of_any_size(bundle, size):
    """With nothing but TensorFlow, as a model server does; letterboxed pictures and a batch of several among them."""
    import tensorflow as tf

    pictures = np.stack([cv2.resize(picture(seed), size[::-1]) for seed in range(4)])
    pictures[1, : size[0] // 6] = pictures[1, -(size[0] // 6) :] = 0
    pictures[2, :, : size[1] // 7] = 2
    served = tf.saved_model.load(os.path.join(bundle, SAVED_MODEL)).signatures["serving_default"]
    assert list(served.structured_input_signature[1]) == ["images"]
    found = served(images=tf.constant(pictures))["probabilities"].numpy()
    read = read_bundle(bundle)
    expected = np.stack([answer.probabilities for answer in predict(load_model(read), pictures, read.fitted)])
    assert np.abs(found - expected).max() < 0.01
    assert np.ptp(found, axis=0).max() > 0.02


def test_features_and_the_head_by_itself_say_what_the_bundle_says(bundle, tmp_path):
    twice = joined(
        write_sources(tmp_path / "sources", width=5120, scales=("root4", "unit"), seed=2), tmp_path / "twice"
    )
    for folder in (bundle, twice):
        read = read_bundle(folder)
        answers = predict(load_model(read), [picture(seed) for seed in range(6)], read.fitted)
        features, said = (np.stack([getattr(a, name) for a in answers]) for name in ("features", "probabilities"))
        assert features.shape == (6, 2560) and np.abs(read_head(read)(features) - said).max() < 1e-5
        full = load_saved_model(os.path.join(folder, SAVED_MODEL)).describe(
            np.stack([read.fitted(picture(seed)) for seed in range(6)])
        )
        assert np.allclose(full.features, features, atol=1e-3)
    assert read_bundle(bundle).features_fingerprint == read_bundle(twice).features_fingerprint


def test_a_backbone_of_another_view_gives_other_features(sources, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(sources, copy)
    (copy / "model.json").write_text((copy / "model.json").read_text().replace("without_bars", "whole"))
    key = "features_fingerprint"
    assert read_source(copy).card[key] != read_source(sources).card[key]
    assert read_source(write_sources(tmp_path / "head", seed=1)).card[key] == read_source(sources).card[key]


def test_a_head_that_takes_features_in_two_ways(tmp_path):
    import tensorflow as tf

    sources = write_sources(tmp_path / "sources", width=5120, scales=("root4", "unit"))
    bundle = joined(sources, tmp_path / "bundle")
    canvas = read_bundle(bundle).fitted(picture(3))[None]
    given = tf.saved_model.load(os.path.join(bundle, SAVED_MODEL)).signatures["canvas"](canvas=canvas)
    found = given["features"].numpy().astype(float)
    one, other = found[:, :1280], found[:, 1280:]
    unit = [part * np.sqrt(1280) / np.linalg.norm(part) for part in (one, other)]
    head = np.load(sources / "head.npz")
    logits = np.hstack([one**0.25, other**0.25, *unit]) @ head["kernel"] + head["bias"]
    assert np.allclose(load_model(read_bundle(bundle))(canvas), 1 / (1 + np.exp(-logits)), atol=1e-4)


def test_litert_says_what_the_saved_model_says(bundle):
    read = read_bundle(bundle)
    canvases = np.stack([read.fitted(picture(seed)) for seed in range(8)])
    lite, full = (
        load(os.path.join(bundle, part))(canvases)
        for load, part in ((load_tflite, TFLITE), (load_saved_model, SAVED_MODEL))
    )
    assert np.abs(lite - full).max() <= 1e-4
    assert np.ptp(full, axis=0).max() > 1e-2


def test_the_same_sources_make_the_same_model(sources, tmp_path):
    made = [tmp_path / name for name in ("one", "two")]
    for folder in made:  # each in a process of its own, as bundles are built: TensorFlow numbers what it names
        folder.mkdir()
        words = [sys.executable, "-m", "movie_tags.models.joining", str(sources), str(folder)]
        subprocess.run(words, check=True, capture_output=True)
        assert read_bundle(str(folder)).fingerprint == read_source(sources).fingerprint
    one, two = ((folder / TFLITE).read_bytes() for folder in made)
    assert one == two


def test_whatever_decides_changes_the_fingerprint(sources, tmp_path):
    first = read_source(sources).fingerprint
    assert read_source(write_sources(tmp_path / "head", seed=1)).fingerprint != first
    assert read_source(write_sources(tmp_path / "mean", "mean", width=1280)).fingerprint != first
    assert read_source(write_sources(tmp_path / "root", scales=("root4",))).fingerprint != first
    assert read_source(write_sources(tmp_path / "tags", tags=("Animal", "Food", "Sex"))).fingerprint != first
    copy = tmp_path / "copy"
    shutil.copytree(sources, copy)
    card = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps({**card, "accuracy": 1}))
    assert read_source(copy).fingerprint == first
    card["thresholds"]["Food"] = 0.5
    (copy / "model.json").write_text(json.dumps(card))
    assert read_source(copy).fingerprint != first


def test_a_built_bundle_whose_files_were_changed_is_refused(bundle, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    with open(copy / TFLITE, "r+b") as file:
        file.seek(1000)
        file.write(b"other")
    with pytest.raises(BundleError, match="the weights are not those"):
        read_bundle(str(copy))


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("vocabulary.txt", lambda text: text + "Music\n", "3 outputs for 4 tags"),
        ("model.json", lambda text: text.replace("middle_mirrored", "corner"), "no view 'corner'"),
        ("model.json", lambda text: text.replace("concat", "product"), "concat or mean"),
        ("model.json", lambda text: text.replace("efficientnet_lite0", "resnet"), "resnet"),
        ("head.npz", None, "head.npz"),
    ],
)
def test_sources_that_do_not_go_together_say_so(tmp_path, name, change, says):
    folder = write_sources(tmp_path / "sources")
    if change:
        (folder / name).write_text(change((folder / name).read_text()))
    else:
        (folder / name).unlink()
    with pytest.raises(BundleError, match=says):
        read_source(folder)


@pytest.mark.parametrize("cache", ["relative/cache", "../cache", "/absolute"])
def test_a_model_that_ships_is_known_by_its_address(tmp_path, monkeypatch, cache):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("MOVIE_TAGS_CACHE", cache)
    for name in NAMES:
        address = os.path.abspath(place_of(name))
        assert name_of(address) == name
        assert name_of(f"{address}0") is None
    assert name_of("") is name_of("gs://models/default") is None


def test_a_name_is_built_once_and_then_found(place, capsys):
    folder = built("compact")
    assert "building the model 'compact'" in capsys.readouterr().err
    assert folder == str(place_of("compact")) == built("compact")
    assert capsys.readouterr().err == ""
    assert read_bundle(folder).fingerprint == read_source(building.COMMITTED / "compact").fingerprint
    assert sorted(os.listdir(place)) == sorted([os.path.basename(folder), os.path.basename(folder) + ".lock"])
    # a worker elsewhere is told a place that it does not have
    elsewhere = dataclasses.replace(read_bundle(folder), uri="/of/another/machine")
    check_outputs(elsewhere)
    # damaged, it is built anew when asked for
    os.truncate(os.path.join(folder, TFLITE), 1000)
    assert build("compact") == folder
    check_outputs(read_bundle(folder))


def test_a_worker_that_has_no_such_bundle_says_what_to_do(bundle, place):
    absent = dataclasses.replace(read_bundle(bundle), uri="/of/another/machine", fingerprint="f" * 64)
    assert on_this_machine(absent.fingerprint) is None
    with pytest.raises(BundleError, match="movie-tags model build"):
        load_model(absent)


def _count_builds(name, folder, say):
    time.sleep(0.5)  # the other process comes meanwhile
    with open(os.environ["MOVIE_TAGS_CACHE"] + "/builds", "a") as file:
        file.write("x")
    (folder / "model.json").write_text("{}")


def test_of_two_processes_at_once_one_builds(place, monkeypatch):
    place.mkdir(parents=True)
    left = place / f"{place_of('compact').name}.killed.unfinished"
    left.mkdir()
    monkeypatch.setattr(building, "_build", _count_builds)
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=built, args=("compact",)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert (place.parent / "builds").read_text() == "x"
    assert not left.exists() and (place_of("compact") / "model.json").exists()


def test_a_failed_build_leaves_nothing_and_says_why(place, monkeypatch):
    monkeypatch.setattr(building.sys, "executable", shutil.which("false"))
    with pytest.raises(BuildError, match="could not be built: no reason given"):
        built("compact")
    assert [name for name in os.listdir(place) if not name.endswith(".lock")] == []


def test_a_cache_that_cannot_be_written_says_so(place, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MOVIE_TAGS_CACHE", str(tmp_path / "file"))
    with pytest.raises(BuildError, match="MOVIE_TAGS_CACHE"):
        built("compact")


def test_a_path_stays_a_path():
    with pytest.raises(UserError, match=r"compct: there is no such folder, .* default, compact, moderation"):
        resolve("compct")
    assert resolve("./compact") == "./compact" and resolve("gs://bucket/default") == "gs://bucket/default"


@pytest.mark.parametrize("name", [path.parent.name for path in COMMITTED.glob("*/head.npz")])
def test_what_is_committed_is_whole(name):
    source = read_source(COMMITTED / name)
    assert len(set(source.vocabulary)) == len(source.vocabulary) > 1
    assert "fingerprint" not in json.loads((COMMITTED / name / "model.json").read_text())
