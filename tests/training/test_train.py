"""The commands dataset, train and evaluate, from pictures to a bundle, on pictures that the tests make."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from films import picture, write_video

from movie_tags.models.backbones.registry import BackboneError
from movie_tags.models.backbones.specs import backbone_names, load_backbone, make_spec
from movie_tags.models.bundle import SAVED_MODEL, read_bundle
from movie_tags.models.heads import read_head
from movie_tags.models.loading import load_model, predict
from movie_tags.models.views import fit
from movie_tags.pipeline.commands import main
from movie_tags.training.data.dataset import SPLITS, read_dataset
from movie_tags.training.data.frames import decode_picture
from movie_tags.training.extracting import cache_folder, read_features, write_part
from movie_tags.training.heads.scaling import analyse, load_scaling
from movie_tags.transforms.evidence import STATISTICS

COLOURS = {"Desert": (60, 160, 220), "Swimming": (220, 150, 40), "Forest": (40, 120, 30), "Time_travel": (180, 40, 180)}


def make_pictures(folder: Path, tags: list[str], number: int = 30) -> None:
    """Pictures of one colour a tag (BGR) over coarse noise, from five sources."""
    for tag in tags:
        (folder / tag).mkdir(parents=True)
        for i in range(number):
            random = np.random.default_rng([i, *tag.encode()])
            coarse = random.integers(0, 256, (6, 8, 3), np.uint8)
            noise = cv2.resize(coarse, (80, 60), interpolation=cv2.INTER_CUBIC)
            mixed = (0.4 * noise + 0.6 * np.array(COLOURS[tag])).astype(np.uint8)
            cv2.imwrite(str(folder / tag / f"source{i % 10}__{i:02}.jpg"), mixed)


def run(*words: object) -> int:
    return main([*map(str, words), *(["--direct_num_workers", "1"] if words[0] in ("dataset", "train") else [])])


SMALL = ["--backbone", "MobileNetV2", "--weights", "random", "--size", "32"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of pictures, the data set, the cache of features and a bundle made of them."""
    root = tmp_path_factory.mktemp("trained")
    make_pictures(root / "images", ["Desert", "Swimming", "Forest"])
    (root / "images/War").mkdir()
    (root / "images/War/broken.jpg").write_bytes(b"no picture")
    (root / "images/Swimming/copy__1.jpg").write_bytes((root / "images/Desert/source1__01.jpg").read_bytes())
    assert run("dataset", root / "images", "--output", root / "data [1]", "--split-by", "random") == 3
    (root / "data [1]").rename(root / "data")  # any name will do
    words = ["--dataset", root / "data", "--output", root / "bundle", "--cache", root / "cache"]
    assert run("train", *words, *SMALL, "--no-refit") == 0
    return root


def test_a_data_set_accounts_for_every_file(trained):
    dataset = read_dataset(str(trained / "data"))
    assert len(dataset.entries) == 90
    records = [
        tf.train.Example.FromString(record.numpy())
        for split in SPLITS
        for path in sorted((trained / "data").glob(f"{split}-*.tfrecord"))
        for record in tf.data.TFRecordDataset(str(path))
    ]
    assert len(records) == 90
    (both,) = [entry for entry in dataset.entries if len(entry.tags) == 2]
    assert both.tags == ("Desert", "Swimming") and both.id.endswith("Desert/source1__01.jpg")
    dropped = dataset.manifest["dropped"]
    assert [item["id"].rpartition("/")[2] for item in dropped["unusable"]] == ["broken.jpg"]
    assert [item["id"].rpartition("/")[2] for item in dropped["same_picture"]] == ["copy__1.jpg"]
    assert sum(dataset.manifest["pictures"].values()) == 90
    assert "broken.jpg: is no picture" in (trained / "data/MANIFEST.md").read_text()


