"""Training on a data set whose features are kept: transform -> head -> bundle and report."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from sklearn.metrics import average_precision_score

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.models.backbones.specs import Backbone
from movie_tags.models.bundle import ModelBundle
from movie_tags.models.heads import LinearHead
from movie_tags.models.loading import load_model, predict
from movie_tags.models.serving import GraphHead
from movie_tags.training.cautions import cautions
from movie_tags.training.data.dataset import SPLITS, Dataset, DatasetError, Entry, order_tags, read_dataset
from movie_tags.training.evaluate.accuracy import accuracy, fit_temperature, softmax
from movie_tags.training.export import write_bundle_of
from movie_tags.training.extracting import read_features, read_pictures
from movie_tags.training.heads import scaling
from movie_tags.training.heads.fitting import learn, settings_of
from movie_tags.training.heads.multilabel import MultiLabelSettings, labels_of_entries, sigmoid
from movie_tags.training.heads.softmax import Examples, Head, HeadSettings, train_head
from movie_tags.training.training_report import measure, write_report
from movie_tags.wording import number

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
    settings: HeadSettings | MultiLabelSettings,
    min_pictures: int,
    work: Path,
    counted: dict[str, int],
    refit: bool = True,
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
        settings: of the head; their kind is the head's.
        min_pictures: tags with fewer training pictures are left out.
        work: a local folder for the state of an unfinished training.
        counted: features "computed" and "cached", for the report.
        refit: whether the head that ships learns anew, from all splits; the report is of one that learned from the
            training split alone.
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
                f"{dataset.uri}: {number(len(vocabulary), 'tag')} with {min_pictures} training pictures or more; "
                "two are needed"
            )
        examples = {split: _examples(dataset.of(split), parts, graph, vocabulary, backbone.width) for split in SPLITS}
        learned = (
            _learn_sigmoids(dataset, examples, vocabulary, settings, refit)
            if isinstance(settings, MultiLabelSettings)
            else _learn_softmax(examples, vocabulary, settings, parts, report / "tensorboard", work, on_step, refit)
        )
        found = learned.found
        metrics = {
            "name": f"a head on {backbone.spec.name}",
            "vocabulary": vocabulary,
            "left_out": order_tags(set(dataset.manifest["tags"]) - set(vocabulary)),
            "backbone": described(backbone),
            "settings": learned.settings,
            "refit": refit,
            "temperature": round(learned.temperature, 4),
            "split_by": dataset.manifest["made_with"]["split_by"],
            "features": counted,
            "data": {"pictures": dataset.manifest["pictures"], "dropped": len(dataset.manifest["dropped"]["unusable"])},
            "splits": {split: measure(found[split], examples[split].labels, vocabulary) for split in SPLITS},
            **learned.measured,
        }
        sources = {tag: [e.source for e in dataset.entries if tag in e.tags] for tag in vocabulary}
        metrics["cautions"] = cautions(metrics["splits"], sources, metrics["split_by"])
        if old:
            metrics["grown"] = compare(old, dataset, vocabulary, found["test"], learned_sources)
        write_report(report, metrics, vocabulary, learned.curves, found["test"], examples["test"].labels)
        if metrics["split_by"] == "source":
            splits = {entry.source: entry.split for entry in dataset.entries}
            (report / SPLIT_OF_SOURCES).write_text(json.dumps(splits, indent=0, sort_keys=True) + "\n", "utf-8")

        scale, layer = scaling.load_scaling(graph)
        learnt = learned.served(isinstance(settings, MultiLabelSettings))
        card = {
            "name": metrics["name"],
            "backbone": metrics["backbone"],
            "training": {
                "pictures": metrics["data"]["pictures"],
                "split_by": metrics["split_by"],
                "counts": {tag: counts[tag] for tag in vocabulary},
                "settings": metrics["settings"],
                "refit": refit,
            },
            "temperature": metrics["temperature"],
            **learned.card,
            "accuracy": {
                split: {name: metrics["splits"][split][name] for name in ("top1", "top3", "pictures")}
                for split in ("validation", "test")
            },
            "left_out": metrics["left_out"],
        }
        _write(output, backbone, learnt, vocabulary, card, (scale, layer))
        stale = storage.list_files(storage.join(output, REPORT))
        if stale:
            storage.remove(stale)
        storage.send(report, storage.join(output, REPORT))
    if learned.unfinished:
        shutil.rmtree(learned.unfinished, ignore_errors=True)
    return metrics


def described(backbone: Backbone) -> dict:
    """A backbone as metrics.json and `model.json` have it."""
    spec = backbone.spec
    height, width = spec.size
    known = {"name": spec.name, "weights": spec.weights, "size": f"{width} x {height}"}
    return {**known, "width": backbone.width, "fingerprint": backbone.fingerprint}


@dataclass(frozen=True)
class _Learned:
    """A head that ships, and what one that learned from the training split alone says of every split.

    Attributes:
        head: what ships, on scaled features.
        temperature: what its logits are divided by.
        found: probabilities by split, float [N, tags].
        curves: of `train_head`; empty where there are no steps.
        settings: as the report gives them.
        card, measured: what else `model.json` and metrics.json say.
        unfinished: a folder of the state of training, to be removed when all is written.
    """

    head: Head
    temperature: float
    found: dict[str, np.ndarray]
    curves: dict[str, list[float]]
    settings: dict
    card: dict
    measured: dict
    unfinished: Path | None = None

    def served(self, sigmoids: bool) -> LinearHead:
        """The head with its temperature, on scaled features."""
        kernel, bias = (np.asarray(part / self.temperature, np.float32) for part in (self.head.kernel, self.head.bias))
        activation = "sigmoid" if sigmoids else "softmax"
        return LinearHead(kernel, bias, (len(kernel),), activation=activation, relu=self.head.relu)


def _write(
    output: str, backbone: Backbone, head: LinearHead, vocabulary: tuple[str, ...], card: dict, scaling: tuple
) -> None:
    """Write the bundle of a head on scaled features; `scaling` is what `load_scaling` gives."""
    scale, layer = scaling
    served = GraphHead(head)
    write_bundle_of(
        output,
        backbone,
        on_unscaled(head, scale),
        vocabulary,
        card,
        (layer, served),
        lambda features: served([scale(features)]),
    )


def on_unscaled(head: LinearHead, scale: Callable[[tf.Tensor], tf.Tensor]) -> LinearHead:
    """The same head on features that are not scaled yet; its numbers differ from those on scaled ones by rounding.

    Args:
        head: on scaled features.
        scale: features float32 [N, width] -> scaled ones; of each feature a multiple and an offset.
    """
    far = 1024.0  # beyond what features reach, so that little is lost in the difference
    ends = scale(tf.constant([[0.0], [far]]) * tf.ones([1, len(head.kernel)])).numpy().astype(np.float64)
    factor = (ends[1] - ends[0]) / far
    kernel = factor[:, None] * head.kernel
    return replace(head, kernel=kernel.astype(np.float32), bias=(head.bias + ends[0] @ head.kernel).astype(np.float32))


def _learn_sigmoids(
    dataset: Dataset,
    examples: dict[str, Examples],
    vocabulary: Sequence[str],
    settings: MultiLabelSettings,
    refit: bool,
) -> _Learned:
    labels = {split: labels_of_entries(dataset.of(split), vocabulary, settings) for split in SPLITS}
    judged = learn(examples["train"].features, labels["train"], vocabulary, settings)
    found = {split: sigmoid(judged.head.logits(examples[split].features)) for split in SPLITS}
    ships = judged
    if refit:
        everything = np.concatenate([examples[split].features for split in SPLITS])
        ships = learn(
            everything,
            labels_of_entries([entry for split in SPLITS for entry in dataset.of(split)], vocabulary, settings),
            vocabulary,
            settings,
        )
    measured = {
        "frames": int(sum(part.frames.sum() for part in labels.values())),
        "films": len(ships.judged[0].films),
        "film_confidence_reliability": ships.judged[0].reliability,
    }
    head = Head(ships.head.kernel, ships.head.bias, relu=False)
    return _Learned(head, 1.0, found, {}, settings_of(settings), ships.card(vocabulary), measured)


def _learn_softmax(
    examples: dict[str, Examples],
    vocabulary: Sequence[str],
    settings: HeadSettings,
    parts: str,
    logs: Path,
    work: Path,
    on_step: Callable[[int], None] | None,
    refit: bool,
) -> _Learned:
    state = hashlib.sha256(json.dumps([asdict(settings), vocabulary, parts], default=str).encode())
    for split in SPLITS:
        state.update(examples[split].features.tobytes())
        state.update(examples[split].labels.tobytes())
    unfinished = work / f"head-{state.hexdigest()[:16]}"
    head, curves = train_head(examples["train"], examples["validation"], settings, logs, unfinished, on_step)
    logits = {split: head.logits(tf.constant(part.features)).numpy() for split, part in examples.items()}
    temperature = 1.0
    if settings.calibrate:
        temperature = fit_temperature(logits["validation"], examples["validation"].labels)
    found = {split: softmax(values / temperature) for split, values in logits.items()}
    held = sum(len(examples[split].labels) for split in ("validation", "test"))
    if refit and held:
        everything = Examples(
            *(np.concatenate([getattr(examples[split], part) for split in SPLITS]) for part in ("features", "labels"))
        )
        nothing = Examples(everything.features[:0], everything.labels[:0])
        head, _ = train_head(everything, nothing, settings)
    return _Learned(head, temperature, found, curves, {"head": "softmax", **asdict(settings)}, {}, {}, unfinished)


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
                "average_precision_before": round(float(average_precision_score(mine, said[:, i])), 4),
                "average_precision_now": round(float(average_precision_score(mine, now[:, i])), 4),
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
    rows = {}
    for some, pictures in read_pictures(dataset, set(keys), 32):
        for key, result in zip(some, predict(model, pictures, bundle.fitted), strict=True):
            if result.probabilities is None:
                raise TrainingError(f"{bundle.uri}: {result.reason}")
            rows[key] = result.probabilities
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
