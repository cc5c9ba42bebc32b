"""Pairs of models that users bring: against numpy, and the sentences of folders that cannot be used."""

import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import unicodedata
from collections import Counter
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from films import picture, write_video
from onnx import TensorProto
from tiny_pairs import (
    CONTEXT,
    CORPUS,
    DEVIATION,
    END,
    MEAN,
    Graph,
    Pair,
    embeds,
    reference_tokens,
    unit,
    write_pair,
)

from movie_tags.errors import UserError
from movie_tags.models.backbones.specs import load_backbone, make_spec
from movie_tags.models.bundle import BundleError, read_bundle
from movie_tags.models.clip import published
from movie_tags.models.clip.clip_bundle import import_pair
from movie_tags.models.clip.hub_folder import TextSettings, preprocessing_of_hub, text_settings
from movie_tags.models.clip.prompts import NEUTRAL, own_prompts, read_prompts
from movie_tags.models.clip.text_encoder import open_tokenizer, text_encoder_at
from movie_tags.models.clip.thresholds import best_thresholds, read_examples
from movie_tags.models.heads import LinearHead, read_head
from movie_tags.models.loading import load_model, predict
from movie_tags.models.views import View
from movie_tags.pipeline.commands import main
from movie_tags.training.corrected import Corrected
from movie_tags.training.data.vocabulary import TAGS
from movie_tags.training.export import write_bundle_on
from movie_tags.training.heads.adapt import Examples
from movie_tags.training.learning import head_of, learn, write_learned

pytest.importorskip("tokenizers")
PROMPTS = {"lighthouse": ("a lighthouse", "the beam of a lighthouse"), "red dress": ("a red dress",)}
SCALES = {"clip": (100.0, 0.0), "siglip": (20.0, -3.0)}


@pytest.fixture(scope="module", params=["clip", "siglip"])
def pair(request, tmp_path_factory):
    """(the networks in numpy, their folder, the bundle made of it)"""
    folder = tmp_path_factory.mktemp(request.param)
    networks, (scale, bias) = write_pair(folder / "hub", request.param), SCALES[request.param]
    import_pair(str(folder / "hub"), PROMPTS, str(folder / "bundle"), "tiny", scale=scale, bias=bias)
    return networks, folder / "hub", read_bundle(str(folder / "bundle"))


def words_of(networks, texts):
    return networks.word(np.array([reference_tokens(text) for text in texts]))


def test_embeddings_and_probabilities_are_those_of_numpy(pair):
    networks, _, bundle = pair
    pictures = [picture(seed, 48, 64) for seed in range(5)]
    answers = predict(load_model(bundle), pictures, bundle.fitted)
    canvases = np.stack([bundle.fitted(pixels) for pixels in pictures]).transpose(0, 3, 1, 2) / 255
    shown = (canvases - np.reshape(MEAN, (3, 1, 1))) / np.reshape(DEVIATION, (3, 1, 1))
    image = networks.image(shown)
    assert np.abs([answer.features for answer in answers] - image).max() < 1e-5
    tags = unit(np.stack([words_of(networks, texts).mean(0) for texts in PROMPTS.values()]))
    scale, bias = SCALES[networks.family]
    logits = scale * image @ tags.T + bias
    if networks.family == "clip":
        logits -= scale * image @ unit(words_of(networks, NEUTRAL).mean(0, keepdims=True)).T
    expected = 1 / (1 + np.exp(-logits))
    found = np.stack([answer.probabilities for answer in answers])
    assert np.abs(found - expected).max() < 1e-5 and np.ptp(found) > 0.05
    assert np.abs(read_head(bundle)(np.stack([answer.features for answer in answers])) - found).max() < 1e-6


def test_words_of_a_bundle_are_those_of_numpy(pair):
    networks, _, bundle = pair
    texts = ["Lighthouse at dusk", "a red dress, a crowded street", "маяк на море", "海边的灯塔" * 9, ""]
    assert np.abs(text_encoder_at(bundle.uri, bundle.card)(texts) - words_of(networks, texts)).max() < 1e-5


def test_other_tags_are_another_model_with_the_same_features(pair, tmp_path):
    _, hub, bundle = pair
    import_pair(str(hub), {"street": ("a street",)}, str(tmp_path / "other"), "other", scale=5, bias=-1)
    other = read_bundle(str(tmp_path / "other"))
    assert other.features_fingerprint == bundle.features_fingerprint and other.fingerprint != bundle.fingerprint


