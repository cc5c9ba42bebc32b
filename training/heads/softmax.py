"""The head: dropout and a softmax layer on frozen features (section 4.1, equations 1 to 3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class HeadSettings:
    """The numbers of head training.

    Attributes:
        steps: batches to learn from; above a hundred, rounded up to hundreds.
        batch_size: pictures a batch, drawn at random.
        learning_rate: at the beginning; it falls to nothing along a cosine unless `constant_rate` is set.
        dropout: share of the features that is dropped in training.
        relu: put a ReLU between the layer and the softmax, as the paper writes it.
        sgd: plain gradient descent rather than Adam.
        constant_rate: keep the learning rate.
        weight_decay: of the kernel, decoupled from the gradient.
        balance: 0 learns from pictures as they come, 1 from every tag as often; in between, from tag counts to that
            power less.
        calibrate: divide the logits by the temperature that fits the validation split best.
        seed: of the weights and of the batches.
    """

    steps: int = 2000
    batch_size: int = 500
    learning_rate: float = 0.005
    dropout: float = 0.5
    relu: bool = False
    sgd: bool = False
    constant_rate: bool = False
    weight_decay: float = 0.3
    balance: float = 0.0
    calibrate: bool = True
    seed: int = 1


PAPER = HeadSettings(steps=50_000, relu=True, sgd=True, constant_rate=True, weight_decay=0.0, calibrate=False)
"""Section 4.1: 50,000 steps of 500 pictures at 0.005, dropout 0.5, ReLU. The optimiser is not named; the software the
paper's set-up was customary with used plain gradient descent."""


@dataclass(frozen=True)
class Examples:
    """Features float32 [N, width], and what they show: float32 [N, tags], 1 where a picture has a tag."""

    features: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Head:
    """A trained head: logits = features · kernel + bias, kernel float32 [width, tags]; after a ReLU where `relu`."""

    kernel: np.ndarray
    bias: np.ndarray
    relu: bool

    def logits(self, features: tf.Tensor) -> tf.Tensor:
        logits = tf.matmul(features, self.kernel) + self.bias
        return tf.nn.relu(logits) if self.relu else logits


def as_distribution(labels: np.ndarray) -> np.ndarray:
    """Labels as probabilities: the tags of a picture share 1 equally (equation 2's true distribution)."""
    return labels / np.maximum(labels.sum(1, keepdims=True), 1)


def draw_weights(labels: np.ndarray, balance: float) -> np.ndarray:
    """How often each picture is drawn, float64 [N], summing to 1 (see `HeadSettings.balance`)."""
    counts = np.maximum(labels.sum(0), 1)
    weights = (as_distribution(labels) * counts**-balance).sum(1).astype(np.float64)
    return weights / weights.sum()


