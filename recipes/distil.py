"""Trains the bundled model: a compact network of our own, taught by an ImageNet network whose weights are not shipped.

    python -m recipes.distil --data DATA --output build/compact

DATA holds images/TAG/SOURCE__NAME.jpg, unlabelled/*.jpg, videos/{films,clips}/* (their frames are used without any
label) and models/mobilenet_v2_1.0_224_imagenet_no_top.weights.h5. The teacher's answers to fixed views of every picture
are computed once and cached; the student learns those answers, the probabilities of a linear head on them, and the
labels. A run that was cut off goes on from its last epoch. `make bundled-model` does it, puts the body where the bundle
that ships is built from (models/compact), and learns that bundle's head anew on it.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import precision_recall_fscore_support

from movie_tags.models.backbones.compact import EMBEDDING, MAP, build_network, embedding_of, look_twice
from movie_tags.models.backbones.compact_weights import BODY, write_body
from movie_tags.models.bundle import HEAD, MODEL_JSON, SAVED_MODEL
from movie_tags.models.heads import LinearHead
from movie_tags.models.runtimes import configure
from movie_tags.models.views import View, fit
from movie_tags.training.data.vocabulary import TAGS
from movie_tags.training.evaluate.accuracy import accuracy, calibration_error, fit_temperature, softmax
from movie_tags.training.export import HalfStored, write_bundle
from movie_tags.training.heads.softmax import Examples, Head, HeadSettings, train_head
from movie_tags.transforms.video.errors import VideoError
from movie_tags.transforms.video.samples import SegmentReader
from movie_tags.transforms.video.segments import plan_segments
from recipes.cards import write_text
from recipes.crops import TEACHER_SIZE, Taught, Views, make_views, render, teach
from recipes.picture_folders import (
    find_labelled,
    find_unlabelled,
    load_squeezed,
    multi_hot,
    split_pictures,
)

TEACHER_WEIGHTS = "models/mobilenet_v2_1.0_224_imagenet_no_top.weights.h5"
STORED_SIZE = 208
STUDENT_STORED_SIZE = 160
HELD_OUT_SOURCES = frozenset({"flowweb", "gymeq", "sports100j", "tomjerry"})
HELD_OUT_SHARE = 0.08
MIN_PICTURES = 36
LABEL_SMOOTHING = 0.05
FOLDS = 4
FILM_FPS = 2
LAST_HEAD = HeadSettings(steps=300, learning_rate=0.002, weight_decay=0.3, balance=0.5)
TEACHERS_HEAD = HeadSettings(steps=1000, learning_rate=0.002, weight_decay=0.3)
# Most of the learning is done on small pictures, at a fraction of the price: (share of the epochs, share of the size).
PHASES = ((0.4, 0.571), (0.4, 0.857), (0.2, 1.0))


class Distiller(keras.Model):
    """The student with projections into the teacher's feature spaces, used in training only."""

    def __init__(self, student: keras.Model, features: int, channels: int):
        super().__init__()
        self.student = student
        outputs = [student.get_layer(EMBEDDING).output, student.get_layer(MAP).output, student.output]
        self.parts = keras.Model(student.input, outputs)
        self.project = keras.layers.Dense(features, dtype="float32")
        self.project_map = keras.layers.Conv2D(channels, 1)

    def call(self, pictures, training=False):
        embedding, places, logits = self.parts(pictures, training=training)
        return self.project(embedding), tf.cast(self.project_map(places), tf.float32), logits


class Served(tf.Module):
    """The student as it is used (`look_twice`)."""

    def __init__(self, student: keras.Model):
        super().__init__()
        self.embed = HalfStored(embedding_of(student))
        self.kernel, self.bias = (tf.Variable(w, trainable=False) for w in student.get_layer("logits").get_weights())

    def learn_head(self, features: np.ndarray, labels: np.ndarray, settings: HeadSettings) -> None:
        """Learn the last layer anew, on features as they are in use: float32 [N, width], labels [N, tags]."""
        mean, deviation = features.mean(0), features.std(0) + 1e-4
        examples = Examples((features - mean) / deviation, labels)
        head, _ = train_head(examples, Examples(examples.features[:0], labels[:0]), settings)
        kernel = head.kernel / deviation[:, None]
        self.kernel.assign(kernel)
        self.bias.assign(head.bias - mean @ kernel)

    def features(self, pictures: tf.Tensor) -> tf.Tensor:
        """Pictures float32 [N, size, size, 3] in 0 to 255 -> float32 [N, width]."""
        return look_twice(self.embed, pictures)

    def logits(self, pictures: tf.Tensor) -> tf.Tensor:
        """As `features`, but float32 [N, tags]."""
        return tf.matmul(self.features(pictures), self.kernel) + self.bias

    def head(self, temperature: float) -> LinearHead:
        """The last layer, its logits divided by a temperature."""
        kernel, bias = self.kernel.numpy() / temperature, self.bias.numpy() / temperature
        return LinearHead(kernel, bias, (len(kernel),), activation="softmax")


