"""Fixed views of pictures, for distillation: the whole picture, crops, and mixtures of two crops.

A teacher's answers to a fixed set of views are computed once; the student then sees the very same views, flipped and
recoloured at random.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

TEACHER_SIZE = 224
TEACHER_MAP = "block_16_project_BN"


@dataclass(frozen=True)
class Views:
    """V views of each of N pictures.

    Attributes:
        boxes: float32 [V, N, 4], (y0, x0, y1, x1) in 0 to 1, cut out of the picture.
        share: float32 [V, N], how much of the view is that cut; the rest is the partner's cut.
        partners: int32 [V, N], another picture.
        partner_boxes: float32 [V, N, 4], cut out of it.
    """

    boxes: np.ndarray
    share: np.ndarray
    partners: np.ndarray
    partner_boxes: np.ndarray


@dataclass(frozen=True)
class Taught:
    """A teacher's answers to `Views`: pooled features float16 [V, N, features], their maps float16 [V][N, h, w, c]."""

    features: np.ndarray
    maps: list[np.ndarray]


def make_views(pictures: int, crops: int, mixtures: int, seed: int) -> Views:
    """The whole picture first, then seeded crops of 35 to 95 % of its area, then mixtures of two crops."""
    random = np.random.default_rng(seed)
    number = 1 + crops + mixtures

    def boxes() -> np.ndarray:
        sides = np.sqrt(random.uniform(0.35, 0.95, (number, pictures, 1)))
        sides = np.minimum(sides * random.uniform(0.85, 1.15, (number, pictures, 2)), 1)
        corner = random.uniform(0, 1, (number, pictures, 2)) * (1 - sides)
        return np.concatenate([corner, corner + sides], 2).astype(np.float32)

    own, others = boxes(), boxes()
    own[0] = (0, 0, 1, 1)
    share = np.ones((number, pictures), np.float32)
    share[1 + crops :] = random.uniform(0.4, 0.8, (mixtures, pictures))
    partners = random.integers(0, pictures, (number, pictures)).astype(np.int32)
    return Views(own, share, partners, others)


def render(pictures: np.ndarray, views: Views, view: np.ndarray, row: np.ndarray, size: int) -> tf.Tensor:
    """The views (view[i], row[i]) of pictures uint8 [N, H, W, 3], as float32 [n, size, size, 3] in 0 to 255."""
    share = views.share[view, row]
    mixed = np.flatnonzero(share < 1)
    partners = views.partners[view, row][mixed]
    return _render(
        pictures[row],
        views.boxes[view, row],
        share,
        mixed.astype(np.int32),
        pictures[partners],
        views.partner_boxes[view, row][mixed],
        size,
    )


@tf.function(reduce_retracing=True)
def _render(pictures, boxes, share, mixed, partners, partner_boxes, size: int):
    own = crop(pictures, boxes, size)
    share = tf.gather(share, mixed)[:, None, None, None]
    mixtures = tf.gather(own, mixed) * share + crop(partners, partner_boxes, size) * (1 - share)
    return tf.tensor_scatter_nd_update(own, mixed[:, None], mixtures)


def crop(pictures: tf.Tensor, boxes: tf.Tensor, size: int) -> tf.Tensor:
    """Cut a box out of each picture: uint8 [N, H, W, 3] -> float32 [N, size, size, 3] in 0 to 255."""
    floats = tf.cast(pictures, tf.float32)
    return tf.image.crop_and_resize(floats, boxes, tf.range(tf.shape(pictures)[0]), [size, size])


def teach(pictures: np.ndarray, views: Views, teacher: keras.Model, cache: Path) -> Taught:
    """The teacher's answers to every view, computed once and kept as `.npy` files in `cache`.

    Args:
        pictures: uint8 RGB [N, H, W, 3].
        views: of those pictures.
        teacher: MobileNetV2 without its top, average-pooled, for inputs in -1 to 1.
        cache: a folder.
    """
    both = keras.Model(teacher.input, [teacher.output, teacher.get_layer(TEACHER_MAP).output])

    @tf.function(reduce_retracing=True)
    def compute(batch):
        halves = [both(half / 127.5 - 1, training=False) for half in (batch[0::2], batch[1::2])]  # one a core
        order = tf.argsort(tf.concat([tf.range(0, tf.shape(batch)[0], 2), tf.range(1, tf.shape(batch)[0], 2)], 0))
        return [tf.gather(tf.concat(pair, 0), order) for pair in zip(*halves, strict=True)]

    key = hashlib.sha256(pictures[:, ::16, ::16].tobytes())
    for weight in teacher.get_weights():
        key.update(np.ascontiguousarray(weight).tobytes())
    features, maps = [], []
    for view in range(len(views.boxes)):
        digest = key.copy()
        for part in (views.boxes, views.share, views.partners, views.partner_boxes):
            digest.update(part[view].tobytes())
        path = cache / f"teacher-{digest.hexdigest()[:16]}.npz"
        paths = path.with_suffix(".features.npy"), path.with_suffix(".maps.npy")
        if not all(p.exists() for p in paths):
            rows = np.arange(len(pictures))
            found = [
                [
                    part.numpy().astype(np.float16)
                    for part in _answer(compute, pictures, views, view, rows[at : at + 64])
                ]
                for at in range(0, len(rows), 64)
            ]
            for path, parts in zip(paths, zip(*found, strict=True), strict=True):
                with open(path.with_suffix(".part"), "wb") as out:
                    np.save(out, np.concatenate(parts))
                path.with_suffix(".part").rename(path)
            print(f"teacher: view {view + 1} of {len(views.boxes)} done", flush=True)
        features.append(np.load(paths[0]))
        maps.append(np.load(paths[1], mmap_mode="r"))
    return Taught(np.stack(features), maps)


def _answer(compute, pictures, views, view, rows):
    return compute(render(pictures, views, np.full(len(rows), view), rows, TEACHER_SIZE))