def batches(examples: Examples, settings: HeadSettings) -> tf.data.Dataset:
    """Endless seeded batches (features [batch, width], probabilities [batch, tags])."""
    usable = examples.labels.sum(1) > 0
    features = tf.constant(examples.features[usable])
    targets = tf.constant(as_distribution(examples.labels[usable]).astype(np.float32))
    edges = tf.constant(np.cumsum(draw_weights(examples.labels[usable], settings.balance)))

    def batch(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        drawn = tf.random.stateless_uniform([settings.batch_size], [settings.seed, number], dtype=tf.float64)
        rows = tf.minimum(tf.searchsorted(edges, drawn, side="right"), len(edges) - 1)
        return tf.gather(features, rows), tf.gather(targets, rows)

    return tf.data.Dataset.counter().map(batch, num_parallel_calls=1).prefetch(2)


def build_head(width: int, tags: int, settings: HeadSettings) -> keras.Model:
    """The head as a Keras model, features [N, width] -> logits [N, tags]; compiled."""
    keras.utils.set_random_seed(settings.seed)
    layers = [keras.Input((width,)), keras.layers.Dropout(settings.dropout), keras.layers.Dense(tags, name="tags")]
    if settings.relu:
        layers.append(keras.layers.ReLU())
    model = keras.Sequential(layers)
    rate = settings.learning_rate
    if not settings.constant_rate:
        rate = keras.optimizers.schedules.CosineDecay(rate, settings.steps)
    optimizer = (
        keras.optimizers.SGD(rate) if settings.sgd else keras.optimizers.AdamW(rate, weight_decay=settings.weight_decay)
    )
    if not settings.sgd:
        optimizer.exclude_from_weight_decay(var_names=["bias"])
    model.compile(
        optimizer,
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, name="cross_entropy"),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    return model


def train_head(
    training: Examples,
    validation: Examples,
    settings: HeadSettings,
    logs: Path | None = None,
    backup: Path | None = None,
    on_step: Callable[[int], None] | None = None,
) -> tuple[Head, dict[str, list[float]]]:
    """Train a head.

    Args:
        training, validation: scaled features and labels; validation may be empty.
        settings: the numbers.
        logs: a folder for TensorBoard.
        backup: a folder for the state of an unfinished training, which the next call goes on from (with the first
            batches again, so that it ends near, not at, what an unbroken training gives).
        on_step: told the number of steps done, now and then.

    Returns:
        The head, and Figure 1's curves: {"step", "accuracy", "loss", "val_accuracy", "val_loss"}.
    """
    if settings.steps > 100:
        settings = replace(settings, steps=-(-settings.steps // 100) * 100)
    model = build_head(training.features.shape[1], training.labels.shape[1], settings)
    chunk = max(1, min(100, settings.steps))
    epochs = -(-settings.steps // chunk)
    known = validation.labels.sum(1) > 0
    held = (validation.features[known], as_distribution(validation.labels[known])) if known.any() else None
    curves = _Curves(chunk)
    callbacks = [curves]
    if on_step:
        callbacks.append(
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, _: on_step(min(settings.steps, (epoch + 1) * chunk))
            )
        )
    if logs:
        callbacks.append(keras.callbacks.TensorBoard(str(logs), write_graph=False))
    if backup:
        callbacks.append(_Backup(str(backup), curves))
    model.fit(
        batches(training, settings),
        steps_per_epoch=chunk,
        epochs=epochs,
        validation_data=held,
        validation_batch_size=500,
        shuffle=False,  # batches come shuffled
        callbacks=callbacks,
        verbose=0,
    )
    kernel, bias = (np.asarray(value) for value in model.get_layer("tags").get_weights())
    return Head(kernel, bias, settings.relu), curves.values


class _Curves(keras.callbacks.Callback):
    """Keeps what Keras' own history would forget when a training goes on in another process."""

    def __init__(self, chunk: int):
        super().__init__()
        self.chunk = chunk
        self.values: dict[str, list[float]] = {}

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        for name, value in {"step": (epoch + 1) * self.chunk, **(logs or {})}.items():
            self.values.setdefault(name, []).append(float(value))


class _Backup(keras.callbacks.BackupAndRestore):
    """Keras' backup, with the curves so far beside it."""

    def __init__(self, folder: str, curves: _Curves):
        super().__init__(folder, delete_checkpoint=True)
        self.curves = curves
        self.curves_file = Path(folder, "curves.npy")

    def on_train_begin(self, logs: dict | None = None) -> None:
        super().on_train_begin(logs)
        if self.curves_file.exists():
            self.curves.values = np.load(self.curves_file, allow_pickle=True).item()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        self.curves_file.parent.mkdir(parents=True, exist_ok=True)
        staged = self.curves_file.with_name("unfinished.npy")
        np.save(staged, np.array(self.curves.values, object), allow_pickle=True)
        staged.replace(self.curves_file)

    def on_train_end(self, logs: dict | None = None) -> None:
        super().on_train_end(logs)
        self.curves_file.unlink(missing_ok=True)
