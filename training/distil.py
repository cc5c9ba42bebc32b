"""Trains the bundled model: a compact network of our own, taught by an ImageNet network whose weights are not shipped.

    python -m movie_tags.training.distil --data DATA --output models/compact

DATA holds images/TAG/SOURCE__NAME.jpg, unlabelled/*.jpg and models/mobilenet_v2_1.0_224_imagenet_no_top.weights.h5.
The teacher's features of fixed views of every picture are computed once and cached; the student learns those features,
the probabilities of a linear head on them, and the labels. A run that was cut off goes on from its last epoch.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_fscore_support

from movie_tags.training.export import write_bundle
from movie_tags.training.network import EMBEDDING, build_network
from movie_tags.training.pictures import find_labelled, find_unlabelled, load_squeezed, multi_hot, split_pictures
from movie_tags.training.vocabulary import TAGS

TEACHER_WEIGHTS = "models/mobilenet_v2_1.0_224_imagenet_no_top.weights.h5"
TEACHER_SIZE = 224
STORED_SIZE = 176
HELD_OUT_SOURCES = frozenset({"flowweb", "vicap"})
HELD_OUT_SHARE = 0.08
MIN_PICTURES = 36
LABEL_SMOOTHING = 0.05


def views(pictures: np.ndarray, number: int, seed: int) -> np.ndarray:
    """Crop boxes [number, N, 4] (y0, x0, y1, x1 in 0 to 1): the whole picture first, then seeded random crops."""
    random = np.random.default_rng(seed)
    n = len(pictures)
    boxes = [np.tile(np.array([0, 0, 1, 1], np.float32), (n, 1))]
    for _ in range(number - 1):
        sides = np.sqrt(random.uniform(0.35, 0.95, (n, 1))) * random.uniform(0.85, 1.15, (n, 2))
        sides = np.minimum(sides, 1)
        corner = random.uniform(0, 1, (n, 2)) * (1 - sides)
        boxes.append(np.concatenate([corner, corner + sides], 1).astype(np.float32))
    return np.stack(boxes)


def crop(pictures: tf.Tensor, boxes: tf.Tensor, size: int) -> tf.Tensor:
    """Cut a box out of each picture: uint8 [N, H, W, 3] -> float32 [N, size, size, 3] in 0 to 255."""
    floats = tf.cast(pictures, tf.float32)
    if 2 * pictures.shape[1] > 3 * size:  # crop_and_resize samples points: blur what it would skip
        floats = tf.nn.avg_pool2d(floats, 2, 1, "SAME")
    return tf.image.crop_and_resize(floats, boxes, tf.range(tf.shape(pictures)[0]), [size, size])


def teacher_features(pictures: np.ndarray, boxes: np.ndarray, teacher: keras.Model, cache: Path) -> np.ndarray:
    """The teacher's features of every view, float16 [views, N, features], computed once per view."""
    compute = tf.function(lambda batch, box: teacher(crop(batch, box, TEACHER_SIZE) / 127.5 - 1, training=False))
    all_views = []
    for view, view_boxes in enumerate(boxes):
        path = cache / f"teacher-{len(pictures)}-{view}.npy"
        if not path.exists():
            rows = [
                compute(pictures[at : at + 64], view_boxes[at : at + 64]).numpy().astype(np.float16)
                for at in range(0, len(pictures), 64)
            ]
            with open(path.with_suffix(".part"), "wb") as out:
                np.save(out, np.concatenate(rows))
            path.with_suffix(".part").rename(path)
            print(f"teacher: view {view + 1} of {len(boxes)} done", flush=True)
        all_views.append(np.load(path))
    return np.stack(all_views)


class Distiller(keras.Model):
    """The student with a projection of its embedding into the teacher's feature space, used in training only."""

    def __init__(self, student: keras.Model, features: int):
        super().__init__()
        self.student = student
        self.both = keras.Model(student.input, [student.get_layer(EMBEDDING).output, student.output])
        self.project = keras.layers.Dense(features, use_bias=False)

    def call(self, pictures, training=False):
        embedding, logits = self.both(pictures, training=training)
        return self.project(embedding), logits


