"""Learns the heads of the models that ship, from labelled pictures, key frames of films, and frozen backbones.

    python -m recipes.default_model --data DATA --model default --output models/default

DATA holds images/TAG/SOURCE__NAME.jpg, frames/LABELS.jsonl, videos/KEY_FRAMES.jsonl and the tables of films
videos/FILES.tsv and videos/trailers/FILES.tsv. What is learned is judged by leaving out whole films, and whole sources
of pictures; then the head learns from everything. The folder gets head.npz, vocabulary.txt, model.json and CARD.md, the
sources from which `movie-tags model build` puts the bundle together, and FILMS.md, the judgement film by film. Features
are kept in --work.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from movie_tags.models.bundle import HEAD, MODEL_JSON, VOCABULARY
from movie_tags.models.heads import scale_parts
from movie_tags.models.sources import MEAN, weights_hash
from movie_tags.pipeline.beam.options import local_options
from movie_tags.pipeline.method import Method
from movie_tags.training.data.dataset import Dataset, Entry, build_dataset, is_dataset, order_tags, read_dataset
from movie_tags.training.evaluate.accuracy import accuracy, calibration_error
from movie_tags.training.evaluate.films import Truth, agreement_with, judge_films, judge_frames, read_truth, reliability
from movie_tags.training.features import read_pictures
from movie_tags.training.heads.fitting import Judged, learn, settings_of
from movie_tags.training.heads.multilabel import Labels, MultiLabelSettings, folds_of, labels_of_entries, learnable
from movie_tags.transforms.strength import TagStrength, short_list
from recipes.cards import write_text

TRAILERS = "videos/trailers/FILES.tsv"
MIN_PICTURES = 20
"""Tags with fewer plain labels are left out."""

FEATURES = {
    "default": {
        "views": [
            {"backbone": "efficientnet_lite2", "view": "without_bars", "size": [224, 304]},
            {"backbone": "efficientnet_lite0", "view": "middle_mirrored", "size": [224, 224]},
        ],
        "combine": "concat",
        "scales": ["root4", "unit"],
    },
    "compact": {
        "views": [{"backbone": "compact", "view": "whole", "size": [128, 128]}],
        "combine": "concat",
        "scales": ["plain"],
    },
}
NAMES = {"default": "movie-tags, a head on EfficientNet-Lite2 and Lite0", "compact": "movie-tags compact"}

SAME_FILM = {
    "addams": "addams_family",
    "bunny": "bunny",
    "bbb": "bunny",
    "sintel": "clips",
    "compiled_mixed": "clips",
    "game_of_thrones": "game_of_thrones",
    "flintstones": "flintstones",
    "avengers": "avengers",
}
"""What is in a source's name -> the name of all that is cut from the same: left out together."""


def group_of(source: str) -> str:
    """The film or collection that must not be parted, of a source's name."""
    return next((group for part, group in SAME_FILM.items() if part in source), source)


def make_dataset(data: Path, work: Path) -> Dataset:
    """All labelled pictures and key frames as one data set, made once."""
    made = str(work / "dataset")
    if not is_dataset(made):
        inputs = [data / "images", data / "frames/LABELS.jsonl", data / "videos/KEY_FRAMES.jsonl"]
        build_dataset([str(path) for path in inputs], made, local_options([])[0])
    return read_dataset(made)


def features_of(dataset: Dataset, spec: dict, work: Path, batch: int = 32) -> np.ndarray:
    """What a model's head takes of every picture, float32 [N, width], in the order of the entries.

    Features are kept in `work`, before they are scaled.
    """
    weights = [weights_hash(view["backbone"]) for view in spec["views"]]
    made_by = hashlib.sha256(json.dumps([spec["views"], spec["combine"], weights], sort_keys=True).encode()).hexdigest()
    path = work / f"features-{made_by[:16]}.npz"
    known: dict[str, np.ndarray] = {}
    if path.exists():
        with np.load(path) as kept:
            known = dict(zip(kept["keys"].tolist(), kept["features"], strict=True))
    wanted = {entry.key for entry in dataset.entries} - known.keys()
    if wanted:
        known |= _compute(dataset, spec, wanted, batch)
        np.savez(path, keys=np.array(list(known)), features=np.stack(list(known.values())).astype(np.float16))
    features = np.stack([known[entry.key] for entry in dataset.entries]).astype(np.float32)
    parts = [features] if spec["combine"] == MEAN else np.split(features, len(spec["views"]), 1)
    return scale_parts(parts, spec["scales"])


