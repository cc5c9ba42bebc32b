"""Learns the heads of the models that ship, from labelled pictures, key frames of films, and frozen backbones.

    python -m recipes.default_model --data DATA --model default --output models/default
    python -m recipes.default_model --data DATA --backbone BUNDLE --output my-model

DATA holds images/TAG/SOURCE__NAME.jpg with images/LABELS.jsonl, frames/LABELS.jsonl with frames/FILMS.jsonl,
videos/KEY_FRAMES.jsonl and the tables of films videos/FILES.tsv and videos/trailers/FILES.tsv. What is learned is
judged by leaving out whole films, and whole sources of pictures; then the head learns from everything. The folder gets
head.npz, vocabulary.txt, model.json and CARD.md, the sources from which `movie-tags model build` puts the bundle
together, and FILMS.md, the judgement film by film. Features are kept in --work. The head of `compact` was learned with
its network by `recipes/tune_compact.py`, which comes first. With --backbone the folder gets a whole bundle: a head on
a CLIP or SigLIP that you bring, or on any backbone that `movie-tags train` takes.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from movie_tags.errors import UserError
from movie_tags.models import COMPACT
from movie_tags.models.backbones import compact
from movie_tags.models.backbones.registry import BACKBONES
from movie_tags.models.backbones.specs import Backbone
from movie_tags.models.bundle import HEAD, MODEL_JSON, write_vocabulary
from movie_tags.models.heads import scale_parts
from movie_tags.models.sources import MEAN, weights_hash
from movie_tags.pipeline.beam.options import local_options
from movie_tags.pipeline.method import Method
from movie_tags.records import TagStrength
from movie_tags.training.data.dataset import Dataset, Entry, is_dataset, order_tags, read_dataset
from movie_tags.training.data.dataset_building import build_dataset
from movie_tags.training.evaluate.accuracy import accuracy, calibration_error
from movie_tags.training.evaluate.films import (
    Truth,
    agreement_with,
    film_truth,
    judge_films,
    judge_frames,
    read_truth,
    reliability,
)
from movie_tags.training.extracting import read_pictures
from movie_tags.training.heads.fitting import Judged, LabelledFilm, films_of_frames, learn, make_ready, settings_of
from movie_tags.training.heads.multilabel import (
    MAYBE,
    Labels,
    MultiLabelSettings,
    folds_of,
    labels_of_entries,
    learnable,
)
from movie_tags.transforms.strength import short_list
from recipes.brought import brought, card_of, features_on, spec_of, write_brought
from recipes.cards import write_text
from recipes.tuned import Tuned

TRAILERS = "videos/trailers/FILES.tsv"
MIN_PICTURES = 20
"""Tags with fewer plain labels are left out."""

FEATURES = {
    "default": {
        "views": [
            {"backbone": "efficientnet_lite2", "view": "without_bars", "size": [224, 304]},
            {"backbone": "efficientnet_lite0", "view": "middle_mirrored", "size": [224, 224]},
            {"backbone": "low_level", "view": "without_bars", "size": [112, 152]},
        ],
        "combine": "concat",
        "scales": ["root4", "unit"],
    },
    "compact": {
        "views": [{"backbone": "compact", "view": "without_bars", "size": list(compact.SIZE)}],
        "combine": "concat",
        "scales": ["plain"],
    },
}
NAMES = {
    "default": "movie-tags, a head on EfficientNet-Lite2, Lite0 and low-level numbers",
    "compact": "movie-tags compact, EfficientNet-Lite0 tuned on film",
}

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
    widths = [BACKBONES[view["backbone"]].width for view in spec["views"]]
    parts = [features] if spec["combine"] == MEAN else np.split(features, np.cumsum(widths)[:-1], 1)
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


def labelled_films(
    data: Path, entries: Sequence[Entry], labels: Labels, vocabulary: Sequence[str]
) -> dict[str, LabelledFilm]:
    """All films to judge by: those with a truth of their own, and groups of frames that nobody judged as films."""
    place = {entry.id: row for row, entry in enumerate(entries)}
    films = {**_clips(data, place), **_videos(data, place, labels, vocabulary)}
    taken = {str(labels.groups[row]) for film in films.values() for row in film.rows}
    others = films_of_frames(labels, vocabulary)
    return films | {group: film for group, film in others.items() if group not in taken}


def _clips(data: Path, place: Mapping[str, int]) -> dict[str, LabelledFilm]:
    """The clips of frames/FILMS.jsonl."""
    path, films = data / "frames/FILMS.jsonl", {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        row = json.loads(line)
        frames = [place[name] for name in (str(data / "frames" / one) for one in row["frames"]) if name in place]
        if frames:
            truth = Truth(frozenset(row["tags"]), frozenset(row["maybe"]))
            films[row["film"]] = LabelledFilm(np.array(frames), truth, own_truth=True)
    return films


def _videos(data: Path, place: Mapping[str, int], labels: Labels, vocabulary: Sequence[str]) -> dict[str, LabelledFilm]:
    """The videos of the two tables of films, where key frames of them are labelled."""
    films = {}
    for table, folder in ((TRAILERS, "trailers/"), ("videos/FILES.tsv", "")):
        for name, truth in read_truth(str(data / table)).items():
            begin = f"{data}/videos/{folder}{name}#t="
            rows = np.array([row for id, row in place.items() if id.startswith(begin)], int)
            if not len(rows) or not truth.plain:
                continue
            if not truth.may:  # the table does not say: what its frames show may apply
                seen = film_truth(labels.applies[rows], labels.maybe[rows], vocabulary)
                truth = Truth(truth.plain, (seen.plain | seen.may) - truth.plain)
            films[folder + name] = LabelledFilm(rows, truth, own_truth=True)
    return films


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
        for film, tags in judged.films.items()
    }


def measure(
    judged: Judged,
    thresholds: np.ndarray,
    labels: Labels,
    vocabulary: Sequence[str],
    films: Mapping[str, LabelledFilm],
) -> dict:
    """What pictures out of fold say of a recipe; of stills those count whose tags had 30 others to learn from.

    Args:
        judged: by it.
        thresholds: by tag.
        labels: of the pictures.
        vocabulary: the tags.
        films: what is judged.
    """
    stills, frames = learnable(labels, judged.fold), labels.frames
    pictures, right = judged.probabilities[stills], labels.applies[stills]
    passed = (judged.probabilities >= thresholds) & frames[:, None] & ~labels.maybe
    kept = {film: frozenset(tag.tag for tag in tags) for film, tags in kept_of(judged).items()}
    parts = {part: {film: kept[film] for film in names} for part, names in parts_of(films).items()}
    return {
        "pictures": {**accuracy(pictures, right), "calibration_error": round(calibration_error(pictures, right), 4)},
        "frames": judge_frames(judged.probabilities[frames], labels.applies[frames], labels.maybe[frames], vocabulary),
        "films": judge_films(parts[JUDGED] or kept, judged.truth),
        "parts": {part: agreement_with(of_part, judged.truth) for part, of_part in parts.items() if of_part},
        "film_confidence": judged.reliability,
        "believed": reliability(judged.probabilities[passed], labels.applies[passed]),
    }


JUDGED, TRAILERS_AND_CLIPS, BY_FRAMES = (
    "Films that a person judged",
    "Trailers among them",
    "Other films, by the labels of their key frames",
)


def parts_of(films: Mapping[str, LabelledFilm]) -> dict[str, list[str]]:
    """The names of the films by part."""
    return {
        JUDGED: [name for name, film in films.items() if film.own_truth],
        TRAILERS_AND_CLIPS: [name for name in films if name.startswith("trailers/")],
        BY_FRAMES: [name for name, film in films.items() if not film.own_truth],
    }


def vocabulary_of(entries: Iterable[Entry]) -> tuple[tuple[str, ...], Counter]:
    """The tags with enough plain labels, in their lasting order, and the number of these labels of all tags."""
    counts = Counter(tag for entry in entries for tag in entry.tags)
    return tuple(order_tags(tag for tag, n in counts.items() if n >= MIN_PICTURES)), counts


def make(
    data: Path, model: str, output: Path, work: Path, settings: MultiLabelSettings, backbone: Backbone | None = None
) -> dict:
    """Learn, judge and write a model's head, or with a backbone of its own a bundle; returns what `model.json` says."""
    work.mkdir(parents=True, exist_ok=True)
    dataset = make_dataset(data, work)
    spec = spec_of(backbone) if backbone else FEATURES[model]
    settings = dataclasses.replace(settings, parts=len(spec["scales"]))
    vocabulary, counts = vocabulary_of(dataset.entries)
    labels = labels_of_entries(dataset.entries, vocabulary, settings, group_of)
    films = labelled_films(data, dataset.entries, labels, vocabulary)
    folds = [mixed_folds(labels, settings), folds_of(labels, settings.folds, settings.seed)]
    if model == COMPACT and not backbone:
        tuned = Tuned.read(work, dataset.entries, vocabulary)
        ships = make_ready(tuned.head, [tuned.logits] * len(folds), labels, vocabulary, settings, films, folds)
    else:
        features = features_on(dataset, backbone, work) if backbone else features_of(dataset, spec, work)
        ships = learn(features, labels, vocabulary, settings, films, folds)
    same, unseen = (measure(judged, ships.thresholds, labels, vocabulary, films) for judged in ships.judged)
    card = {
        **(card_of(backbone) if backbone else {"name": NAMES[model]}),
        "features": spec,
        **ships.card(vocabulary),
        "calibration": {
            "slope": round(float(ships.slope[0]), 4),
            "offset": {tag: round(float(v), 4) for tag, v in zip(vocabulary, ships.offset, strict=True)},
        },
        "training": {
            "pictures": len(dataset.entries),
            "frames": int(labels.frames.sum()),
            "films": len(films),
            "judged_films": len(parts_of(films)[JUDGED]),
            "maybe": MAYBE,
            "least_labels": MIN_PICTURES,
            "of_nothing": dataset.manifest["nothing"],
            "sources": len({entry.source for entry in dataset.entries}),
            "counts": {tag: counts[tag] for tag in vocabulary},
            "settings": settings_of(settings),
        },
        "accuracy": {"films_left_out": same, "sources_left_out": unseen},
        "left_out": {tag: f"{counts[tag]} labels" for tag in order_tags(counts) if tag not in vocabulary},
    }
    output.mkdir(parents=True, exist_ok=True)
    if backbone:
        write_brought(output, backbone, ships.head.kernel, ships.head.bias, vocabulary, card)
    else:
        kernel, bias = (part.astype(np.float16) for part in (ships.head.kernel, ships.head.bias))  # as LiteRT has them
        np.savez_compressed(output / HEAD, kernel=kernel, bias=bias)
        write_vocabulary(str(output), vocabulary)
        (output / MODEL_JSON).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", "utf-8")
    write_card(output, card)
    write_films(output, ships.judged[0], films)
    return card


