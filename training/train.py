"""Training on a data set whose features are kept: transform -> head -> bundle and report."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.models.bundle import ModelBundle
from movie_tags.models.loading import load_model, predict
from movie_tags.training import scaling
from movie_tags.training.backbones import COMPACT, Backbone
from movie_tags.training.dataset import SPLITS, Dataset, DatasetError, Entry, order_tags, read_dataset
from movie_tags.training.export import write_bundle
from movie_tags.training.features import read_features, read_records
from movie_tags.training.head import Examples, HeadSettings, train_head
from movie_tags.training.labelled import decode_picture, from_example
from movie_tags.training.metrics import accuracy, fit_temperature, softmax
from movie_tags.training.report import measure, write_report

REPORT = "report"
SPLIT_OF_SOURCES = "splits.json"


class TrainingError(UserError):
    """A data set that nothing can be learned from."""


def labels_of(entries: Sequence[Entry], vocabulary: Sequence[str]) -> np.ndarray:
    """Float32 [N, tags]: 1 where a picture has a tag."""
    place = {tag: i for i, tag in enumerate(vocabulary)}
    labels = np.zeros((len(entries), len(vocabulary)), np.float32)
    for row, entry in enumerate(entries):
        labels[row, [place[tag] for tag in entry.tags if tag in place]] = 1
    return labels


def train(
    dataset: Dataset,
    backbone: Backbone,
    parts: str,
    output: str,
    settings: HeadSettings,
    min_pictures: int,
    work: Path,
    counted: dict[str, int],
    old: ModelBundle | None = None,
    learned_sources: Collection[str] = (),
    options: PipelineOptions | None = None,
    on_step: Callable[[int], None] | None = None,
) -> dict:
    """Train a head and write the bundle, with its report in `report/`.

    Args:
        dataset: the data set.
        backbone: the frozen network.
        parts: the folder of the cached features, complete.
        output: the bundle, local or remote.
        settings: of the head.
        min_pictures: tags with fewer training pictures are left out.
        work: a local folder for the state of an unfinished training.
        counted: features "computed" and "cached", for the report.
        old: a bundle whose tags keep their order, and with which old tags are compared.
        learned_sources: what `old` learned from: not fit to compare the two on.
        options: of the Beam run that analyses the features.
        on_step: told the number of steps done, now and then.

    Returns:
        What is in metrics.json.

    Raises:
        TrainingError: there are fewer than two tags to learn.
    """
    with tempfile.TemporaryDirectory() as scratch:
        graph, report = Path(scratch, "transform"), Path(scratch, REPORT)
        scaling.analyse(dataset.uri, parts, backbone.width, min_pictures, graph, options)
        counts = scaling.found_tags(graph)
        before = [tag for tag in old.vocabulary if tag in counts] if old else []
        vocabulary = tuple(order_tags(counts, before))
        if len(vocabulary) < 2:
            raise TrainingError(
                f"{dataset.uri}: {len(vocabulary)} tags with {min_pictures} training pictures or more; two are needed"
            )
        examples = {split: _examples(dataset.of(split), parts, graph, vocabulary, backbone.width) for split in SPLITS}
        state = hashlib.sha256(json.dumps([asdict(settings), vocabulary, parts], default=str).encode())
        for split in SPLITS:
            state.update(examples[split].features.tobytes())
            state.update(examples[split].labels.tobytes())
        head, curves = train_head(
            examples["train"],
            examples["validation"],
            settings,
            report / "tensorboard",
            work / f"head-{state.hexdigest()[:16]}",
            on_step,
        )
        logits = {split: head.logits(tf.constant(part.features)).numpy() for split, part in examples.items()}
        temperature = 1.0
        if settings.calibrate:
            temperature = fit_temperature(logits["validation"], examples["validation"].labels)
        found = {split: softmax(values / temperature) for split, values in logits.items()}
        metrics = {
            "name": f"a head on {backbone.spec.name}",
            "vocabulary": vocabulary,
            "left_out": order_tags(set(dataset.manifest["tags"]) - set(vocabulary)),
            "backbone": {**asdict(backbone.spec), "width": backbone.width, "fingerprint": backbone.fingerprint},
            "settings": asdict(settings),
            "temperature": round(temperature, 4),
            "split_by": dataset.manifest["made_with"]["split_by"],
            "features": counted,
            "data": {"pictures": dataset.manifest["pictures"], "dropped": len(dataset.manifest["dropped"]["unusable"])},
            "splits": {split: measure(found[split], examples[split].labels, vocabulary) for split in SPLITS},
        }
        if old:
            metrics["grown"] = compare(old, dataset, vocabulary, found["test"], learned_sources)
        write_report(report, metrics, vocabulary, curves, found["test"], examples["test"].labels)
        if metrics["split_by"] == "source":
            splits = {entry.source: entry.split for entry in dataset.entries}
            (report / SPLIT_OF_SOURCES).write_text(json.dumps(splits, indent=0, sort_keys=True) + "\n", "utf-8")

        scale, layer = scaling.load_scaling(graph)
        kernel, bias = tf.Variable(head.kernel, trainable=False), tf.Variable(head.bias, trainable=False)
        served = type(head)(kernel, bias, head.relu)
        card = {
            "name": metrics["name"],
            "backbone": backbone.spec.name if backbone.spec.name == COMPACT else metrics["backbone"],
            "training": {
                "pictures": metrics["data"]["pictures"],
                "split_by": metrics["split_by"],
                "counts": {tag: counts[tag] for tag in vocabulary},
                "settings": metrics["settings"],
            },
            "temperature": metrics["temperature"],
            "accuracy": {
                split: {name: metrics["splits"][split][name] for name in ("top1", "top3", "pictures")}
                for split in ("validation", "test")
            },
            "left_out": metrics["left_out"],
        }
        write_bundle(
            output,
            lambda pictures: served.logits(scale(backbone.compute(pictures))),
            (backbone.tracked, layer, kernel, bias),
            vocabulary,
            backbone.spec.size,
            temperature,
            card,
        )
        stale = storage.list_files(storage.join(output, REPORT))
        if stale:
            storage.remove(stale)
        storage.send(report, storage.join(output, REPORT))
    shutil.rmtree(work / f"head-{state.hexdigest()[:16]}", ignore_errors=True)
    return metrics


def _examples(entries: Sequence[Entry], parts: str, graph: Path, vocabulary: Sequence[str], width: int) -> Examples:
    if not entries:
        return Examples(np.zeros((0, width), np.float32), np.zeros((0, len(vocabulary)), np.float32))
    features = read_features(parts, [entry.key for entry in entries])
    return Examples(scaling.scale_all(graph, features), labels_of(entries, vocabulary))


def compare(
    old: ModelBundle,
    dataset: Dataset,
    vocabulary: Sequence[str],
    found: np.ndarray,
    learned_sources: Collection[str] = (),
) -> dict:
    """What new tags cost the old ones: the old model and the new on the test pictures of the old tags.

    Args:
        old: the old bundle.
        dataset: the new data set.
        vocabulary: the new vocabulary.
        found: the new model's probabilities of the test split, float [N, tags].
        learned_sources: sources whose pictures the old model learned from; they are left out.

    Returns:
        Accuracies and recalls on the old tags alone, on the same pictures: a new tag given to one of them is wrong.
    """
    entries = dataset.of("test")
    labels = labels_of(entries, old.vocabulary)
    fair = np.array([entry.source not in learned_sources for entry in entries], bool)
    rows = np.flatnonzero((labels.sum(1) > 0) & fair)
    new_tags = [tag for tag in vocabulary if tag not in old.vocabulary]
    said = run_bundle(old, dataset, [entries[row].key for row in rows])
    # The new model's probabilities in the old order, with new tags behind; a tag that was lost is never given.
    order = [*old.vocabulary, *new_tags]
    now = np.zeros((len(rows), len(order)))
    for i, tag in enumerate(order):
        if tag in vocabulary:
            now[:, i] = found[rows, vocabulary.index(tag)]
    truth = np.hstack([labels[rows], np.zeros((len(rows), len(new_tags)))])
    right_before, right_now = said.argmax(1), now.argmax(1) if len(rows) else np.zeros(0, int)
    recall = {}
    for i, tag in enumerate(old.vocabulary):
        mine = labels[rows, i] > 0
        if mine.any():
            recall[tag] = {
                "pictures": int(mine.sum()),
                "before": round(float((right_before[mine] == i).mean()), 4),
                "now": round(float((right_now[mine] == i).mean()), 4),
            }
    return {
        "old_fingerprint": old.fingerprint,
        "new_tags": new_tags,
        "lost_tags": [tag for tag in old.vocabulary if tag not in vocabulary],
        "pictures": len(rows),
        "old_model": accuracy(said, labels[rows]),
        "new_model": accuracy(now, truth),
        "taken_by_new_tags": int((right_now >= len(old.vocabulary)).sum()),
        "recall": recall,
    }


def run_bundle(bundle: ModelBundle, dataset: Dataset, keys: Sequence[str]) -> np.ndarray:
    """A bundle's probabilities of pictures of a data set, float [N, tags], in the order of their keys."""
    model = load_model(bundle, 2)
    wanted, rows, batch = set(keys), {}, []

    def flush() -> None:
        results = predict(model, [pixels for _, pixels in batch], bundle.fitted) if batch else []
        for (key, _), result in zip(batch, results, strict=True):
            if result.probabilities is None:
                raise TrainingError(f"{bundle.uri}: {result.reason}")
            rows[key] = result.probabilities
        batch.clear()

    for split in SPLITS:
        for path in storage.list_folder(dataset.uri, f"{split}-*.tfrecord"):
            for item in map(from_example, read_records(path)):
                if item.key in wanted:
                    batch.append((item.key, decode_picture(item.image)))
                    if len(batch) == 32:
                        flush()
    flush()
    return np.stack([rows[key] for key in keys]) if len(keys) else np.zeros((0, len(bundle.vocabulary)))


def settled_splits(uri: str) -> dict[str, str]:
    """The split of each source in an earlier data set, or in the data that a bundle was trained on.

    Raises:
        DatasetError: neither is there, or single pictures were split.
    """
    try:
        return json.loads(storage.read_bytes(storage.join(uri, REPORT, SPLIT_OF_SOURCES)))
    except OSError:
        old = read_dataset(uri)
    if old.manifest["made_with"]["split_by"] != "source":
        raise DatasetError(f"{uri}: its single pictures were split, not its sources; use --split-by random again")
    return {entry.source: entry.split for entry in old.entries}


def has_splits(bundle: str) -> bool:
    """Whether a bundle says in which split each source of its training was."""
    return storage.exists(storage.join(bundle, REPORT, SPLIT_OF_SOURCES))
