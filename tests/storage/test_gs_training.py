"""Data sets, cached features and trained bundles on gs://, against an emulator on loopback."""

import json

import cv2
import numpy as np

from movie_tags.pipeline.commands import main
from movie_tags.training.data.dataset import read_dataset

HERE = ["--direct_num_workers", "1"]


def test_from_pictures_to_a_bundle_all_on_gs(gs, tmp_path):
    for i, tag in enumerate(["War", "Food"] * 15):
        coarse = np.random.default_rng(i).integers(0, 256, (6, 8, 3), np.uint8)
        (tmp_path / tag).mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / tag / f"{i:02}.jpg"), cv2.resize(coarse, (80, 60), interpolation=cv2.INTER_CUBIC))
    images = gs.put(tmp_path, "images")
    data, bundle, cache = (f"{images.rsplit('/', 1)[0]}/{name}" for name in ("data", "bundle", "cache"))
    assert main(["dataset", images, "--output", data, "--split-by", "random", *HERE]) == 0
    assert sum(read_dataset(data).manifest["pictures"].values()) == 30
    assert not [name for name in gs.names("data/") if "staging" in name]
    words = ["--backbone", "MobileNetV2", "--weights", "random", "--size", "32", *HERE]
    assert main(["train", "--dataset", data, "--output", bundle, "--cache", cache, *words]) == 0
    assert main(["train", "--dataset", data, "--output", bundle, "--cache", cache, *words]) == 2  # there is one already
    assert main(["train", "--dataset", data, "--output", bundle, "--cache", cache, "--overwrite", *words]) == 0
    metrics = json.loads(gs.text("bundle/report/metrics.json"))
    assert metrics["features"] == {"computed": 0, "cached": 30}
    assert main(["evaluate", "bundle", "--model", bundle, "--dataset", data, "--split", "all"]) == 0