def write_card(folder: Path, card: dict) -> None:
    """Write CARD.md beside a `model.json`, from what that says."""
    write_text(folder / "CARD.md", "default_card.md.j2", card=card)


def write_films(folder: Path, judged: Judged, films: Mapping[str, LabelledFilm]) -> None:
    """Write FILMS.md: film by film, what heads that did not see it keep, and what a person says.

    Args:
        folder: of the model.
        judged: by heads of other films.
        films: what is judged.
    """
    kept, names = kept_of(judged), parts_of(films)
    first = frozenset(names[TRAILERS_AND_CLIPS])
    order = {
        "Trailers and clips": names[TRAILERS_AND_CLIPS],
        "Other films that a person judged": [name for name in names[JUDGED] if name not in first],
        BY_FRAMES: names[BY_FRAMES],
    }
    parts = {part: {film: kept[film] for film in of_part} for part, of_part in order.items() if of_part}
    figures = {
        part: agreement_with({film: frozenset(t.tag for t in tags) for film, tags in of_part.items()}, judged.truth)
        for part, of_part in parts.items()
    }
    write_text(folder / "FILMS.md", "default_films.md.j2", parts=parts, figures=figures, truth=judged.truth)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MOVIE_TAGS_DATA", "../shared/data")))
    parser.add_argument("--model", choices=sorted(FEATURES), default="default")
    parser.add_argument("--backbone", metavar="BUNDLE", help="a backbone of your own; needs --output")
    parser.add_argument("--output", type=Path, help="[models/MODEL]")
    parser.add_argument("--work", type=Path, default=Path("build/default_model"), help="data set and features")
    args = parser.parse_args(argv)
    if args.backbone and not args.output:
        parser.error("--backbone makes a bundle of your own: give --output BUNDLE with it")
    output = args.output or Path("models", args.model)
    try:
        backbone = brought(args.backbone, output) if args.backbone else None
    except UserError as error:
        parser.error(str(error))
    card = make(args.data, args.model, output, args.work, MultiLabelSettings(), backbone)
    for name, found in card["accuracy"].items():
        films = {key: value for key, value in found["films"].items() if key != "per_tag"}
        print(name, json.dumps({"pictures": found["pictures"], "films": films}))
        print("frames: mean average precision", found["frames"]["mean_average_precision"])


if __name__ == "__main__":
    main()
