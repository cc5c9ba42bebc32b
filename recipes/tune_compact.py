"""Tunes the compact network on film: EfficientNet-Lite0, from its fourth stage on.

    python -m recipes.tune_compact --data DATA --work WORK --output models/compact

DATA is that of `recipes/default_model.py`, with which this shares WORK. The blocks below `compact.FIRST` stay as they
are published, so what they say of VERSIONS seeded versions of every picture, made to look like film, is computed once
and kept. The rest learns from there: once for each part of the films and collections that is left out, which gives the
logits that the head's thresholds and its judgement rest on, and once from everything, which ships. A run that was cut
off goes on from its last epoch. Then `python -m recipes.default_model --model compact` makes the head ready for use.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from movie_tags.models.backbones import compact, efficientnet_lite
from movie_tags.models.views import fit, without_bars
from movie_tags.training.data.dataset import Dataset
from movie_tags.training.extracting import read_pictures
from movie_tags.training.heads.multilabel import (
    Labels,
    MultiLabelHead,
    MultiLabelSettings,
    folds_of,
    labels_of_entries,
)
from movie_tags.training.heads.multilabel import fit as fit_head
from recipes.default_model import group_of, make_dataset, vocabulary_of
from recipes.film_looks import as_in_a_film
from recipes.tuned import Tuned

CUT = f"block{compact.FIRST - 1}_add"
"""What the frozen blocks end with."""

PROBE_L2 = 0.03
SEED = 0


@dataclass(frozen=True)
class TuningSettings:
    """The numbers of the tuning.

    Attributes:
        epochs: in each, every picture is seen once, in one of its versions, but for a last batch that is not full.
        versions: of each picture, the first of them as it is.
        folds: so many parts of the films and collections are left out in turn.
        batch: pictures a step.
        learning_rate: of AdamW at its highest, after `warmup` steps, or one epoch; then it falls as a cosine.
        weight_decay: of AdamW.
        dropout: the share of the features that are left out at each step.
        average: the weights that ship are a moving average over steps, with this momentum.
    """

    epochs: int = 3
    versions: int = 7
    folds: int = 3
    batch: int = 32
    learning_rate: float = 2e-4
    weight_decay: float = 0.02
    dropout: float = 0.2
    warmup: int = 100
    average: float = 0.995


def split() -> tuple[keras.Model, keras.Model]:
    """EfficientNet-Lite0 as published: its frozen blocks, pictures -> maps, and the rest, maps -> features."""
    network = efficientnet_lite.load(compact.PUBLISHED, compact.SIZE)
    cut = network.get_layer(CUT).output
    network.trainable = True
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return keras.Model(network.input, cut), keras.Model(cut, network.output)


def maps_of_versions(dataset: Dataset, versions: int, work: Path) -> list[np.ndarray]:
    """What the frozen blocks say of versions of every picture, each a memory map float16 [N, h, w, channels]."""
    keys = [entry.key for entry in dataset.entries]
    digest = hashlib.sha256("".join([*keys, CUT, str(compact.SIZE), str(SEED)]).encode()).hexdigest()[:16]
    paths = [work / f"maps-{digest}-{version}.npy" for version in range(versions)]
    missing = [version for version, path in enumerate(paths) if not path.exists()]
    if missing:
        lower, _ = split()
        shape = (len(keys), *lower.output.shape[1:])
        parts = {v: np.lib.format.open_memmap(paths[v].with_suffix(".part"), "w+", np.float16, shape) for v in missing}
        place = {key: row for row, key in enumerate(keys)}
        for some, pictures in read_pictures(dataset, set(keys), 32):
            rows = [place[key] for key in some]
            for version, part in parts.items():
                looks = [look(picture, version, row) for picture, row in zip(pictures, rows, strict=True)]
                part[rows] = lower.predict_on_batch(np.stack(looks).astype(np.float32))
        for version, part in parts.items():
            part.flush()
            paths[version].with_suffix(".part").rename(paths[version])
    return [np.load(path, mmap_mode="r") for path in paths]


def look(pixels: np.ndarray, version: int, row: int) -> np.ndarray:
    """A version of a picture, uint8 RGB [*compact.SIZE, 3]: version 0 as the pipeline shows it to the network."""
    whole = without_bars(pixels)
    random = np.random.default_rng([SEED, version, row])
    return as_in_a_film(whole, compact.SIZE, random) if version else fit(whole, compact.SIZE)


class Batches(keras.utils.PyDataset):
    """Maps float32, and beside them targets and their weights float32 [n, 2, tags]; every epoch in another order."""

    def __init__(self, maps: Sequence[np.ndarray], rows: np.ndarray, wanted: np.ndarray, batch: int):
        """
        Args:
            maps: of each version [N, h, w, channels].
            rows: the pictures to learn from, int [n].
            wanted: of all pictures, [N, 2, tags].
            batch: pictures a step.
        """
        super().__init__()
        self.maps, self.rows, self.wanted, self.batch = maps, rows, wanted, batch
        self.begin(0)

    def begin(self, epoch: int) -> None:
        random = np.random.default_rng([SEED, epoch])
        self.order = random.permutation(self.rows)
        # A picture's versions take turns: none comes twice before all were seen.
        first = np.random.default_rng(SEED).integers(0, len(self.maps), len(self.wanted))
        self.version = (first + epoch) % len(self.maps)

    def __len__(self) -> int:
        return max(1, len(self.rows) // self.batch)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.order[number * self.batch : (number + 1) * self.batch]
        maps = np.stack([self.maps[self.version[row]][row] for row in rows]).astype(np.float32)
        return maps, self.wanted[rows]


def weighted_cross_entropy(wanted: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Of each picture, summed over tags: wanted float32 [n, 2, tags], targets and weights; logits [n, tags]."""
    cross = tf.nn.sigmoid_cross_entropy_with_logits(labels=wanted[:, 0], logits=logits)
    return tf.reduce_sum(wanted[:, 1] * cross, 1)