def distillation_loss(found, wanted, weights=(3.0, 1.5, 1.0, 0.7)):
    """Squared distance to the teacher's standardised features and their map; cross-entropy to its head and the labels.

    Args:
        found: the student's (features [n, f], map [n, h, w, c], logits [n, tags]).
        wanted: (features, map, the head's probabilities, the labels as probabilities, 1 where there are labels).
        weights: of the four parts.
    """
    features, places, logits = found
    wanted_features, wanted_places, soft, labels, labelled = wanted
    places = tf.image.resize(places, wanted_places.shape[1:3])
    parts = (
        tf.reduce_mean(tf.square(features - wanted_features), 1),
        tf.reduce_mean(tf.square(places - wanted_places), [1, 2, 3]),
        tf.nn.softmax_cross_entropy_with_logits(soft, logits),
        tf.nn.softmax_cross_entropy_with_logits(labels, logits) * labelled,
    )
    return tf.reduce_mean(sum(weight * part for weight, part in zip(weights, parts, strict=True)))


def recolour(pictures: tf.Tensor) -> tf.Tensor:
    """Change the brightness, contrast, colour and saturation of pictures in 0 to 255 at random; some turn grey."""
    n = tf.shape(pictures)[0]
    mean = tf.reduce_mean(pictures, [1, 2, 3], keepdims=True)
    pictures = (pictures - mean) * tf.random.uniform([n, 1, 1, 1], 0.7, 1.3) + mean
    pictures *= tf.random.uniform([n, 1, 1, 1], 0.75, 1.25) * tf.random.uniform([n, 1, 1, 3], 0.92, 1.08)
    grey = tf.reduce_mean(pictures, 3, keepdims=True)
    saturation = tf.random.uniform([n, 1, 1, 1], 0.4, 1.4)
    saturation *= tf.cast(tf.random.uniform([n, 1, 1, 1]) > 0.05, tf.float32)
    return tf.clip_by_value(grey + (pictures - grey) * saturation, 0, 255)


def film_frames(folder: Path, fps: float, size: int) -> np.ndarray:
    """Frames of every video below a folder, squeezed to uint8 [N, size, size, 3]; damaged videos give what they can."""
    frames = []
    for path in sorted(path for path in folder.glob("*") if path.is_file()):
        try:
            for segment in plan_segments(str(path), fps):
                frames += [fit(frame.pixels, (size, size)) for frame in SegmentReader(str(path), segment)]
        except VideoError as error:
            print(f"{path.name}: {error.reason}", flush=True)
    return np.stack(frames) if frames else np.zeros((0, size, size, 3), np.uint8)