def test_the_bundle_says_of_a_raw_picture_what_was_learned_offline(trained):
    """No training/serving skew: backbone, transform and head one by one, against the exported model."""
    bundle = read_bundle(str(trained / "bundle"))
    assert bundle.vocabulary == ("Desert", "Forest", "Swimming") and bundle.input_size == (32, 32)
    dataset = read_dataset(str(trained / "data"))
    backbone = load_backbone(make_spec("MobileNetV2", "random", 32))
    entries = dataset.entries[:12]
    features = read_features(cache_folder(str(trained / "cache"), backbone), [entry.key for entry in entries])
    pictures = [decode_picture(Path(entry.id).read_bytes()) for entry in entries]
    batch = np.stack([fit(pixels, (32, 32)) for pixels in pictures])
    theirs = keras.applications.MobileNetV2(include_top=False, pooling="avg", weights=None, input_shape=(32, 32, 3))
    theirs.set_weights(backbone.tracked.get_weights())
    assert np.allclose(theirs.predict(batch / 127.5 - 1.0, verbose=0), features, atol=1e-4)

    model = load_model(bundle, 1)
    head = tf.saved_model.load(f"{bundle.uri}/{SAVED_MODEL}").tracked[0][2]
    kernel, bias = head.kernel.numpy(), head.bias.numpy()
    keys = [entry.key for entry in dataset.of("train")]
    known = read_features(cache_folder(str(trained / "cache"), backbone), keys)
    deviation = np.where(known.std(0) > 0, known.std(0), 1)
    logits = ((features - known.mean(0)) / deviation) @ kernel + bias
    offline = 1 / (1 + np.exp(-logits))
    answers = predict(model, pictures, bundle.fitted)
    found = np.stack([answer.probabilities for answer in answers])
    assert np.allclose(found, offline, atol=2e-3)
    assert np.allclose([answer.features for answer in answers], features, atol=1e-3)
    assert np.abs(read_head(bundle)(np.stack([answer.features for answer in answers])) - found).max() < 1e-5