def _compute(dataset: Dataset, spec: dict, wanted: set[str], batch: int) -> dict[str, np.ndarray]:
    import tensorflow as tf

    from movie_tags.models.joining import backbone_of
    from movie_tags.models.views import View, lay_out

    looks = []
    for view in spec["views"]:
        network = tf.function(backbone_of(view["backbone"]), reduce_retracing=True)
        looks.append((network, View(view["view"], tuple(view["size"]))))
    found: dict[str, np.ndarray] = {}
    for keys, pictures in read_pictures(dataset, wanted, batch):
        rows = [
            network(tf.constant(np.stack([lay_out(p, [view]) for p in pictures]).astype(np.float32))).numpy()
            for network, view in looks
        ]
        joined = np.mean(rows, 0) if spec["combine"] == MEAN else np.concatenate(rows, 1)
        # Rounded as they are kept, so that a first run and a later one learn from the same numbers.
        found.update(zip(keys, joined.astype(np.float16), strict=True))
    return found


def truth_of_films(data: Path, *tables: str) -> dict[str, Truth]:
    """The truth of the videos that tables give, by the group that their frames are in, where that is one film."""
    found: dict[str, list[Truth]] = {}
    for table in tables or (TRAILERS, "videos/FILES.tsv"):
        for name, truth in read_truth(str(data / table)).items():
            if truth.plain:
                found.setdefault(group_of(os.path.basename(name)), []).append(truth)
    # Where several videos are one group, the frames' labels must do.
    return {group: truths[0] for group, truths in found.items() if len(truths) == 1}


def mixed_folds(labels: Labels, settings: MultiLabelSettings) -> np.ndarray:
    """Folds of whole films, but of single pictures where these are of no film: int [N]."""
    fold = folds_of(labels, settings.folds, settings.seed)
    alone = np.flatnonzero(~labels.frames)
    fold[alone] = np.random.default_rng(settings.seed).integers(0, settings.folds, len(alone))
    return fold


def kept_of(judged: Judged) -> dict[str, list[TagStrength]]:
    """By film, its short list."""
    method = Method()
    return {
        film: list(short_list(tags, method.min_relative_strength, method.min_confidence))
        for film, (tags, _) in judged.films.items()
    }


def measure(judged: Judged, thresholds: np.ndarray, labels: Labels, vocabulary: Sequence[str]) -> dict:
    """What pictures out of fold say of a recipe; of stills those count whose tags had 30 others to learn from.

    Args:
        judged: by it.
        thresholds: by tag.
        labels: of the pictures.
        vocabulary: the tags.
    """
    stills, frames = learnable(labels, judged.fold), labels.frames
    pictures, right = judged.probabilities[stills], labels.applies[stills]
    kept = {film: frozenset(tag.tag for tag in tags) for film, tags in kept_of(judged).items()}
    passed = (judged.probabilities >= thresholds) & frames[:, None] & ~labels.maybe
    return {
        "pictures": {**accuracy(pictures, right), "calibration_error": round(calibration_error(pictures, right), 4)},
        "frames": judge_frames(judged.probabilities[frames], labels.applies[frames], labels.maybe[frames], vocabulary),
        "films": judge_films(kept, judged.truth),
        "film_confidence": judged.reliability,
        "believed": reliability(judged.probabilities[passed], labels.applies[passed]),
    }


def vocabulary_of(entries: Iterable[Entry]) -> tuple[tuple[str, ...], Counter]:
    """The tags with enough plain labels, in their lasting order, and the number of these labels of all tags."""
    counts = Counter(tag for entry in entries for tag in entry.tags)
    return tuple(order_tags(tag for tag, n in counts.items() if n >= MIN_PICTURES)), counts


