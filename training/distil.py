"""The bundled model's recipe: a compact network learns from labelled pictures and from a teacher's features.

    python -m movie_tags.training.distil --data DIR --output models/compact [--epochs N] [--work DIR]

`DIR` holds `images/TAG/SOURCE__NAME.jpg`, `unlabelled/*.jpg` and the teacher's ImageNet weights in `models/`
(MobileNetV2, `keras.applications`). The steps:

1. Split the labelled pictures (`pictures.split_pictures`): whole sources and near-duplicate groups are held out.
2. Cut each training picture into a fixed set of views and keep what the teacher sees in them: a middle map, its last
   map, and its pooled features. Views are cut once, so an epoch of the compact network costs no teacher.
3. Train a linear head on the teacher's pooled features: the reference, and a second set of soft labels.
4. Train the compact network from scratch to give the teacher's maps and features and the head's opinion of every
   view, and the labels of those that have them; low resolution first.
5. Fit a temperature on one half of the held-out pictures; measure on the other half and on the unseen sources.
6. Write the bundle, with all of this in its `model.json`.

No weight of the teacher goes into the bundle. Every step is seeded, and a run that was stopped goes on from its last
epoch (`--work`). Runs on any Keras backend up to the export, which needs TensorFlow's.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import cv2
import keras
import numpy as np
from keras import ops

from movie_tags.training import network as compact
from movie_tags.training.pictures import (
    Picture,
    Splits,
    difference_hash,
    group_pictures,
    near_pairs,
    read_labelled,
    read_picture,
    read_unlabelled,
    split_pictures,
    squeeze,
    targets,
)
from movie_tags.training.vocabulary import TAGS

UNSEEN_SOURCES = ("flowweb", "gymeq", "sports100j", "tomjerry")
"""Sources that are never learned from. Each of their tags has other sources, and between them they cover web
photographs of fifteen tags, gym machines, sabre and foil, and a drawing style that no training source has."""

LEAST_PICTURES = 36
TEACHER_WEIGHTS = "models/mobilenet_v2_1.0_224_imagenet_no_top.weights.h5"
TEACHER_SIZE = 224
TEACHER_LAYERS = {"middle": "block_12_add", "last": "block_16_project_BN"}


@dataclass(frozen=True)
class Schedule:
    """How the compact network is trained; all of it is written into `model.json`."""

    epochs: int = 60
    low_size: int = 96
    high_size: int = 128
    low_share: float = 0.6
    batch: int = 64
    peak_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup_steps: int = 300
    label_smoothing: float = 0.1
    seed: int = 4

    def size(self, epoch: int) -> int:
        """The side in pixels at which an epoch's views are seen."""
        return self.low_size if epoch < round(self.low_share * self.epochs) else self.high_size


@dataclass(frozen=True)
class Views:
    """Fixed views of pictures, and what the teacher sees in them. V views a picture, the first one the whole picture.

    Attributes:
        boxes: float32 [pictures, V, 4], left, top, right, bottom as shares of the picture.
        maps: float16 [pictures, V, h, w, channels] by name, as `TEACHER_LAYERS`.
        pooled: float16 [pictures, V, features].
    """

    boxes: np.ndarray
    maps: dict[str, np.ndarray]
    pooled: np.ndarray


def draw_boxes(pictures: int, views: int, seed: int) -> np.ndarray:
    """Boxes float32 [pictures, views, 4] as shares: first the whole picture, then crops of 30 to 100 % of its area."""
    random = np.random.default_rng(seed)
    area = random.uniform(0.3, 1.0, (pictures, views))
    ratio = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3), (pictures, views)))
    width, height = np.minimum(np.sqrt(area * ratio), 1.0), np.minimum(np.sqrt(area / ratio), 1.0)
    left, top = random.uniform(0, 1 - width), random.uniform(0, 1 - height)
    boxes = np.stack([left, top, left + width, top + height], axis=-1).astype(np.float32)
    boxes[:, 0] = (0, 0, 1, 1)
    return boxes