def test_a_head_may_be_learned_on_it(pair, tmp_path):
    _, _, bundle = pair
    backbone = load_backbone(make_spec(bundle.uri))
    canvases = np.stack([bundle.fitted(picture(seed, 48, 64)) for seed in range(4)])
    features = backbone.compute(canvases.astype(np.float32)).numpy()
    assert np.array_equal(features, load_model(bundle).describe(canvases).features)
    head = LinearHead(np.eye(8, 3, dtype=np.float32) * 9, np.zeros(3, np.float32), (8,), activation="softmax")
    write_bundle_on(tmp_path / "new", bundle, head, ("One", "Two", "Three"), {"name": "new"})
    new = read_bundle(str(tmp_path / "new"))
    expected = np.exp(features[:, :3] * 9)
    assert np.abs(load_model(new)(canvases) - expected / expected.sum(1, keepdims=True)).max() < 1e-6
    assert new.features_fingerprint == bundle.features_fingerprint == backbone.fingerprint
    assert np.array_equal(text_encoder_at(new.uri, new.card)(["a"]), text_encoder_at(bundle.uri, bundle.card)(["a"]))


def test_what_learns_further_still_knows_words(pair, tmp_path):
    _, _, bundle = pair
    features = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
    labels = np.column_stack([np.full((12, 2), np.nan), features[:, 0] > 0])
    examples = Examples(features, labels, np.ones(labels.shape), np.arange(12) % 4)
    learned = learn(
        head_of(bundle),
        bundle.thresholds,
        None,
        Corrected((*PROMPTS, "Street"), examples, {}, 2, np.ones(len(examples.films), bool)),
    )
    write_learned(bundle, bundle.uri, learned, str(tmp_path / "learned"))
    new = read_bundle(str(tmp_path / "learned"))
    assert np.array_equal(
        text_encoder_at(new.uri, new.card)(["a", "red"]), text_encoder_at(bundle.uri, bundle.card)(["a", "red"])
    )
    answers = load_model(new)(np.stack([new.fitted(picture(seed, 48, 64)) for seed in range(3)]))
    assert new.vocabulary == (*PROMPTS, "Street") and answers.shape == (3, 3)


def test_thresholds_part_examples_best():
    random = np.random.default_rng(0)
    found = random.uniform(0, 1, (40, 2)).round(3)
    tags = [("One", "Two")[i % 2] for i in range(40)]
    chosen = best_thresholds(found, tags, ("One", "Two"), 0.5)
    for i, tag in enumerate(("One", "Two")):
        right = np.array(tags) == tag

        def f1(threshold, i=i, right=right):
            kept = found[:, i] >= threshold
            return 2 * (kept & right).sum() / (kept.sum() + right.sum())

        assert f1(chosen[tag]) == max(f1(value) for value in found[:, i])
    assert best_thresholds(found[:2], tags[:2], ("One", "Two"), 0.25) == {"One": 0.25, "Two": 0.25}


def test_examples_make_thresholds(pair, tmp_path):
    _, hub, bundle = pair
    for tag in ("lighthouse", "red_dress"):
        (tmp_path / "examples" / tag).mkdir(parents=True)
        for seed in range(4):
            name = str(tmp_path / "examples" / tag / f"{seed}.png")
            cv2.imwrite(name, picture(seed + 10 * (tag == "lighthouse"), 48, 64)[..., ::-1])
    examples = read_examples(str(tmp_path / "examples"), PROMPTS)
    assert [tag for tag, _ in examples] == ["lighthouse"] * 4 + ["red dress"] * 4
    scale, bias = SCALES["clip" if bundle.card["backbone"] == "CLIP" else "siglip"]
    import_pair(str(hub), PROMPTS, str(tmp_path / "b"), "b", scale=scale, bias=bias, examples=examples)
    made = read_bundle(str(tmp_path / "b"))
    found = np.stack([a.probabilities for a in predict(load_model(made), [p for _, p in examples], made.fitted)])
    assert (found >= made.thresholds).any(0).all() and set(made.thresholds) != {0.5}
    with pytest.raises(UserError, match="holds no pictures"):
        read_examples(str(tmp_path / "examples"), {"street": ()})


@cache
def tokenizer():
    from tiny_pairs import clip_tokenizer

    return open_tokenizer(json.dumps(clip_tokenizer()).encode(), TextSettings(CONTEXT, END, True), "tiny")


