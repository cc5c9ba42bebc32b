"""Labelled pictures in folders, TAG/SOURCE__NAME.jpg: which there are, their tags, and splits that keep them apart."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from movie_tags.training.data.labels import find_pictures


@dataclass(frozen=True)
class Picture:
    """A picture: its file, the source its name begins with, and its tags (none where it is unlabelled)."""

    path: Path
    source: str
    tags: frozenset[str] = frozenset()


def find_labelled(folder: Path) -> list[Picture]:
    """The pictures of TAG/SOURCE__NAME.jpg; a name that stands under several tags is one picture with all of them.

    Raises:
        LabelError: there are none.
    """
    found: dict[str, Picture] = {}
    for labelled in find_pictures(str(folder))[0]:
        path = Path(labelled.uri)
        one = found.get(path.name, Picture(path, labelled.source))
        found[path.name] = replace(one, tags=one.tags.union(labelled.tags))
    return [found[name] for name in sorted(found)]


def find_unlabelled(folder: Path) -> list[Picture]:
    """The pictures SOURCE_NUMBER.jpg of a folder; none where there is no such folder."""
    return [Picture(path, path.name.rsplit("_", 1)[0]) for path in sorted(folder.glob("*.jpg"))]


def split_pictures(
    pictures: Iterable[Picture], held_out_sources: Collection[str], share: float
) -> tuple[list[Picture], list[Picture], list[Picture]]:
    """Split into (training, held-out pictures, pictures of held-out sources).

    Whether a picture is held out depends on its name alone, so that a grown data set keeps its old split.
    """
    parts: tuple[list[Picture], list[Picture], list[Picture]] = ([], [], [])
    for picture in pictures:
        if picture.source in held_out_sources:
            parts[2].append(picture)
        else:
            draw = int.from_bytes(hashlib.sha256(picture.path.name.encode()).digest()[:4]) / 2**32
            parts[1 if draw < share else 0].append(picture)
    return parts


def load_squeezed(paths: Iterable[Path], size: int) -> np.ndarray:
    """Read pictures whole, squeezed to uint8 RGB [N, size, size, 3] by area averaging.

    Raises:
        ValueError: a file is no picture.
    """
    rows = []
    for path in paths:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise ValueError(f"{path}: not a picture that can be read; remove it from the data")
        rows.append(cv2.cvtColor(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB))
    return np.stack(rows)


def multi_hot(pictures: Iterable[Picture], vocabulary: tuple[str, ...]) -> np.ndarray:
    """Float32 [N, tags]: 1 where a picture has a tag."""
    return np.array([[tag in picture.tags for tag in vocabulary] for picture in pictures], np.float32)