def make(data: Path, model: str, output: Path, work: Path, settings: MultiLabelSettings) -> dict:
    """Learn, judge and write a model's head; returns what `model.json` says."""
    work.mkdir(parents=True, exist_ok=True)
    dataset = make_dataset(data, work)
    features = features_of(dataset, FEATURES[model], work)
    settings = dataclasses.replace(settings, parts=len(FEATURES[model]["scales"]))
    vocabulary, counts = vocabulary_of(dataset.entries)
    labels = labels_of_entries(dataset.entries, vocabulary, settings, group_of)
    truth = truth_of_films(data)
    folds = [mixed_folds(labels, settings), folds_of(labels, settings.folds, settings.seed)]
    ships = learn(features, labels, vocabulary, settings, truth, folds)
    same, unseen = (measure(judged, ships.thresholds, labels, vocabulary) for judged in ships.judged)
    card = {
        "name": NAMES[model],
        **body_of(output / MODEL_JSON),
        "features": FEATURES[model],
        **ships.card(vocabulary),
        "calibration": {
            "slope": round(float(ships.slope[0]), 4),
            "offset": {tag: round(float(v), 4) for tag, v in zip(vocabulary, ships.offset, strict=True)},
        },
        "training": {
            "pictures": len(dataset.entries),
            "frames": int(labels.frames.sum()),
            "films": len(ships.judged[0].films),
            "of_nothing": dataset.manifest["nothing"],
            "sources": len({entry.source for entry in dataset.entries}),
            "counts": {tag: counts[tag] for tag in vocabulary},
            "settings": settings_of(settings),
        },
        "accuracy": {"films_left_out": same, "sources_left_out": unseen},
        "left_out": {tag: f"{counts[tag]} labels" for tag in order_tags(counts) if tag not in vocabulary},
    }
    output.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(output / HEAD, kernel=ships.head.kernel, bias=ships.head.bias)
    (output / VOCABULARY).write_text("".join(f"{tag}\n" for tag in vocabulary), "utf-8")
    (output / MODEL_JSON).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", "utf-8")
    write_card(output, card)
    write_films(output, ships.judged[0], truth_of_films(data, TRAILERS))
    return card


def body_of(path: Path) -> dict:
    """What the `model.json` of a folder says of the network below the head, if that is our own."""
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    body = before.get("body") or (before["training"] if "teacher" in before.get("training", {}) else None)
    return {name: before[name] for name in ("backbone", "parameters") if name in before} | (
        {"body": body} if body else {}
    )


def write_card(folder: Path, card: dict) -> None:
    """Write CARD.md beside a `model.json`, from what that says."""
    write_text(folder / "CARD.md", "default_card.md.j2", card=card)


def write_films(folder: Path, judged: Judged, trailers: Iterable[str]) -> None:
    """Write FILMS.md: film by film, what heads that did not see it keep, and what a person says.

    Args:
        folder: of the model.
        judged: by heads of other films.
        trailers: those that have a table of their own, before the others.
    """
    kept, first = kept_of(judged), frozenset(trailers)
    parts = {
        "Trailers and clips": {film: tags for film, tags in kept.items() if film in first},
        "Other films, by the labels of their key frames": {f: tags for f, tags in kept.items() if f not in first},
    }
    figures = {
        part: agreement_with({film: frozenset(t.tag for t in tags) for film, tags in films.items()}, judged.truth)
        for part, films in parts.items()
    }
    write_text(folder / "FILMS.md", "default_films.md.j2", parts=parts, figures=figures, truth=judged.truth)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MOVIE_TAGS_DATA", "../shared/data")))
    parser.add_argument("--model", choices=sorted(FEATURES), default="default")
    parser.add_argument("--output", type=Path, help="[models/MODEL]")
    parser.add_argument("--work", type=Path, default=Path("build/default_model"), help="data set and features")
    args = parser.parse_args(argv)
    card = make(args.data, args.model, args.output or Path("models", args.model), args.work, MultiLabelSettings())
    for name, found in card["accuracy"].items():
        films = {key: value for key, value in found["films"].items() if key != "per_tag"}
        print(name, json.dumps({"pictures": found["pictures"], "films": films}))
        print("frames: mean average precision", found["frames"]["mean_average_precision"])


if __name__ == "__main__":
    main()