def test_tokens_are_those_of_the_published_algorithm():
    words = regexless_words(CORPUS)
    random = np.random.default_rng(1)
    texts = [" ".join(random.choice(words, random.integers(1, 7))) for _ in range(170)]
    texts += ["", "  two   spaces\t", "It's we'll I'd", "don't stop!?", "a1b22 333", "½ ² Ⅷ", "naïve café", "ПРИВЕТ",
              "emoji 🎬🎥", "日本語テキスト", "ไทย", "नमस्ते दुनिया", "שלום", "مرحبا", "Ελληνικά", "한국어", "Tiếng Việt",
              "ქართული", "հայերեն", "தமிழ்", "বাংলা", "አማርኛ", "ខ្មែរ", "မြန်မာ", "𝔘𝔫𝔦", "…—–“”", "x" * 99, "ß ẞ", "ﬁ",  # noqa: RUF001
              "a-b_c/d"]  # fmt: skip
    assert len(texts) == 200
    for text in texts:
        text = unicodedata.normalize("NFC", text)
        found = tokenizer().encode(text.lower()).ids
        assert found == reference_tokens(text), text


def regexless_words(text):
    return [word.strip(",.;") for word in text.split()]


def test_a_film_is_tagged_with_any_word(pair, tmp_path):
    _, hub, _ = pair
    (tmp_path / "tags.txt").write_text("# of ours\nlighthouse: a lighthouse, the beam of a lighthouse\nred dress\n")
    bundle = tmp_path / "bundle"
    words = ["model", "import", "--clip", str(hub), "--vocabulary", str(tmp_path / "tags.txt"), "--threshold", "0"]
    assert main([*words, "--logit-scale", "20", "--logit-bias", "-3", "--output", str(bundle)]) == 0
    film = write_video(tmp_path / "a.mp4", [picture(k // 40) for k in range(160)])
    out = tmp_path / "out"
    assert main(["tag", str(film), "--model", str(bundle), "--output", str(out), "--direct_num_workers", "1"]) == 0
    row = json.loads((out / "key_frames.jsonl").read_text().splitlines()[0])
    assert {tag["tag"] for tag in row["top_k"]} == {"lighthouse", "red dress"}


COUNTED = """
import os
import onnxruntime


class Counted(onnxruntime.InferenceSession):
    def __init__(self, model, *given, **named):
        with open(os.environ["LOADED"], "a") as lines:
            lines.write(f"{os.getpid()} {model}\\n")
        super().__init__(model, *given, **named)


onnxruntime.InferenceSession = Counted
"""


def test_a_worker_loads_the_image_model_once_and_no_text_model(tmp_path):
    """Of real worker processes: Python runs COUNTED at the start of the command and of its workers' parent."""
    hub, bundle = tmp_path / "hub", str(tmp_path / "bundle")
    write_pair(hub, "clip")
    import_pair(str(hub), PROMPTS, bundle, "tiny")
    for folder in ("hooks", "films"):
        (tmp_path / folder).mkdir()
    (tmp_path / "hooks/sitecustomize.py").write_text(COUNTED)
    for k in range(6):
        write_video(tmp_path / f"films/{k}.mp4", [picture(4 * k + i // 20) for i in range(80)])
    paths = os.pathsep.join([str(tmp_path / "hooks"), str(Path(__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": paths, "LOADED": str(tmp_path / "loaded")}
    words = ["tag", str(tmp_path / "films"), "--output", str(tmp_path / "out"), "--model", bundle]
    command = [sys.executable, "-m", "movie_tags", *words, "--direct_num_workers", "2", "--segment-length", "2"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    loads = [line.split() for line in (tmp_path / "loaded").read_text().splitlines()]
    assert {path for _, path in loads} == {f"{bundle}/model.onnx"}
    counts = Counter(pid for pid, _ in loads)
    assert len(counts) >= 2 and set(counts.values()) == {1}  # the command itself, which tries the model, and workers
    rows = (tmp_path / "out/key_frames.jsonl").read_text().splitlines()
    assert len(rows) >= 12


def test_the_papers_fifty_have_prompts():
    assert list(own_prompts()) == list(TAGS) and all(own_prompts().values())
    found = read_prompts("Beach/Sea\nlighthouse\nBar: a bar, a pub\n", "f")
    assert found["Beach/Sea"] == own_prompts()["Beach/Sea"] and found["Bar"] == ("a bar", "a pub")
    assert found["lighthouse"] == ("a film frame that shows lighthouse",)


@pytest.mark.parametrize(
    ("said", "view", "crop"),
    [
        ({"size": 224, "crop_size": 224}, View("middle", (224, 224)), None),
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}, View("middle", (256, 256)), 224),
        ({"size": {"height": 384, "width": 384}}, View("whole", (384, 384)), None),
        ({"size": [224, 224], "resize_mode": "shortest"}, View("middle", (224, 224)), None),
        ({"size": [256, 256], "resize_mode": "squash"}, View("whole", (256, 256)), None),
    ],
)
def test_sizes_as_hubs_write_them(said, view, crop):
    found, preprocessing = preprocessing_of_hub({"image_mean": MEAN, "image_std": DEVIATION, **said})
    assert (found, preprocessing.crop) == (view, crop) and preprocessing.scale == pytest.approx(1 / 255)
    plain = preprocessing_of_hub({"size": 224, "do_normalize": False, "image_mean": MEAN, "image_std": DEVIATION})[1]
    assert plain.mean == (0, 0, 0) and plain.deviation == (1, 1, 1)


def test_siglip_pads_as_its_tokenizer_says():
    fixed = {"padding": {"strategy": {"Fixed": 64}, "pad_id": 0, "pad_token": "<pad>"}}
    assert text_settings({}, {"pad_token": "</s>"}, fixed, "siglip") == TextSettings(64, "<pad>", False)
    assert text_settings({}, {"pad_token": {"content": "</s>"}}, {}, "siglip").pad_token == "</s>"


def rewrite(name, **change):
    def do(hub):
        content = json.loads((hub / name).read_text())
        (hub / name).write_text(json.dumps({**content, **change}))

    return do


def other_text(hub):
    """The text model of a family that also takes token types, as BERT."""
    graph = Graph()
    both = graph.op("Add", "input_ids", "token_type_ids")
    x = graph.op("Gather", graph.constant(np.ones((2000, 8))), both)
    graph.op("ReduceMean", x, graph.constant([1], np.int64), keepdims=0, to="pooler_output")
    tokens = [(name, TensorProto.INT64, ["n", CONTEXT]) for name in ("input_ids", "token_type_ids")]
    graph.save(hub / "onnx/text_model.onnx", tokens, [embeds("pooler_output")])


def narrow_text(hub):
    """A text model that gives fewer numbers than the image model."""
    graph = Graph()
    x = graph.op("Gather", graph.constant(np.ones((2000, 5))), "input_ids")
    graph.op("ReduceMean", x, graph.constant([1], np.int64), keepdims=0, to="text_embeds")
    outputs = [("text_embeds", TensorProto.FLOAT, ["n", 5])]
    graph.save(hub / "onnx/text_model.onnx", [("input_ids", TensorProto.INT64, ["n", CONTEXT])], outputs)


def fewer_words(hub):
    """A text model that knows fewer tokens than the tokenizer."""
    graph, small = Graph(), Pair("clip", 20, 0)
    graph.word(small, "text_embeds")
    graph.save(
        hub / "onnx/text_model.onnx", [("input_ids", TensorProto.INT64, ["n", CONTEXT])], [embeds("text_embeds")]
    )


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda hub: (hub / "tokenizer.json").unlink(), "the tokenizer is missing"),
        (lambda hub: (hub / "config.json").unlink(), "a configuration is missing"),
        (lambda hub: (hub / "onnx/text_model.onnx").unlink(), "the text model is missing"),
        (lambda hub: (hub / "onnx/vision_model.onnx").write_bytes(b"PK\3\4 zip"), "is a pickle of PyTorch"),
        (lambda hub: (hub / "onnx/vision_model.onnx").write_bytes(b"no model"), "no model that ONNX Runtime can run"),
        (lambda hub: (hub / "tokenizer.json").write_text('{"padding": null}'), "is no tokenizer"),
        (lambda hub: (hub / "preprocessor_config.json").write_text("[]"), "cannot be read as JSON"),
        (rewrite("config.json", model_type="bert"), "of a bert, neither CLIP nor SigLIP"),
        (rewrite("preprocessor_config.json", size=64, crop_size=64), "takes pictures of 32 x 32, but"),
        (rewrite("preprocessor_config.json", image_std=[1, 0, 1]), "deviation of a channel is 0"),
        (rewrite("tokenizer_config.json", pad_token="[PAD]"), "does not know the token [PAD]"),
        (rewrite("tokenizer_config.json", pad_token=None), "says the token that pads texts"),
        (other_text, "takes input_ids, token_type_ids"),
        (narrow_text, "they are no pair"),
        (fewer_words, "does not take the tokens of its tokenizer"),
    ],
)
def test_folders_that_cannot_be_used_say_so(tmp_path, capsys, damage, says):
    hub = tmp_path / "hub"
    write_pair(hub, "clip")
    damage(hub)
    assert main(["model", "import", "--clip", str(hub), "--output", str(tmp_path / "bundle")]) == 2
    said = capsys.readouterr().err
    assert says in said and "Traceback" not in said and len(said.strip().splitlines()) == 1
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_the_joint_model_says_the_scale(tmp_path, family):
    write_pair(tmp_path / "hub", family, joint=SCALES[family])
    found = import_pair(str(tmp_path / "hub"), PROMPTS, str(tmp_path / "bundle"), "tiny")
    assert (found.scale, found.bias) == pytest.approx(SCALES[family], rel=1e-3)


def test_two_models_that_are_no_pair_and_a_siglip_without_its_scale(tmp_path):
    write_pair(tmp_path / "one", "siglip", 0, (20.0, -3.0))
    write_pair(tmp_path / "two", "siglip", 1)
    with pytest.raises(BundleError, match="give --logit-scale and --logit-bias"):
        import_pair(str(tmp_path / "two"), PROMPTS, str(tmp_path / "bundle"), "two")
    import_pair(str(tmp_path / "two"), PROMPTS, str(tmp_path / "bundle"), "two", scale=10, bias=-1)
    shutil.copy(tmp_path / "two/onnx/text_model.onnx", tmp_path / "one/onnx/text_model.onnx")
    with pytest.raises(BundleError, match="do not belong together"):
        import_pair(str(tmp_path / "one"), PROMPTS, str(tmp_path / "other"), "one")


def test_a_bundle_without_words_says_so(small_bundle):
    with pytest.raises(BundleError, match="knows no words"):
        text_encoder_at(small_bundle, read_bundle(small_bundle).card)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub of our own, with a small CLIP under the name of a published one; (its folder, what is pinned)."""
    place = tmp_path / "served/owner/name/resolve/abc"
    write_pair(place, "clip")
    digests = {
        file: hashlib.sha256((place / file).read_bytes()).hexdigest()
        for file in ("onnx/vision_model.onnx", "onnx/text_model.onnx", "tokenizer.json")
    }
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    monkeypatch.setattr(published, "HUB", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setitem(published.PUBLISHED, "tiny", published.Published("owner/name", "abc", "none", digests))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield place
    server.shutdown()
    server.server_close()


def test_a_published_pair_is_downloaded_and_checked(hub, tmp_path, capsys):
    words = ["model", "download", "tiny", "--output", str(tmp_path / "mine")]
    assert main(words) == 0
    assert (tmp_path / "mine/onnx/text_model.onnx").read_bytes() == (hub / "onnx/text_model.onnx").read_bytes()
    import_pair(str(tmp_path / "mine"), PROMPTS, str(tmp_path / "bundle"), "tiny")
    capsys.readouterr()
    assert main(words) == 0 and "..." not in capsys.readouterr().err  # all is there
    (tmp_path / "mine/tokenizer.json").write_text("damaged")
    (hub / "tokenizer.json").write_text("{}")
    assert main(words) == 2
    assert "is not the published file" in capsys.readouterr().err
    assert not list((tmp_path / "mine").glob("*.part"))
    (hub / "onnx/vision_model.onnx").unlink()
    assert main([*words[:-1], str(tmp_path / "again")]) == 2
    assert "the hub answers 404" in capsys.readouterr().err


def test_without_a_network_a_download_says_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(published, "HUB", "http://127.0.0.1:1")
    assert main(["model", "download", "siglip-base-224", "--output", str(tmp_path / "mine")]) == 2
    said = capsys.readouterr().err
    assert "cannot be downloaded" in said and "--clip FOLDER" in said and "Traceback" not in said
    assert main(["model", "download", "gpt", "--output", str(tmp_path / "mine")]) == 2
    assert "choose one of clip-vit-b32" in capsys.readouterr().err


def test_pins_are_whole():
    for model in published.PUBLISHED.values():
        assert len(model.revision) == 40 and all(len(digest) == 64 for digest in model.sha256.values())