def test_the_report_agrees_with_the_bundle(trained):
    report = trained / "bundle/report"
    metrics = json.loads((report / "metrics.json").read_text())
    assert metrics["features"] == {"computed": 90, "cached": 0}
    assert metrics["vocabulary"] == list(read_bundle(str(trained / "bundle")).vocabulary)
    # the bundle, evaluated on the raw pictures of the test split, is as good as its report says
    words = ["evaluate", "bundle", "--model", trained / "bundle", "--dataset", trained / "data"]
    found = json.loads(in_a_process(*words))
    assert found["pictures"] == metrics["splits"]["test"]["pictures"] > 0
    assert found["top1"] == pytest.approx(metrics["splits"]["test"]["top1"], abs=0.01)
    assert metrics["splits"]["train"]["top1"] > 0.8
    page = (report / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2 and "http" not in page
    assert f"{metrics['splits']['test']['top1']:.3f}" in page
    for name in ("confusion", "calibration"):
        assert cv2.imread(str(report / f"{name}.png")) is not None


def in_a_process(*words: object) -> str:
    """A command in a process of its own, as a user runs it: its output, and that it ended well."""
    code = "from movie_tags.__main__ import run; run()"
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_growing_computes_only_what_is_new_and_keeps_the_order(trained, tmp_path):
    images = tmp_path / "images"
    make_pictures(images, ["Time_travel"])
    for tag in ("Desert", "Swimming", "Forest"):
        (images / tag).symlink_to(trained / "images" / tag)
    words = ["dataset", images, "--output", tmp_path / "data", "--split-by", "random"]
    assert run(*words) == 0
    words = ["--dataset", tmp_path / "data", "--output", tmp_path / "grown", "--cache", trained / "cache"]
    assert run("train", *words, *SMALL, "--no-refit", "--grow", trained / "bundle") == 0
    metrics = json.loads((tmp_path / "grown/report/metrics.json").read_text())
    assert metrics["vocabulary"] == ["Desert", "Forest", "Swimming", "Time travel"]
    assert metrics["features"] == {"computed": 30, "cached": 90}
    grown = metrics["grown"]
    before = json.loads((trained / "bundle/report/metrics.json").read_text())["splits"]["test"]
    assert grown["new_tags"] == ["Time travel"] and grown["lost_tags"] == []
    assert grown["pictures"] == before["pictures"]  # splits at random depend on the picture alone
    assert grown["old_model"]["top1"] == pytest.approx(before["top1"], abs=0.01)
    assert set(grown["recall"]) == {"Desert", "Forest", "Swimming"}  # what each of the old tags lost
    assert grown["new_model"]["top1"] >= grown["old_model"]["top1"] - 0.2
    new = metrics["splits"]["test"]["per_tag"]["Time travel"]
    assert new["pictures"] and new["average_precision"] > 0.7
    assert "What the new tags cost" in (tmp_path / "grown/report/report.html").read_text()


def test_the_head_that_ships_learns_from_everything_and_is_judged_by_one_that_did_not(trained, tmp_path):
    words = ["--dataset", trained / "data", "--output", tmp_path / "bundle", "--cache", trained / "cache"]
    assert run("train", *words, *SMALL) == 0
    before, now = (json.loads((folder / "bundle/report/metrics.json").read_text()) for folder in (trained, tmp_path))
    assert (before["refit"], now["refit"]) == (False, True) and now["splits"] == before["splits"]
    one, two = (load_model(read_bundle(str(folder / "bundle")), 1) for folder in (trained, tmp_path))
    batch = np.full((1, 32, 32, 3), 90, np.uint8)
    assert not np.allclose(one(batch), two(batch), atol=1e-6)
    bundle = read_bundle(str(tmp_path / "bundle"))
    assert bundle.card["activation"] == "sigmoid" and set(bundle.card["thresholds"]) == set(bundle.vocabulary)
    assert all(0 < value < 1 for value in bundle.thresholds)


def test_the_softmax_head_has_numbers_of_its_own(trained, tmp_path, capsys):
    words = ["--dataset", trained / "data", "--output", tmp_path / "bundle", "--cache", trained / "cache", *SMALL]
    assert run("train", *words, "--steps", "60") == 2
    assert "--steps: a sigmoid head has no such number" in capsys.readouterr().err
    assert run("train", *words, "--head", "softmax", "--steps", "60", "--batch-size", "50") == 0
    bundle = read_bundle(str(tmp_path / "bundle"))
    found = load_model(bundle, 1)(np.full((1, 32, 32, 3), 90, np.uint8))
    assert found.sum() == pytest.approx(1, abs=1e-4) and set(bundle.thresholds) == {0}
    report = tmp_path / "bundle/report"
    page = (report / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3 and cv2.imread(str(report / "curves.png")) is not None
    assert list((report / "tensorboard").rglob("events.out.tfevents.*"))


def test_frames_and_pictures_of_nothing_beside_folders(trained, tmp_path, capsys):
    """Labelled frames of films, complete but for their maybes, make thresholds and the confidence in films' tags."""
    rows = []
    for film in range(27):
        tag = ("Desert", "Swimming")[film % 2]
        noises = np.random.default_rng(1000 + film).integers(0, 256, (6, 6, 8, 3), np.uint8)
        coarse = [cv2.resize(noise, (80, 60), interpolation=cv2.INTER_CUBIC) for noise in noises]
        colour = np.array(COLOURS[tag][::-1])  # a video's frames are RGB
        shown = [(0.4 * noise + 0.6 * colour).astype(np.uint8) for noise in coarse[:4]] + coarse[4:]
        if film < 2:
            write_video(tmp_path / f"film{film}.mp4", [pixels for pixels in shown for _ in range(25)])
        for at, pixels in enumerate(shown):
            tags, maybe = ([tag], []) if at < 4 else ([], ["Forest"] if at == 4 else [])
            row = {"file": f"film{film}.mp4", "time_s": at, "tags": tags, "maybe": maybe}
            if film >= 2:
                cv2.imwrite(str(tmp_path / f"film{film}_{at}.png"), pixels[..., ::-1])
                row |= {"file": f"film{film}_{at}.png", "film": f"film{film}"}
            rows.append(row)
    (tmp_path / "frames.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "more/_none").mkdir(parents=True)
    grey = np.random.default_rng(1).integers(100, 140, (60, 80, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "more/_none/grey__1.png"), grey)
    words = [trained / "images", tmp_path / "more", tmp_path / "frames.jsonl", "--output", tmp_path / "data"]
    assert run("dataset", *words, "--near-duplicate-bits", "0") == 3  # the broken file
    dataset = read_dataset(str(tmp_path / "data"))
    assert dataset.manifest["complete"] >= 150 and dataset.manifest["nothing"] >= 13
    words = ["--dataset", tmp_path / "data", "--output", tmp_path / "bundle", "--cache", tmp_path / "cache", *SMALL]
    assert run("train", *words) == 0
    card = read_bundle(str(tmp_path / "bundle")).card
    assert set(card["film_confidence"]["weights"]) == set(STATISTICS)
    metrics = json.loads((tmp_path / "bundle/report/metrics.json").read_text())
    assert metrics["films"] == 27 and metrics["film_confidence_reliability"]
    capsys.readouterr()
    words = ["--model", tmp_path / "bundle", "--dataset", tmp_path / "frames.jsonl", "--least", "1"]
    assert run("evaluate", "frames", *words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["frames"] >= 150 and 0 < found["mean_average_precision"] <= 1
    assert run("tag", tmp_path / "film0.mp4", "--model", tmp_path / "bundle", "--output", tmp_path / "out") == 0
    assert (
        run(
            "tag",
            tmp_path / "film0.mp4",
            "--model",
            tmp_path / "bundle",
            "--output",
            tmp_path / "p",
            "--preset",
            "paper",
        )
        == 0
    )
    (sure,), (every,) = (
        [json.loads(line) for line in (tmp_path / folder / "tags.jsonl").read_text().splitlines()]
        for folder in ("out", "p")
    )
    assert all(0 <= tag["confidence"] <= 1 for tag in sure["tags"] + every["tags"])
    assert sum(tag["occurrences"] for tag in every["tags"]) == 3 * every["key_frames"]  # all of the top three
    for folder in ("out", "p"):
        assert run("evaluate", "strengths", "--results", tmp_path / folder) == 0


def test_inception_v3_from_a_film_to_a_bundle_with_the_papers_head(tmp_path):
    shots = [picture(seed) for seed in range(6)]
    film = write_video(tmp_path / "film.mp4", [pixels for pixels in shots for _ in range(50)])
    (tmp_path / "spans.csv").write_text(
        f"uri,start,end,tag\n{film},0,0:06,War\n{film},6,12,Food\n{tmp_path}/no.mp4,0,1,War\n"
    )
    words = [tmp_path / "spans.csv", "--output", tmp_path / "data", "--every-frame"]
    assert run("dataset", *words, "--near-duplicate-bits", "0") == 3
    assert read_dataset(str(tmp_path / "data")).manifest["pictures"]["test"] == 0  # one film: nothing to hold out
    manifest = json.loads((tmp_path / "data/manifest.json").read_text())
    assert "no.mp4" in manifest["dropped"]["unusable"][0]["id"]
    assert manifest["tags"]["War"]["sources"] == 1
    words = ["--dataset", tmp_path / "data", "--output", tmp_path / "bundle", "--cache", tmp_path / "cache"]
    assert run("train", *words, "--preset", "paper", "--weights", "random", "--size", "80", "--steps", "4") == 0
    bundle = read_bundle(str(tmp_path / "bundle"))
    settings = bundle.card["training"]["settings"]
    assert (settings["batch_size"], settings["learning_rate"], settings["relu"]) == (500, 0.005, True)
    assert bundle.card["backbone"]["name"] == "inception_v3" and bundle.card["backbone"]["width"] == 2048
    pixels = np.stack([picture(seed, 50, 70) for seed in (1, 2)])
    served = tf.saved_model.load(f"{bundle.uri}/{SAVED_MODEL}").signatures["serving_default"](images=pixels)
    (answer, _), found = predict(load_model(bundle), pixels, bundle.fitted), served["probabilities"].numpy()
    assert np.abs(answer.probabilities - found[0]).max() < 0.01
    assert np.abs(read_head(bundle)(answer.features[None]) - answer.probabilities).max() < 1e-5  # with its ReLU


def test_weights_come_from_a_local_file(tmp_path):
    network = keras.applications.MobileNetV2(include_top=False, pooling="avg", weights=None, input_shape=(32, 32, 3))
    network.save_weights(tmp_path / "w.weights.h5")
    backbone = load_backbone(make_spec("mobilenet_v2", str(tmp_path / "w.weights.h5"), 32))
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    assert np.allclose(backbone.compute(pictures), network(pictures / 127.5 - 1), atol=1e-5)
    other = load_backbone(make_spec("mobilenet_v2", "random", 32))
    assert other.fingerprint != backbone.fingerprint and other.width == backbone.width
    with pytest.raises(BackboneError, match="no such weights file"):
        load_backbone(make_spec("mobilenet_v2", str(tmp_path / "none.h5"), 32))
    with pytest.raises(BackboneError, match="not weights of inception_v3"):
        load_backbone(make_spec("inception_v3", str(tmp_path / "w.weights.h5"), 75))


def test_names_of_backbones():
    assert {"compact", "InceptionV3", "ResNet50", "MobileNetV3Small"} <= set(backbone_names())
    assert make_spec("inception_v3").size == (299, 299) and make_spec("EfficientNetB3").size == (300, 300)
    with pytest.raises(BackboneError, match="no backbone 'inception_v9'"):
        make_spec("inception_v9")
    with pytest.raises(BackboneError, match="leave --weights out"):
        make_spec("compact", "imagenet")


def test_without_a_network_the_download_fails_with_advice(monkeypatch):
    def refuse(*_, **__):
        raise OSError("URL fetch failure: no route to host")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", refuse)
    monkeypatch.setenv("KERAS_HOME", "/nonexistent")
    with pytest.raises(BackboneError, match=r"could not be downloaded .* give a Keras weights file"):
        load_backbone(make_spec("MobileNet", "imagenet", 128))


def test_a_lost_batch_is_all_that_a_crash_costs(trained, tmp_path):
    """Features kept by an earlier, broken run are not computed again."""
    backbone = load_backbone(make_spec("MobileNetV2", "random", 32))
    dataset = read_dataset(str(trained / "data"))
    parts = Path(cache_folder(str(tmp_path), backbone))
    parts.mkdir()
    half = [entry.key for entry in dataset.entries[:50]]
    marked = np.full((50, backbone.width), 7, np.float32)  # not what the backbone would say: shows what was kept
    write_part(str(parts), half, marked)
    (parts / "unfinished-1.npz").write_bytes(b"torn")
    words = ["train", "--dataset", trained / "data", "--output", tmp_path / "bundle", "--cache", tmp_path, *SMALL]
    in_a_process(*words, "--direct_num_workers", "1")  # tensorflow-transform may crash at its end: no user may see that
    metrics = json.loads((tmp_path / "bundle/report/metrics.json").read_text())
    assert metrics["features"] == {"computed": 40, "cached": 50}
    assert (read_features(str(parts), half) == 7).all()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["train", "--dataset", "none", "--output", "o"], "none: holds no pictures of the form"),
        (["dataset", "none", "--output", "o"], "none: holds no pictures"),
        (["dataset", "none.csv", "--output", "o"], "none.csv: cannot be read"),
        (["train", "--dataset", "d", "--output", "o", "--backbone", "vgg99"], "no backbone 'vgg99'"),
        (["evaluate", "volunteers", "--volunteers", "v.csv", "--predicted", "t.jsonl"], "v.csv: cannot be read"),
        (
            ["evaluate", "bundle", "--model", "m", "--dataset", "d"],
            "m: there is no such folder, and the models that ship are default, compact, mod",
        ),
        (["train", "--dataset", "d", "--output", "o", "--steps", "5", "--epochs", "1"], "not allowed with"),
    ],
)
def test_mistakes_of_users(tmp_path, monkeypatch, capsys, words, complaint):
    monkeypatch.chdir(tmp_path)
    try:
        assert main(words) == 2
    except SystemExit as ended:
        assert ended.code == 2
    said = capsys.readouterr().err
    assert complaint in said and "Traceback" not in said


def test_scaling_is_learned_from_the_training_split_alone(trained, tmp_path):
    backbone = load_backbone(make_spec("MobileNetV2", "random", 32))
    parts = cache_folder(str(trained / "cache"), backbone)
    analyse(str(trained / "data"), parts, backbone.width, 1, tmp_path / "graph")
    scale, _ = load_scaling(tmp_path / "graph")
    dataset = read_dataset(str(trained / "data"))
    known = scale(tf.constant(read_features(parts, [entry.key for entry in dataset.of("train")]))).numpy()
    varied = known.std(0) > 1e-3
    assert np.allclose(known.mean(0), 0, atol=1e-3) and np.allclose(known.std(0)[varied], 1, atol=1e-2)