def distillation_loss(features, logits, teacher, soft, labels, has_labels):
    """Cosine distance to the teacher's features, cross-entropy to its head's probabilities and to the labels."""
    cosine = 1 - tf.reduce_sum(tf.math.l2_normalize(features, 1) * tf.math.l2_normalize(teacher, 1), 1)
    from_head = tf.nn.softmax_cross_entropy_with_logits(soft, logits)
    from_labels = tf.nn.softmax_cross_entropy_with_logits(labels, logits) * has_labels
    return tf.reduce_mean(4 * cosine + from_head + 0.5 * from_labels)


def augment(batch: tf.Tensor, boxes: tf.Tensor, size: int) -> tf.Tensor:
    """A view of each picture, flipped and its brightness, contrast and colour changed at random."""
    pictures = tf.image.random_flip_left_right(crop(batch, boxes, size))
    n = tf.shape(batch)[0]
    mean = tf.reduce_mean(pictures, [1, 2, 3], keepdims=True)
    pictures = (pictures - mean) * tf.random.uniform([n, 1, 1, 1], 0.7, 1.3) + mean
    pictures *= tf.random.uniform([n, 1, 1, 1], 0.75, 1.25) * tf.random.uniform([n, 1, 1, 3], 0.92, 1.08)
    grey = tf.reduce_mean(pictures, 3, keepdims=True)
    return tf.clip_by_value(grey + (pictures - grey) * tf.random.uniform([n, 1, 1, 1], 0.4, 1.4), 0, 255)


def probabilities(student: keras.Model, pictures: np.ndarray, size: int, temperature: float = 1.0) -> np.ndarray:
    """float32 [N, tags] of whole pictures."""
    logits = []
    for at in range(0, len(pictures), 64):
        batch = pictures[at : at + 64]
        floats = tf.image.resize(tf.cast(batch, tf.float32), [size, size], antialias=True)
        logits.append(student(floats, training=False).numpy())
    return tf.nn.softmax(np.concatenate(logits) / temperature).numpy()


def accuracy(p: np.ndarray, labels: np.ndarray) -> dict[str, float | int]:
    """Top-1 and top-3 accuracy over pictures that have a tag of the vocabulary; any of a picture's tags is right."""
    known = labels.sum(1) > 0
    p, labels = p[known], labels[known]
    ranked = np.take_along_axis(labels, np.argsort(-p, 1)[:, :3], 1)
    return {"top1": round(float(ranked[:, 0].mean()), 4), "top3": round(float(ranked.max(1).mean()), 4), "n": len(p)}


def calibration_error(p: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error of the top tag's probability, in equally wide bins."""
    known = labels.sum(1) > 0
    p, labels = p[known], labels[known]
    confidence, right = p.max(1), labels[np.arange(len(p)), p.argmax(1)]
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(confidence[which == b].mean() - right[which == b].mean()) * (which == b).mean() for b in set(which)]
    return float(sum(gaps))


def fit_temperature(p: np.ndarray, labels: np.ndarray) -> float:
    """The temperature at which the labels are most likely (of probabilities at temperature 1)."""
    known = labels.sum(1) > 0
    logs, labels = np.log(np.maximum(p[known], 1e-12)), labels[known]

    def loss(temperature: float) -> float:
        scaled = logs / temperature
        scaled -= np.log(np.exp(scaled).sum(1, keepdims=True))
        return -float((labels * scaled).sum() / labels.sum())

    return float(min(np.geomspace(0.3, 4, 100), key=loss))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MOVIE_TAGS_DATA", "../shared/data")))
    parser.add_argument("--output", type=Path, default=Path("models/compact"))
    parser.add_argument("--work", type=Path, default=Path("build/distil"), help="teacher's features and checkpoints")
    parser.add_argument("--teacher", type=Path, help=f"the teacher's weights; default DATA/{TEACHER_WEIGHTS}")
    parser.add_argument("--epochs", type=int, default=16, help="over all views of all pictures")
    parser.add_argument("--views", type=int, default=2, help="fixed views of each picture")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=112, help="side of the student's input in pixels")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    train(args)