def cut(picture: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """The part of uint8 [H, W, 3] inside a box of shares, squeezed to uint8 [size, size, 3]."""
    height, width = picture.shape[:2]
    left, top, right, bottom = np.rint(box * (width, height, width, height)).astype(int)
    return squeeze(picture[top : max(bottom, top + 1), left : max(right, left + 1)], (size, size))


def to_input(pictures: np.ndarray) -> np.ndarray:
    """uint8 RGB -> float32 in [-1, 1], the input of both networks."""
    return pictures.astype(np.float32) / 127.5 - 1.0


def build_teacher(weights: Path | None, size: int = TEACHER_SIZE, alpha: float = 1.0) -> keras.Model:
    """MobileNetV2 without its classifier: float32 [N, size, size, 3] in [-1, 1] -> `middle`, `last`, `pooled`.

    Args:
        weights: a weights file of `keras.applications.MobileNetV2(include_top=False)`; None leaves them random.
    """
    base = keras.applications.MobileNetV2(
        weights=None, include_top=False, pooling="avg", input_shape=(size, size, 3), alpha=alpha
    )
    if weights is not None:
        base.load_weights(str(weights))
    outputs = {name: base.get_layer(layer).output for name, layer in TEACHER_LAYERS.items()}
    return keras.Model(base.input, {**outputs, "pooled": base.output})


def teacher_views(
    teacher: keras.Model, images: Sequence[np.ndarray], boxes: np.ndarray, work: Path, batch: int = 64
) -> Views:
    """What the teacher sees in every view, kept in `work` as it goes; a stopped run goes on where it stopped."""
    pictures, views = boxes.shape[:2]
    work.mkdir(parents=True, exist_ok=True)
    size = teacher.input_shape[1]
    done_file = work / "views_done.txt"
    done = int(done_file.read_text()) if done_file.exists() else 0
    stores = {
        name: np.lib.format.open_memmap(
            work / f"{name}.npy",
            mode="r+" if done else "w+",
            dtype=np.float16,
            shape=(pictures * views, *shape[1:]),
        )
        for name, shape in teacher.output_shape.items()
    }
    for start in range(done, pictures * views, batch):
        indices = range(start, min(start + batch, pictures * views))
        seen = np.stack([cut(images[i // views], boxes[i // views, i % views], size) for i in indices])
        for name, value in teacher.predict_on_batch(to_input(seen)).items():
            stores[name][start : start + len(indices)] = value
        if start // batch % 50 == 49:
            for store in stores.values():
                store.flush()
            done_file.write_text(str(indices.stop))
            print(f"teacher: {indices.stop} of {pictures * views} views", flush=True)
    done_file.write_text(str(pictures * views))
    shaped = {name: store.reshape(pictures, views, *store.shape[1:]) for name, store in stores.items()}
    return Views(boxes, {name: shaped[name] for name in TEACHER_LAYERS}, shaped["pooled"])


def train_head(features: np.ndarray, wanted: np.ndarray, seed: int, epochs: int = 40) -> keras.Model:
    """A linear softmax head: float32 [n, features] and multi-label [n, tags] -> a model from features to logits."""
    keras.utils.set_random_seed(seed)
    scale = keras.layers.Normalization()
    scale.adapt(features)
    head = keras.Sequential([scale, keras.layers.Dropout(0.5), keras.layers.Dense(wanted.shape[1])])
    head.compile(
        keras.optimizers.AdamW(1e-3, weight_decay=0.01),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.05),
    )
    head.fit(features, shares(wanted), batch_size=256, epochs=epochs, verbose=0)
    return head


def shares(wanted: np.ndarray) -> np.ndarray:
    """Multi-label rows as distributions: each row divided by its sum, rows of zeros left as they are."""
    return wanted / np.maximum(wanted.sum(-1, keepdims=True), 1.0)


def shrink_matrix(size: int, smaller: int) -> np.ndarray:
    """float32 [smaller, size] that averages `size` cells into `smaller` equal parts; rows sum to 1."""
    edges = np.linspace(0, size, smaller + 1)
    cells = np.arange(size)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    return (np.clip(overlap, 0, None) * smaller / size).astype(np.float32)


class ViewBatches(keras.utils.PyDataset):
    """One epoch: each picture once, in a random view, with the teacher's view of it as targets.

    Views are flipped and their colours changed at random; the teacher's maps are flipped with them.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        views: Views,
        scales: dict[str, tuple[np.ndarray, np.ndarray]],
        opinions: np.ndarray,
        wanted: np.ndarray,
        size: int,
        batch: int,
        seed: int,
    ):
        super().__init__(workers=1, max_queue_size=8)
        self._images, self._views, self._scales = images, views, scales
        self._opinions, self._wanted, self._size, self._batch = opinions, wanted, size, batch
        self._random = np.random.default_rng(seed)
        self._order = self._random.permutation(len(images))
        self._view = self._random.integers(0, views.boxes.shape[1], len(images))
        self._seed = seed

    def __len__(self) -> int:
        return len(self._order) // self._batch

    def __getitem__(self, index: int):
        random = np.random.default_rng((self._seed, index))
        chosen = self._order[index * self._batch : (index + 1) * self._batch]
        view = self._view[chosen]
        flip = random.random(len(chosen)) < 0.5
        pixels = np.stack(
            [cut(self._images[i], self._views.boxes[i, v], self._size) for i, v in zip(chosen, view, strict=True)]
        )
        x = change_colours(to_input(pixels), random)
        x[flip] = x[flip, :, ::-1]
        y = {"opinions": self._opinions[chosen, view], "wanted": self._wanted[chosen]}
        for name, stride in (("middle", compact.STRIDE // 2), ("last", compact.STRIDE)):
            values = self._views.maps[name][chosen, view].astype(np.float32)
            side = -(-self._size // stride)
            shrink = shrink_matrix(values.shape[1], side)
            values = np.einsum("ai,nijc->najc", shrink, values, optimize=True)
            values = np.einsum("bj,najc->nabc", shrink, values, optimize=True)
            values = standardise(values, self._scales[name])
            values[flip] = values[flip, :, ::-1]
            y[name] = values
        y["pooled"] = standardise(self._views.pooled[chosen, view].astype(np.float32), self._scales["pooled"])
        return x, y


def change_colours(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Random contrast, brightness and colour balance for each of float32 [N, H, W, 3] in [-1, 1]; some made grey."""
    n = len(x)
    contrast = random.uniform(0.7, 1.3, (n, 1, 1, 1)) * random.uniform(0.9, 1.1, (n, 1, 1, 3))
    changed = x * contrast.astype(np.float32) + random.uniform(-0.2, 0.2, (n, 1, 1, 1)).astype(np.float32)
    grey = random.random(n) < 0.08
    changed[grey] = changed[grey].mean(-1, keepdims=True)
    return np.clip(changed, -1.0, 1.0)


def scales_of(views: Views, sample: int = 1500) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean and deviation of each channel, float32, of the teacher's maps and pooled features, from some pictures."""
    arrays = {**views.maps, "pooled": views.pooled}
    step = max(1, len(views.pooled) // sample)
    found = {}
    for name, values in arrays.items():
        flat = values[::step, 0].astype(np.float32).reshape(-1, values.shape[-1])
        found[name] = (flat.mean(0), flat.std(0) + 1e-2)
    return found


def standardise(values: np.ndarray, scale: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Subtract the mean and divide by the deviation of each channel."""
    return (values - scale[0]) / scale[1]


class Distiller(keras.Model):
    """The compact network with what only training needs: projections to the teacher's channels, and the loss.

    A batch goes through the network in two independent halves: on a processor their operations then run side by
    side, each on one core, which is a quarter faster than splitting each operation over the cores.
    """

    def __init__(self, network: keras.Model, channels: dict[str, int], label_smoothing: float):
        super().__init__()
        self.network = network
        self.projections = {name: keras.layers.Dense(count, name=name) for name, count in channels.items()}
        self.label_smoothing = label_smoothing

    def call(self, x, training=None):
        halves = [self.network(half, training=training) for half in ops.split(x, 2)]
        joined = {name: ops.concatenate([half[name] for half in halves]) for name in halves[0]}
        projected = {name: layer(joined[name]) for name, layer in self.projections.items()}
        return {**projected, "logits": joined["logits"]}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The teacher's maps and pooled features (squared error), the head's opinion, and the labels."""
        hints = sum(ops.mean(ops.square(y[name] - y_pred[name])) for name in self.projections)
        logs = ops.log_softmax(y_pred["logits"])
        opinion = -ops.mean(ops.sum(ops.softmax(y["opinions"] / 2.0) * ops.log_softmax(y_pred["logits"] / 2.0), -1))
        known = ops.cast(ops.sum(y["wanted"], -1) > 0, "float32")
        smooth = self.label_smoothing
        wanted = y["wanted"] * (1 - smooth) + smooth / ops.shape(logs)[-1]
        labels = ops.sum(-ops.sum(wanted * logs, -1) * known) / ops.maximum(ops.sum(known), 1.0)
        return hints + 2.0 * opinion + labels


def train_compact(
    images: Sequence[np.ndarray],
    views: Views,
    opinions: np.ndarray,
    wanted: np.ndarray,
    schedule: Schedule,
    work: Path,
    dtype: str = "mixed_bfloat16",
    **network_options,
) -> keras.Model:
    """Train the compact network; returns it in float32.

    Args:
        images: uint8 [H, W, 3] each, labelled and unlabelled.
        views: what the teacher sees in them.
        opinions: the head's logits, float32 [pictures, V, tags].
        wanted: each picture's tags as a distribution, float32 [pictures, tags]; zeros where unlabelled.
        schedule: how long and how.
        work: holds the checkpoint that a stopped run goes on from.
        dtype: the policy to train under.
        network_options: for `network.build_network`.
    """
    keras.utils.set_random_seed(schedule.seed)
    network = compact.build_network(wanted.shape[1], dtype=dtype, **network_options)
    scales = scales_of(views)
    model = Distiller(network, {name: len(scale[0]) for name, scale in scales.items()}, schedule.label_smoothing)
    steps = len(images) // schedule.batch
    rate = keras.optimizers.schedules.CosineDecay(
        schedule.peak_rate / 100,
        decay_steps=max(1, steps * schedule.epochs - schedule.warmup_steps),
        alpha=0.0,
        warmup_target=schedule.peak_rate,
        warmup_steps=schedule.warmup_steps,
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=schedule.weight_decay, clipnorm=5.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer)
    model(np.zeros((2, schedule.low_size, schedule.low_size, 3), np.float32))
    optimizer.build(model.trainable_variables)
    state = [*model.variables, *optimizer.variables]
    checkpoint = work / "checkpoint.npz"
    first = _restore(state, checkpoint) if checkpoint.exists() else 0
    for epoch in range(first, schedule.epochs):
        batches = ViewBatches(
            images,
            views,
            scales,
            opinions,
            wanted,
            schedule.size(epoch),
            schedule.batch,
            seed=schedule.seed * 100_003 + epoch,
        )
        model.fit(batches, initial_epoch=epoch, epochs=epoch + 1, verbose=2)
        _save(state, checkpoint, epoch + 1)
    whole = compact.build_network(wanted.shape[1], **network_options)
    whole.set_weights(network.get_weights())
    return whole


def _save(state: Sequence[keras.Variable], path: Path, epoch: int) -> None:
    arrays = {f"v{i}": ops.convert_to_numpy(variable) for i, variable in enumerate(state)}
    partial = path.with_name("partial.npz")
    np.savez(partial, epoch=epoch, **arrays)
    os.replace(partial, path)


def _restore(state: Sequence[keras.Variable], path: Path) -> int:
    with np.load(path) as saved:
        for i, variable in enumerate(state):
            variable.assign(saved[f"v{i}"])
        return int(saved["epoch"])


def fit_temperature(logits: np.ndarray, wanted: np.ndarray) -> float:
    """The temperature, between 0.25 and 4, under which the labels are most probable."""
    choices = np.exp(np.linspace(np.log(0.25), np.log(4.0), 200))
    return float(min(choices, key=lambda t: -(shares(wanted) * np.log(softmax(logits / t) + 1e-9)).sum(-1).mean()))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Rows of logits -> rows of probabilities."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def top_k(probabilities: np.ndarray, wanted: np.ndarray, k: int) -> float:
    """Share of pictures with at least one of their tags among the k most probable."""
    best = np.argsort(-probabilities, axis=-1, kind="stable")[:, :k]
    return float(np.take_along_axis(wanted, best, -1).max(-1).mean())


def calibration_error(probabilities: np.ndarray, wanted: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of the topmost tag, over bins of equal width of its probability."""
    best = probabilities.argmax(-1)
    sure = probabilities[np.arange(len(best)), best]
    right = wanted[np.arange(len(best)), best]
    bin_of = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [(bin_of == b).mean() * abs(sure[bin_of == b].mean() - right[bin_of == b].mean()) for b in set(bin_of)]
    return float(sum(gaps))


def per_tag(probabilities: np.ndarray, wanted: np.ndarray, vocabulary: Sequence[str]) -> dict[str, dict]:
    """Precision and recall of the topmost tag, and the number of pictures, for each tag; None where undefined."""
    guessed = np.eye(len(vocabulary))[probabilities.argmax(-1)]
    right, named, real = (guessed * wanted).sum(0), guessed.sum(0), wanted.sum(0)
    return {
        tag: {
            "n": int(real[i]),
            "precision": round(right[i] / named[i], 3) if named[i] else None,
            "recall": round(right[i] / real[i], 3) if real[i] else None,
        }
        for i, tag in enumerate(vocabulary)
    }


def choose_vocabulary(pictures: Sequence[Picture], least: int = LEAST_PICTURES) -> tuple[list[str], dict[str, str]]:
    """The tags with at least `least` pictures, in the paper's order, and why each other one is left out."""
    counts = Counter(tag for picture in pictures for tag in picture.tags)
    known = [tag for tag in TAGS if counts[tag] >= least]
    left_out = {
        tag: f"too thin: {counts[tag]} pictures" if counts[tag] else "absent: no pictures"
        for tag in TAGS
        if tag not in known
    }
    return known, left_out


def measure(probabilities: np.ndarray, wanted: np.ndarray) -> dict:
    """Top-1, top-3 and the number of pictures."""
    return {
        "top1": round(top_k(probabilities, wanted, 1), 4),
        "top3": round(top_k(probabilities, wanted, 3), 4),
        "n": len(wanted),
    }


def usable_unlabelled(
    unlabelled: Sequence[Picture], hashes: np.ndarray, forbidden: np.ndarray, unseen_sources: Sequence[str]
) -> np.ndarray:
    """Indices of unlabelled pictures that come from no unseen source and are near no forbidden picture."""
    near = set(near_pairs(hashes, forbidden, 24)[:, 0].tolist()) if len(hashes) else set()
    return np.array(
        [i for i, p in enumerate(unlabelled) if p.source not in unseen_sources and i not in near], dtype=np.int64
    )


def logits_of(network: keras.Model, images: Sequence[np.ndarray], size: int, batch: int = 64) -> np.ndarray:
    """The network's logits, float32 [pictures, tags], for whole pictures squeezed to `size`."""
    found = []
    for start in range(0, len(images), batch):
        seen = np.stack([squeeze(image, (size, size)) for image in images[start : start + batch]])
        found.append(ops.convert_to_numpy(network(to_input(seen), training=False)["logits"]))
    return np.concatenate(found)


def evaluate(
    logits: dict[str, np.ndarray], wanted: dict[str, np.ndarray], vocabulary: Sequence[str]
) -> tuple[float, dict, dict]:
    """Temperature, accuracy and per-tag figures from the logits of `held_out` and `unseen` pictures.

    The temperature is fitted on every other held-out picture; the calibration error is measured on those between.
    """
    temperature = fit_temperature(logits["held_out"][::2], wanted["held_out"][::2])
    held_out, unseen = (softmax(logits[name] / temperature) for name in ("held_out", "unseen"))
    accuracy = {
        "held_out_pictures": {
            **measure(held_out, wanted["held_out"]),
            "ece": round(calibration_error(held_out[1::2], wanted["held_out"][1::2]), 4),
        },
        "held_out_sources": {
            **measure(unseen, wanted["unseen"]),
            "ece": round(calibration_error(unseen, wanted["unseen"]), 4),
        },
    }
    return temperature, accuracy, per_tag(held_out, wanted["held_out"], vocabulary)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the recipe from the command line."""
    options = _options(argv)
    schedule = Schedule(epochs=options.epochs, seed=options.seed)
    started = time.time()
    pictures = read_labelled(options.data / "images")
    vocabulary, left_out = choose_vocabulary(pictures)
    pictures = [p for p in pictures if set(p.tags) & set(vocabulary)]
    images = [read_picture(p.path) for p in pictures]
    hashes = np.stack([difference_hash(image) for image in images])
    splits: Splits = split_pictures(
        pictures, group_pictures(pictures, hashes), UNSEEN_SOURCES, options.held_out, schedule.seed
    )
    wanted = targets(pictures, vocabulary)
    unlabelled = read_unlabelled(options.data / "unlabelled")
    more = [read_picture(p.path) for p in unlabelled]
    more_hashes = np.stack([difference_hash(image) for image in more]) if more else np.zeros((0, 256), bool)
    forbidden = hashes[np.concatenate([splits.held_out, splits.unseen])]
    extra = usable_unlabelled(unlabelled, more_hashes, forbidden, UNSEEN_SOURCES)

    teacher = build_teacher(options.data / TEACHER_WEIGHTS)
    learned = [*(images[i] for i in splits.train), *(more[i] for i in extra)]
    boxes = draw_boxes(len(learned), options.views, schedule.seed)
    views = teacher_views(teacher, learned, boxes, options.work / "train")
    test = {"held_out": splits.held_out, "unseen": splits.unseen}
    test_images = {name: [images[i] for i in chosen] for name, chosen in test.items()}
    test_wanted = {name: wanted[chosen] for name, chosen in test.items()}
    test_pooled = {
        name: teacher_views(teacher, found, draw_boxes(len(found), 1, 0), options.work / name).pooled[:, 0]
        for name, found in test_images.items()
    }

    labelled = len(splits.train)
    pooled = np.asarray(views.pooled[:labelled], np.float32)
    head = train_head(
        pooled.reshape(-1, pooled.shape[-1]), np.repeat(wanted[splits.train], options.views, 0), schedule.seed
    )
    _, reference, _ = evaluate(
        {name: head.predict(found.astype(np.float32), verbose=0) for name, found in test_pooled.items()},
        test_wanted,
        vocabulary,
    )
    print("teacher's linear head:", json.dumps(reference), flush=True)
    flat = np.asarray(views.pooled, np.float32).reshape(-1, views.pooled.shape[-1])
    opinions = head.predict(flat, batch_size=1024, verbose=0).reshape(len(learned), options.views, -1)
    aims = np.concatenate([shares(wanted[splits.train]), np.zeros((len(extra), len(vocabulary)), np.float32)])

    network = train_compact(learned, views, opinions, aims, schedule, options.work, options.dtype)
    size = options.size
    temperature, accuracy, tags = evaluate(
        {name: logits_of(network, found, size) for name, found in test_images.items()}, test_wanted, vocabulary
    )
    print("compact network:", json.dumps(accuracy), f"temperature {temperature:.3f}", flush=True)
    card = {
        "name": "compact",
        "input_size": [size, size],
        "backbone": compact.NAME,
        "parameters": int(network.count_params()),
        "temperature": round(temperature, 4),
        "training": {
            "data": "labelled photographs and film frames, and unlabelled ones seen only through the teacher",
            "teacher": "MobileNetV2 1.0 at 224 pixels, ImageNet weights (features only; none of its weights are here)",
            "sources": sorted({pictures[i].source for i in splits.train}),
            "splits": {
                "train": labelled,
                "unlabelled": len(extra),
                "held_out_pictures": len(splits.held_out),
                "held_out_sources": {
                    s: sum(pictures[i].source == s for i in splits.unseen) for s in UNSEEN_SOURCES
                },
            },
            "pictures_by_tag": dict(zip(vocabulary, wanted[splits.train].sum(0).astype(int).tolist(), strict=True)),
            "schedule": {**schedule.__dict__, "views": options.views, "dtype": options.dtype},
            "seed": schedule.seed,
            "wall_time_of_last_run_s": round(time.time() - started),
            "machine": options.machine,
        },
        "accuracy": accuracy,
        "accuracy_of_teachers_linear_head": reference,
        "per_tag": tags,
        "left_out": left_out,
        "versions": {name: metadata.version(name) for name in ("tensorflow", "keras", "numpy")},
    }
    from movie_tags.training.export import Serving, write_bundle  # TensorFlow is needed from here on only.

    write_bundle(options.output, Serving(network, (size, size), temperature), vocabulary, card)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="movie_tags.training.distil", description=__doc__.split("\n\n")[0])
    data = Path(os.environ.get("MOVIE_TAGS_DATA", "../shared/data"))
    parser.add_argument("--data", type=Path, default=data, help="the data folder (default: MOVIE_TAGS_DATA or %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("models/compact"), help="where the bundle goes")
    parser.add_argument("--work", type=Path, default=Path("build/compact"), help="teacher's features, checkpoint")
    parser.add_argument("--epochs", type=int, default=Schedule.epochs, help="passes over all pictures")
    parser.add_argument("--views", type=int, default=3, help="fixed views of each picture (about 70 KB each on disk)")
    parser.add_argument("--size", type=int, default=Schedule.high_size, help="side in pixels at which it is served")
    parser.add_argument("--held-out", type=float, default=0.09, help="share of pictures held out of each tag")
    parser.add_argument("--seed", type=int, default=Schedule.seed)
    parser.add_argument("--dtype", default="mixed_bfloat16", help="Keras dtype policy to train under")
    parser.add_argument("--machine", default="not stated", help="the machine in general words, for model.json")
    return parser.parse_args(argv)


if __name__ == "__main__":
    cv2.setNumThreads(1)
    main()
