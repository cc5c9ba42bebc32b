"""The recipe of the heads that ship, on pictures and films that the test makes."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from films import picture
from labelled import COLOURS, shown
from tiny_pairs import write_pair

from movie_tags.models import COMMITTED, COMPACT, DEFAULT
from movie_tags.models.bundle import read_bundle
from movie_tags.models.clip.clip_bundle import import_pair
from movie_tags.models.clip.text_encoder import text_encoder_at
from movie_tags.models.heads import read_head
from movie_tags.models.loading import load_model
from movie_tags.models.sources import read_source
from movie_tags.training.heads.multilabel import MultiLabelSettings
from movie_tags.transforms.evidence import FilmConfidence
from recipes import default_model
from recipes.default_model import group_of, make


def test_the_recipe_makes_sources_of_a_bundle_and_judges_them(data, tmp_path):
    card = make(data, "default", tmp_path / "out", tmp_path / "work", MultiLabelSettings())
    source = read_source(tmp_path / "out")
    assert source.vocabulary == ("Food", "War") or source.vocabulary == ("War", "Food")
    assert source.head.activation == "sigmoid" and source.head.kernel.shape == (2 * 2680, 2)
    said = json.loads((tmp_path / "out/model.json").read_text())
    assert said == json.loads(json.dumps(card)) and set(said["thresholds"]) == {"War", "Food"}
    assert FilmConfidence.of_card(said) is not None or said.get("film_confidence") is None
    parts = said["accuracy"]["films_left_out"]["parts"]
    judged, others = parts[default_model.JUDGED], parts[default_model.BY_FRAMES]
    assert (judged["films"], others["films"]) == (3, 5)  # two trailers and a clip; five films of labelled frames
    assert min(judged["strict"], others["strict"]) > 0.9  # colours are easily told
    assert min(judged["recall"], others["recall"]) >= 0.5  # the weaker of two tags has a relative strength of 0
    assert said["accuracy"]["films_left_out"]["frames"]["mean_average_precision"] > 0.8
    text = (tmp_path / "out/CARD.md").read_text()
    assert "What it is trained on" in text and "Not for" in text and "| War |" in text
    again = make(data, "default", tmp_path / "again", tmp_path / "work", MultiLabelSettings())
    assert again == card  # the same from the same
    first, second = (np.load(tmp_path / name / "head.npz") for name in ("out", "again"))
    assert np.array_equal(first["kernel"], second["kernel"]) and np.array_equal(first["bias"], second["bias"])


def test_the_recipe_makes_a_bundle_on_a_clip_that_one_brings(data, tmp_path, capsys):
    pytest.importorskip("tokenizers")
    write_pair(tmp_path / "hub", "clip")
    import_pair(str(tmp_path / "hub"), {"lighthouse": ("a lighthouse",)}, str(tmp_path / "clip"), "tiny")
    words = ["--data", str(data), "--backbone", str(tmp_path / "clip"), "--work", str(tmp_path / "work")]
    default_model.main([*words, "--output", str(tmp_path / "out")])
    clip, made = read_bundle(str(tmp_path / "clip")), read_bundle(str(tmp_path / "out"))
    assert set(made.vocabulary) == {"Food", "War"} and made.features_fingerprint == clip.features_fingerprint
    seen, said = load_model(clip), load_model(made)
    canvases = np.stack([made.fitted(picture(seed, 48, 64)) for seed in range(4)])
    assert np.array_equal(said(canvases), read_head(made)(seen.describe(canvases).features))
    shown_right = {  # of pictures that it did not see, most are told by the small network's features
        tag: np.mean([said(made.fitted(shown(tag, 900 + i))[None])[0].argmax() for i in range(20)]) for tag in COLOURS
    }
    war = made.vocabulary.index("War")
    assert abs(shown_right["War"] - war) < 0.25 and abs(shown_right["Food"] - (1 - war)) < 0.25
    assert len(text_encoder_at(made.uri, made.card)(["a lighthouse"])[0]) == 8
    text = (tmp_path / "out/CARD.md").read_text()
    assert "was brought to this recipe" in text and "EfficientNet" not in text
    capsys.readouterr()
    for more, why in {
        (): "give --output BUNDLE",
        ("--output", str(tmp_path / "out")): "holds a model already",
        ("--output", str(tmp_path / "new"), "--backbone", "nothing"): "there is no backbone 'nothing'",
    }.items():
        with pytest.raises(SystemExit) as stopped:
            default_model.main([*words, *more])
        assert stopped.value.code == 2 and why in capsys.readouterr().err


@pytest.mark.parametrize("name", [DEFAULT, COMPACT])
def test_a_card_is_what_model_json_says_and_of_a_network_that_one_brings_it_claims_nothing(name, tmp_path):
    said = json.loads((COMMITTED / name / "model.json").read_text("utf-8"))
    default_model.write_card(tmp_path, said)
    ours = (tmp_path / "CARD.md").read_text("utf-8")
    assert ours == (COMMITTED / name / "CARD.md").read_text("utf-8")
    assert ("five-fold" in ours, "by thirds" in ours) == (name == DEFAULT, name == COMPACT)
    default_model.write_card(tmp_path, said | {"backbone": {"name": name}})
    brought = (tmp_path / "CARD.md").read_text("utf-8")
    assert "was brought to this recipe" in brought and "five-fold" in brought and "by thirds" not in brought


def test_features_of_another_body_are_not_taken_for_this_ones(tmp_path, monkeypatch):
    computed = []
    dataset = SimpleNamespace(entries=[SimpleNamespace(key="k")])
    monkeypatch.setattr(
        default_model, "_compute", lambda *_: computed.append(1) or {"k": np.full(2, len(computed), np.float16)}
    )
    for weights, expected in (("old", 1), ("old", 1), ("new", 2)):
        monkeypatch.setattr(default_model, "weights_hash", lambda name, weights=weights: weights)
        features = default_model.features_of(dataset, default_model.FEATURES["compact"], tmp_path)
        assert features.tolist() == [[expected] * 2]


def test_what_is_cut_from_the_same_film_is_left_out_together():
    assert group_of("addams_family_1991_trailer_88s") == group_of("addams_family_tv_1964_bw_49s")
    assert group_of("big_buck_bunny_480p.mp4") == group_of("bbb_teaser.webm") != group_of("sintel_trailer.mp4")
    assert group_of("joker") == "joker"


def test_the_committed_heads_are_of_their_recipe():
    for name, features in default_model.FEATURES.items():
        source = read_source(default_model.Path(default_model.__file__).resolve().parents[1] / "models" / name)
        assert source.card["features"] == features and source.head.activation == "sigmoid"
        assert set(source.card["thresholds"]) == set(source.vocabulary) == set(source.card["training"]["counts"])
        assert FilmConfidence.of_card(source.card) is not None