def train(args: argparse.Namespace) -> None:
    """Run the recipe from pictures to bundle."""
    begun = time.time()
    keras.utils.set_random_seed(args.seed)
    args.work.mkdir(parents=True, exist_ok=True)
    labelled = find_labelled(args.data / "images")
    unlabelled = find_unlabelled(args.data / "unlabelled")
    counts = {tag: sum(tag in picture.tags for picture in labelled) for tag in TAGS}
    vocabulary = tuple(tag for tag in TAGS if counts[tag] >= MIN_PICTURES)
    known, held, strange = split_pictures(labelled, HELD_OUT_SOURCES, HELD_OUT_SHARE)
    unlabelled = [picture for picture in unlabelled if picture.source not in HELD_OUT_SOURCES]
    print(f"{len(known)} pictures to train on, {len(unlabelled)} unlabelled, {len(held)} and {len(strange)} held out")
    pictures = load_squeezed((picture.path for picture in known + unlabelled), STORED_SIZE)
    labels = multi_hot(known + unlabelled, vocabulary)
    held_pictures, strange_pictures = (load_squeezed((p.path for p in part), STORED_SIZE) for part in (held, strange))
    held_labels, strange_labels = multi_hot(held, vocabulary), multi_hot(strange, vocabulary)

    teacher = keras.applications.MobileNetV2(
        weights=None, include_top=False, pooling="avg", input_shape=(TEACHER_SIZE, TEACHER_SIZE, 3)
    )
    if args.teacher != Path("random"):
        teacher.load_weights(args.teacher or args.data / TEACHER_WEIGHTS)
    boxes = views(pictures, args.views, args.seed)
    features = teacher_features(pictures, boxes, teacher, args.work)
    has_label = labels.sum(1) > 0
    head = LogisticRegression(C=0.1, max_iter=300)
    rows, columns = np.nonzero(labels)
    head.fit(np.concatenate([f[rows] for f in features]).astype(np.float32), np.tile(columns, args.views))
    soft = np.stack([_spread(head, f, len(vocabulary)) for f in features])
    whole = np.tile(np.array([0, 0, 1, 1], np.float32), (max(len(held), len(strange)), 1))[None]
    teacher_scores = {}
    for name, part, part_labels in (
        ("held", held_pictures, held_labels),
        ("strange", strange_pictures, strange_labels),
    ):
        found = teacher_features(part, whole[:, : len(part)], teacher, args.work)[0]
        teacher_scores[name] = accuracy(_spread(head, found, len(vocabulary)), part_labels)
    print("the teacher with a linear head:", teacher_scores, flush=True)

    sharpened = labels / np.maximum(labels.sum(1, keepdims=True), 1)
    sharpened = sharpened * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / len(vocabulary)
    student = build_network(len(vocabulary))
    steps = args.epochs * args.views * len(pictures) // args.batch
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=args.learning_rate, warmup_steps=max(1, steps // 20), alpha=0.005
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.02, global_clipnorm=2.0)
    distiller = Distiller(student, features.shape[-1])
    distiller(np.zeros((1, args.size, args.size, 3), np.float32))
    optimizer.build(distiller.trainable_variables)
    epoch = tf.Variable(0, dtype=tf.int64)
    checkpoint = tf.train.Checkpoint(distiller=distiller, optimizer=optimizer, epoch=epoch)
    manager = tf.train.CheckpointManager(checkpoint, str(args.work / "checkpoints"), max_to_keep=1)
    checkpoint.restore(manager.latest_checkpoint)

    @tf.function
    def step(batch, box, teacher_batch, soft_batch, label_batch, labelled_batch, size):
        view = augment(batch, box, size)
        with tf.GradientTape() as tape:
            projected, logits = distiller(view, training=True)
            loss = distillation_loss(projected, logits, teacher_batch, soft_batch, label_batch, labelled_batch)
        variables = distiller.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    while int(epoch) < args.epochs:
        random = np.random.default_rng([args.seed, int(epoch)])
        order = random.permutation(args.views * len(pictures))
        # Most of the learning is done on smaller pictures, at half the price.
        size = args.size if int(epoch) >= 0.6 * args.epochs else max(32, round(args.size * 0.75 / 16) * 16)
        losses, started = [], time.time()
        for at in range(0, len(order) - args.batch + 1, args.batch):
            view, row = np.divmod(order[at : at + args.batch], len(pictures))
            losses.append(
                step(
                    pictures[row],
                    boxes[view, row],
                    features[view, row].astype(np.float32),
                    soft[view, row],
                    sharpened[row].astype(np.float32),
                    has_label[row].astype(np.float32),
                    size,
                )
            )
        epoch.assign_add(1)
        manager.save()
        scores = accuracy(probabilities(student, held_pictures, args.size), held_labels)
        spent = time.time() - started
        print(f"epoch {int(epoch)}: loss {np.mean(losses):.3f}, held out {scores}, {spent:.0f} s", flush=True)

    p_held = probabilities(student, held_pictures, args.size)
    halves = np.arange(len(held)) % 2 == 0
    temperature = fit_temperature(p_held[halves], held_labels[halves])
    scaled = probabilities(student, held_pictures, args.size, temperature)
    p_strange = probabilities(student, strange_pictures, args.size, temperature)
    precision, recall, _, support = precision_recall_fscore_support(
        held_labels, np.eye(len(vocabulary))[scaled.argmax(1)], zero_division=0
    )
    card = {
        "name": "movie-tags compact",
        "backbone": "residual network of plain convolutions, 13 layers (training/network.py)",
        "training": {
            "data": "labelled stills and film frames in 43 of the 50 tags, from public data sets; unlabelled pictures",
            "pictures": len(known),
            "unlabelled": len(unlabelled),
            "held_out_sources": sorted(HELD_OUT_SOURCES),
            "teacher": "MobileNetV2 trained on ImageNet (taught only; none of its weights are inside)",
            "counts": {tag: int(n) for tag, n in zip(vocabulary, labels.sum(0), strict=True)},
            "epochs": args.epochs,
            "views": args.views,
            "seed": args.seed,
            "wall_seconds_last_start": round(time.time() - begun),
            "machine": "2 cores of a server CPU",
        },
        "temperature": round(temperature, 4),
        "accuracy": {
            "held_out_pictures": {
                **accuracy(scaled, held_labels),
                "ece": round(calibration_error(scaled[~halves], held_labels[~halves]), 4),
            },
            "held_out_sources": accuracy(p_strange, strange_labels),
            "teacher_held_out_pictures": teacher_scores["held"],
            "teacher_held_out_sources": teacher_scores["strange"],
        },
        "per_tag": {
            tag: {"precision": round(float(a), 3), "recall": round(float(b), 3), "pictures": int(n)}
            for tag, a, b, n in zip(vocabulary, precision, recall, support, strict=True)
        },
        "left_out": {tag: f"{counts[tag]} pictures" for tag in TAGS if tag not in vocabulary},
    }
    write_bundle(args.output, student, vocabulary, args.size, temperature, card)
    print(json.dumps(card["accuracy"], indent=2))


def _spread(head: LogisticRegression, features: np.ndarray, tags: int) -> np.ndarray:
    """The head's probabilities, float32 [N, tags], with zeros for tags it never saw."""
    spread = np.zeros((len(features), tags), np.float32)
    spread[:, head.classes_] = head.predict_proba(features.astype(np.float32))
    return spread


if __name__ == "__main__":
    main()