def logits_of(network: Callable, pictures: np.ndarray, size: int) -> np.ndarray:
    """What a network says of whole pictures, float32 [N, tags]."""
    return np.concatenate(
        [
            np.asarray(network(tf.image.resize(tf.cast(batch, tf.float32), [size, size], antialias=True)))
            for batch in np.array_split(pictures, max(1, len(pictures) // 64))
        ]
    )


def soft_targets(features: np.ndarray, labels: np.ndarray, seed: int) -> tuple[np.ndarray, Head]:
    """A linear head's probabilities of every view, float32 [V, N, tags], and the head that learned from all.

    A labelled picture's probabilities come from a head that never saw it: they say what a picture looks like, where a
    head that knows its answer would only repeat the label.

    Args:
        features: the teacher's, standardised, float [V, N, width]; heads learn from the first three views.
        labels: 1 where a picture has a tag, [N, tags]; all 0 where it has none.
        seed: of the folds and of the heads.
    """
    fold = np.random.default_rng(seed).integers(0, FOLDS, len(labels))
    labelled = labels.sum(1) > 0

    def learn(chosen: np.ndarray) -> Head:
        some = features[:3, chosen & labelled]
        training = Examples(np.concatenate(some).astype(np.float32), np.tile(labels[chosen & labelled], (len(some), 1)))
        nothing = Examples(training.features[:0], training.labels[:0])
        return train_head(training, nothing, dataclasses.replace(TEACHERS_HEAD, seed=seed))[0]

    full = learn(labelled)
    soft = np.stack([apply_head(full, view) for view in features])
    for part in range(FOLDS):
        out = (fold == part) & labelled
        head = learn(fold != part)
        soft[:, out] = np.stack([apply_head(head, view[out]) for view in features])
    return soft, full


def apply_head(head: Head, features: np.ndarray) -> np.ndarray:
    """The head's probabilities, float32 [N, tags]."""
    return softmax(head.logits(tf.constant(features.astype(np.float32))).numpy())


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MOVIE_TAGS_DATA", "../shared/data")))
    parser.add_argument("--output", type=Path, default=Path("build/compact"))
    parser.add_argument("--work", type=Path, default=Path("build/distil"), help="teacher's answers and checkpoints")
    parser.add_argument("--teacher", help=f"the teacher's weights, or 'random'; default DATA/{TEACHER_WEIGHTS}")
    parser.add_argument("--epochs", type=int, default=64, help="in each, every picture is seen once, in one view")
    parser.add_argument("--crops", type=int, default=6, help="crops of each picture that the teacher sees")
    parser.add_argument("--mixtures", type=int, default=3, help="mixtures with another picture that it sees")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=112, help="side of the student's input in pixels")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--precision", choices=["float32", "mixed_bfloat16"], default="mixed_bfloat16")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    if (args.output / HEAD).exists() and not (args.output / SAVED_MODEL).exists():
        parser.error(f"--output {args.output}: holds the sources of a model ({HEAD}), which this would overwrite")
    train(args)


def train(args: argparse.Namespace) -> None:
    """Run the recipe from pictures to bundle."""
    configure(threads=1, side_by_side=2)  # what is done in parallel are halves of batches
    keras.utils.set_random_seed(args.seed)
    args.work.mkdir(parents=True, exist_ok=True)
    labelled = find_labelled(args.data / "images")
    counts = {tag: sum(tag in picture.tags for picture in labelled) for tag in TAGS}
    vocabulary = tuple(tag for tag in TAGS if counts[tag] >= MIN_PICTURES)
    known, held, strange = split_pictures(labelled, HELD_OUT_SOURCES, HELD_OUT_SHARE)
    unlabelled = [p for p in find_unlabelled(args.data / "unlabelled") if p.source not in HELD_OUT_SOURCES]
    films = [film_frames(args.data / "videos" / part, FILM_FPS, STORED_SIZE) for part in ("films", "clips")]
    pictures = np.concatenate([load_squeezed((p.path for p in known + unlabelled), STORED_SIZE), *films])
    labels = np.zeros((len(pictures), len(vocabulary)), np.float32)
    labels[: len(known)] = multi_hot(known, vocabulary)
    held_pictures, strange_pictures = (load_squeezed((p.path for p in part), STORED_SIZE) for part in (held, strange))
    held_labels, strange_labels = multi_hot(held, vocabulary), multi_hot(strange, vocabulary)
    frames = len(pictures) - len(known) - len(unlabelled)
    print(f"training: {len(known)} labelled, {len(unlabelled)} unlabelled pictures, {frames} film frames", flush=True)

    teacher = keras.applications.MobileNetV2(
        weights=None, include_top=False, pooling="avg", input_shape=(TEACHER_SIZE, TEACHER_SIZE, 3)
    )
    if args.teacher != "random":
        teacher.load_weights(args.teacher or args.data / TEACHER_WEIGHTS)
    views = make_views(len(pictures), args.crops, args.mixtures, args.seed)
    taught = teach(pictures, views, teacher, args.work)
    mean, deviation = taught.features[0].mean(0, np.float32), taught.features[0].std(0, dtype=np.float32) + 1e-3
    features = ((taught.features - mean) / deviation).astype(np.float16)
    soft, head = soft_targets(features, labels, args.seed)
    teacher_scores = {}
    for name, part, wanted in (("pictures", held_pictures, held_labels), ("sources", strange_pictures, strange_labels)):
        answers = teach(part, make_views(len(part), 0, 0, 0), teacher, args.work)
        teacher_scores[name] = accuracy(apply_head(head, (answers.features[0] - mean) / deviation), wanted)
    print("the teacher with a linear head:", teacher_scores, flush=True)

    keras.config.set_dtype_policy(args.precision)
    student = build_network(len(vocabulary))
    keras.config.set_dtype_policy("float32")
    small = np.stack([cv2.resize(p, (STUDENT_STORED_SIZE,) * 2, interpolation=cv2.INTER_AREA) for p in pictures])
    checks = {"held_out_pictures": (held_pictures, held_labels), "held_out_sources": (strange_pictures, strange_labels)}
    seconds = learn(student, small, labels, views, Taught(features, taught.maps), soft, checks, args)

    plain = build_network(len(vocabulary))
    plain.set_weights(student.get_weights())
    served, size = Served(plain), round(args.size * 8 / 7)
    see = tf.function(served.features, reduce_retracing=True)
    last = dataclasses.replace(LAST_HEAD, seed=args.seed)
    served.learn_head(logits_of(see, pictures[: len(known)], size), labels[: len(known)], last)
    answer = tf.function(served.logits, reduce_retracing=True)
    logits = {name: logits_of(answer, part, size) for name, (part, _) in checks.items()}
    temperature = fit_temperature(logits["held_out_pictures"], held_labels)
    halves = np.arange(len(held)) % 2 == 0  # how well that goes is measured on each half by the other's temperature
    crossed = np.empty_like(logits["held_out_pictures"])
    for half in (halves, ~halves):
        other = fit_temperature(logits["held_out_pictures"][~half], held_labels[~half])
        crossed[half] = softmax(logits["held_out_pictures"][half] / other)
    scaled = {name: softmax(found / temperature) for name, found in logits.items()}
    p_held = scaled["held_out_pictures"]
    precision, recall, _, support = precision_recall_fscore_support(
        held_labels, np.eye(len(vocabulary))[p_held.argmax(1)], zero_division=0
    )
    card = {
        "name": "movie-tags compact",
        "backbone": "compact: residual network of plain convolutions (models/backbones/compact.py)",
        "parameters": plain.count_params(),
        "training": {
            "data": "labelled stills and film frames in 43 of the 50 tags, from public data sets; unlabelled pictures "
            "and film frames",
            "pictures": len(known),
            "unlabelled": len(unlabelled),
            "film_frames": frames,
            "held_out_share": HELD_OUT_SHARE,
            "held_out_sources": sorted(HELD_OUT_SOURCES),
            "teacher": "MobileNetV2 trained on ImageNet, which taught only: none of its weights are inside",
            "sources": dict(sorted(Counter(picture.source for picture in known).items())),
            "counts": {tag: int(n) for tag, n in zip(vocabulary, labels.sum(0), strict=True)},
            "epochs": args.epochs,
            "views": len(views.boxes),
            "seed": args.seed,
            "wall_seconds": round(seconds),
            "machine": "2 cores of a server CPU with bfloat16 arithmetic, shared with other work",
        },
        "temperature": round(temperature, 4),
        "accuracy": {
            **{name: accuracy(scaled[name], wanted) for name, (_, wanted) in checks.items()},
            "teacher_held_out_pictures": teacher_scores["pictures"],
            "teacher_held_out_sources": teacher_scores["sources"],
        },
        "expected_calibration_error": {
            "held_out_pictures": round(calibration_error(crossed, held_labels), 4),
            "held_out_sources": round(calibration_error(scaled["held_out_sources"], strange_labels), 4),
        },
        "per_tag": {
            tag: {"precision": round(float(a), 3), "recall": round(float(b), 3), "pictures": int(n)}
            for tag, a, b, n in zip(vocabulary, precision, recall, support, strict=True)
        },
        "left_out": {tag: f"{counts[tag]} pictures" for tag in TAGS if tag not in vocabulary},
    }
    layer = served.head(temperature)
    write_bundle(args.output, served.features, served, layer, vocabulary, (View("whole", (size, size)),), card)
    write_body(args.output / BODY.name, embedding_of(plain).get_weights())
    write_card(args.output)
    print(json.dumps({key: card[key] for key in ("accuracy", "expected_calibration_error")}, indent=2))


def write_card(bundle: Path) -> None:
    """Write the model card beside a bundle of this recipe, from its model.json."""
    card = json.loads((bundle / MODEL_JSON).read_text("utf-8"))
    left_out = [f"{tag} ({why})" for tag, why in card["left_out"].items()]
    write_text(bundle / "CARD.md", "card.md.j2", card=card, left_out=left_out)


def learn(
    student: keras.Model,
    pictures: np.ndarray,
    labels: np.ndarray,
    views: Views,
    taught: Taught,
    soft: np.ndarray,
    checks: dict[str, tuple[np.ndarray, np.ndarray]],
    args: argparse.Namespace,
) -> float:
    """Teach the student, epoch by epoch, going on from the last checkpoint; returns the seconds spent so far.

    Args:
        student: gives logits; learns in place.
        pictures: uint8 [N, H, W, 3].
        labels: 1 where a picture has a tag, [N, tags].
        views, taught, soft: of those pictures; the teacher's features standardised.
        checks: {name: (pictures, labels)} to report accuracy on after each epoch.
        args: the recipe's options.
    """
    some = taught.maps[0][::8].astype(np.float32)
    map_mean, map_deviation = some.mean((0, 1, 2)), some.std((0, 1, 2)) + 1e-3
    smoothed = labels / np.maximum(labels.sum(1, keepdims=True), 1)
    smoothed = smoothed * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / labels.shape[1]

    steps_an_epoch = len(pictures) // args.batch
    steps = max(1, args.epochs * steps_an_epoch)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=args.learning_rate, warmup_steps=max(1, steps // 25), alpha=0.002
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.05, global_clipnorm=5.0)
    distiller = Distiller(student, taught.features.shape[-1], taught.maps[0].shape[-1])
    distiller(np.zeros((1, args.size, args.size, 3), np.float32))
    optimizer.build(distiller.trainable_variables)
    epoch, spent = tf.Variable(0, dtype=tf.int64), tf.Variable(0.0, dtype=tf.float64)
    checkpoint = tf.train.Checkpoint(distiller=distiller, optimizer=optimizer, epoch=epoch, spent=spent)
    # Only a run of the same numbers on the same data may go on from a checkpoint.
    numbers = {name: value for name, value in vars(args).items() if name not in ("data", "output", "work")}
    key = hashlib.sha256(json.dumps([numbers, len(pictures), labels.shape[1]], default=str).encode())
    for array in (pictures[:, ::16, ::16], labels, taught.features[0]):
        key.update(np.ascontiguousarray(array).tobytes())
    folder = args.work / f"checkpoints-{key.hexdigest()[:16]}"
    manager = tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=1)
    checkpoint.restore(manager.latest_checkpoint)

    @tf.function(reduce_retracing=True)
    def step(batch, flipped, wanted):
        # Two halves, side by side, keep two cores busier than one batch whose every operation is divided among them.
        losses, gradients = [], []
        for half in range(2):
            part = recolour(tf.where(flipped[half::2, None, None, None], batch[half::2, :, ::-1], batch[half::2]))
            with tf.GradientTape() as tape:
                losses.append(distillation_loss(distiller(part, training=True), [w[half::2] for w in wanted]))
            gradients.append(tape.gradient(losses[-1], distiller.trainable_variables))
        means = [(a + b) / 2 for a, b in zip(*gradients, strict=True)]
        optimizer.apply_gradients(zip(means, distiller.trainable_variables, strict=True))
        return sum(losses) / 2

    while int(epoch) < args.epochs:
        random = np.random.default_rng([args.seed, int(epoch)])
        tf.random.set_seed(args.seed + int(epoch))
        rows, which = random.permutation(len(pictures)), random.integers(0, len(views.boxes), len(pictures))
        done, size = 0.0, args.size
        for share, scale in PHASES:
            if int(epoch) < (done + share) * args.epochs:
                size = max(32, round(args.size * scale / 16) * 16)
                break
            done += share
        losses, started = [], time.time()
        for at in range(0, steps_an_epoch * args.batch, args.batch):
            row, view = rows[at : at + args.batch], which[at : at + args.batch]
            flipped = random.random(len(row)) < 0.5
            places = np.stack([taught.maps[v][r] for v, r in zip(view, row, strict=True)]).astype(np.float32)
            places[flipped] = places[flipped, :, ::-1]
            losses.append(
                step(
                    render(pictures, views, view, row, size),
                    flipped,
                    (
                        taught.features[view, row].astype(np.float32),
                        (places - map_mean) / map_deviation,
                        soft[view, row],
                        smoothed[row].astype(np.float32),
                        (labels[row].sum(1) > 0) * (views.share[view, row] == 1).astype(np.float32),
                    ),
                )
            )
        epoch.assign_add(1)
        spent.assign_add(time.time() - started)
        manager.save()
        scores = {
            name: accuracy(logits_of(student, part, args.size), wanted) for name, (part, wanted) in checks.items()
        }
        print(
            f"epoch {int(epoch)}: {size} px, loss {np.mean(losses):.3f}, {scores}, {time.time() - started:.0f} s",
            flush=True,
        )
    return float(spent)


if __name__ == "__main__":
    main()
