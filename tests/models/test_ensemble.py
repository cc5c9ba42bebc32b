"""Several bundles as one: their tags united, whatever the order; and the model that GPUs run, on the CPU."""

import json
import shutil

import numpy as np
import pytest
from films import picture, write_video
from untrained import write_untrained

from movie_tags.models import loading
from movie_tags.models.bundle import SAVED_MODEL, BundleError, fingerprint, read_bundle
from movie_tags.models.ensemble import predict_with, read_models, unite
from movie_tags.models.loading import load_model, predict
from movie_tags.models.runtimes import Answers, Model
from movie_tags.pipeline.commands import main
from movie_tags.transforms.tagging import BundleHandler


def renamed(bundle, folder, name, tags):
    """A copy of a bundle that calls itself and its tags otherwise."""
    shutil.copytree(bundle, folder)
    (folder / "vocabulary.txt").write_text("".join(f"{tag}\n" for tag in tags))
    card = json.loads((folder / "model.json").read_text()) | {"name": name, "thresholds": dict.fromkeys(tags, 0.5)}
    (folder / "model.json").write_text(json.dumps({**card, "fingerprint": fingerprint(str(folder), card)}))
    return str(folder)


@pytest.fixture(scope="module")
def other_bundle(small_bundle, tmp_path_factory):
    return write_untrained(tmp_path_factory.mktemp("other"), ("Beach/Sea", "Robot"), 48, 8, {"name": "another"})


def test_what_they_say_together_is_what_each_says(small_bundle, other_bundle):
    models = read_models([small_bundle, other_bundle])
    pictures = [picture(seed) for seed in range(6)]
    found = predict_with(models.load(), [models.fitted(pixels) for pixels in pictures])
    for bundle in models.bundles:
        places = [models.vocabulary.index(tag) for tag in bundle.vocabulary]
        alone = predict(load_model(bundle), pictures, bundle.fitted)
        assert all(
            np.array_equal(both.probabilities[places], one.probabilities)
            for both, one in zip(found, alone, strict=True)
        )
    assert {image.shape for image in models.fitted(pictures[0])} == {(32, 32, 3), (48, 48, 3)}


def test_their_order_does_not_matter(small_bundle, other_bundle):
    one, two = read_models([small_bundle, other_bundle]), read_models([other_bundle, small_bundle])
    assert one == two and one.fingerprint == two.fingerprint
    assert sorted(one.vocabulary) == sorted(["Animal", "Food", "War", "Music", "Drama", "Beach/Sea", "Robot"])
    alone = read_models(small_bundle)
    assert alone.fingerprint == read_bundle(small_bundle).fingerprint != one.fingerprint


def test_what_cards_know_of_watching_is_put_together(small_bundle, tmp_path):
    said = {"Robot": {"threshold": 0.01, "recall": 0.9, "interval": [0.8, 0.95], "stills_per_hour": 30}}
    other = write_untrained(tmp_path, ("Beach/Sea", "Robot"), 48, 8, {"name": "another", "watch": said})
    assert read_models([small_bundle, other]).watch == said and read_models(small_bundle).watch == {}


def test_a_tag_that_two_claim_is_refused(small_bundle, tmp_path):
    copy = renamed(small_bundle, tmp_path / "copy", "copy", ["One", "Two", "War", "Three", "Animal"])
    with pytest.raises(BundleError, match="both claim"):
        read_models([small_bundle, copy])
    with pytest.raises(BundleError, match="both claim"):
        unite([read_bundle(small_bundle)] * 2)
    fine = renamed(small_bundle, tmp_path / "fine", "fine", ["One", "Two", "Four", "Three", "Five"])
    assert len(read_models([small_bundle, fine]).vocabulary) == 10


def test_a_picture_that_one_cannot_take_has_its_reason():
    def good(pictures):
        return Answers(np.full((len(pictures), 2), 0.5, np.float32))

    def bad(pictures):
        raise ValueError("unlucky")

    pixels = picture(1)
    (found,) = predict_with([Model(good), Model(bad)], [(pixels, pixels)])
    assert found.probabilities is None and "unlucky" in found.reason


def test_a_film_is_tagged_by_two_models_as_by_each(small_bundle, other_bundle, tmp_path):
    film = write_video(tmp_path / "a.mp4", [picture(k // 40) for k in range(200)])
    found = {}
    for name, models in (("one", [small_bundle]), ("two", [other_bundle]), ("both", [other_bundle, small_bundle])):
        words = [word for model in models for word in ("--model", model)]
        out = tmp_path / name
        assert main(["tag", str(film), "--output", str(out), "--top-k", "7", "--direct_num_workers", "1", *words]) == 0
        rows = [json.loads(line) for line in (out / "key_frames.jsonl").read_text().splitlines()]
        found[name] = [{tag["tag"]: tag["probability"] for tag in row["top_k"]} for row in rows]
    assert len(found["both"]) > 1
    for one, two, both in zip(found["one"], found["two"], found["both"], strict=True):
        assert both == one | two and len(both) == 7
    run = json.loads((tmp_path / "both" / "run.json").read_text())
    assert {bundle["uri"] for bundle in run["model"]["bundles"]} == {small_bundle, other_bundle}


@pytest.mark.parametrize("batch", [1, 7])
def test_the_saved_model_in_batches_as_on_a_gpu(small_bundle, monkeypatch, batch):
    """The path of GPUs, with TensorFlow on the CPU: within 1e-3 of LiteRT, one call a batch."""
    models = read_models(small_bundle)
    pictures = [models.fitted(picture(seed)) for seed in range(7)]
    lite = predict_with(models.load(), pictures)
    monkeypatch.setattr(loading, "has_gpu", lambda: True)
    monkeypatch.setattr(loading, "sees_a_gpu", lambda threads: True)
    handler = BundleHandler(models, batch)
    loaded = handler.load_model()
    assert loaded.models[0] is loading._load_once(small_bundle, SAVED_MODEL, models.bundles[0].fingerprint, 1)
    found = [
        result.inference
        for at in range(0, len(pictures), batch)
        for result in handler.run_inference(pictures[at : at + batch], loaded)
    ]
    both = [np.stack([answer.probabilities for answer in answers]) for answers in (found, lite)]
    assert np.abs(both[0] - both[1]).max() <= 1e-3
    assert np.ptp(both[1], axis=0).max() > 1e-2