def wanted_of(labels: Labels) -> np.ndarray:
    """Targets and their weights, on average 1: float32 [N, 2, tags]."""
    return np.stack([labels.targets, labels.weights / max(float(labels.weights.mean()), 1e-6)], 1).astype(np.float32)


def tune(
    maps: Sequence[np.ndarray],
    rows: np.ndarray,
    labels: Labels,
    settings: TuningSettings,
    work: Path,
) -> tuple[keras.Model, keras.Model]:
    """Learn from some pictures, going on where a run was cut off.

    Args:
        maps: see `maps_of_versions`.
        rows: the pictures to learn from, int [n].
        labels: of these pictures, in the order of `rows`.
        settings: the numbers.
        work: where checkpoints lie meanwhile.

    Returns:
        The tuned network, maps -> features, and the same with its last layer, maps -> logits.
    """
    upper = split()[1]
    probe = fit_head(answer(upper, maps[0], rows), labels, PROBE_L2, 40)
    last = keras.layers.Dense(len(probe.bias), name="logits")
    model = keras.Sequential([upper, keras.layers.Dropout(settings.dropout), last])
    model.build((None, *maps[0].shape[1:]))
    last.set_weights([probe.kernel, probe.bias])
    wanted = np.zeros((len(maps[0]), 2, labels.applies.shape[1]), np.float32)
    wanted[rows] = wanted_of(labels)
    batches = Batches(maps, rows, wanted, settings.batch)
    model.compile(_optimizer(settings, len(batches)), weighted_cross_entropy, jit_compile=False)
    resume = keras.callbacks.BackupAndRestore(str(work))
    turn = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.begin(epoch))
    model.fit(batches, epochs=settings.epochs, shuffle=False, verbose=2, callbacks=[resume, turn])
    return upper, model


def _optimizer(settings: TuningSettings, steps: int) -> keras.optimizers.Optimizer:
    """AdamW for so many steps an epoch; when all are done, the weights are their moving average."""
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        settings.epochs * steps,
        warmup_target=settings.learning_rate,
        warmup_steps=min(settings.warmup, steps),
        alpha=0.01,
    )
    return keras.optimizers.AdamW(
        rate, weight_decay=settings.weight_decay, global_clipnorm=5.0, use_ema=True, ema_momentum=settings.average
    )


def answer(model: keras.Model, maps: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """What a model says of some pictures, float32 [n, outputs]."""
    parts = [model.predict_on_batch(maps[rows[at : at + 64]].astype(np.float32)) for at in range(0, len(rows), 64)]
    return np.concatenate(parts)


def tune_compact(data: Path, work: Path, output: Path, settings: TuningSettings) -> Tuned:
    """Run the recipe, from pictures to `body.npz` in `output`, and to what the head's recipe takes, in `work`."""
    keras.utils.set_random_seed(SEED)
    work.mkdir(parents=True, exist_ok=True)
    dataset = make_dataset(data, work)
    vocabulary, _ = vocabulary_of(dataset.entries)
    labels = labels_of_entries(dataset.entries, vocabulary, MultiLabelSettings(), group_of)
    maps = maps_of_versions(dataset, settings.versions, work)
    known, fold = labels.weights.any(1), folds_of(labels, settings.folds, SEED)
    logits = np.zeros(labels.applies.shape, np.float32)
    for part in range(settings.folds):
        rows, held = np.flatnonzero(known & (fold != part)), np.flatnonzero(fold == part)
        kept = work / f"left-out-{_digest(labels, rows, settings)}.npy"
        if not kept.exists():
            print(f"tuning without part {part + 1} of {settings.folds}", flush=True)
            model = tune(maps, rows, labels.of(rows), settings, kept.with_suffix(""))[1]
            np.save(kept, answer(model, maps[0], held))
        logits[held] = np.load(kept)
    print("tuning on everything", flush=True)
    rows = np.flatnonzero(known)
    upper, model = tune(maps, rows, labels.of(rows), settings, work / f"all-{_digest(labels, rows, settings)}")
    kernel, bias = model.get_layer("logits").get_weights()
    output.mkdir(parents=True, exist_ok=True)
    compact.write_body(output / compact.BODY.name, upper)
    tuned = Tuned(MultiLabelHead(kernel, bias), logits, vocabulary)
    tuned.write(work, dataset.entries)
    return tuned


def _digest(labels: Labels, rows: np.ndarray, settings: TuningSettings) -> str:
    """Of all that decides what is learned, so that no run goes on from another one's checkpoint."""
    parts = [labels.targets, labels.weights, rows, np.frombuffer(repr(settings).encode(), np.uint8)]
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()[:16]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MOVIE_TAGS_DATA", "../shared/data")))
    parser.add_argument(
        "--work", type=Path, default=Path("build/default_model"), help="data set, features, checkpoints"
    )
    parser.add_argument("--output", type=Path, default=Path("models/compact"), help="where body.npz goes")
    parser.add_argument("--epochs", type=int, default=TuningSettings.epochs)
    args = parser.parse_args(argv)
    tune_compact(args.data, args.work, args.output, TuningSettings(epochs=args.epochs))


if __name__ == "__main__":
    main()
