"""Labelled pictures on disk -> records with tags, groups and a split; pictures -> arrays.

The layout read here is one folder a tag, `images/TAG/SOURCE__NAME.jpg`: the part of a file's name before `__` says
which collection the picture came from. A picture that stands under several tags under the same file name is one
picture with several tags.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from movie_tags.training.vocabulary import tag_of

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
SOURCE_SEPARATOR = "__"


@dataclass(frozen=True)
class Picture:
    """One picture file and what is known of it.

    Attributes:
        path: the file (any one of its copies).
        source: the collection it came from; "" where the file's name does not say.
        tags: every tag it stands under, sorted; empty for an unlabelled picture.
    """

    path: Path
    source: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Splits:
    """Indices into a list of pictures; no picture stands in two of them.

    Attributes:
        train: pictures to learn from.
        held_out: pictures of the training sources that are never learned from, by whole groups.
        unseen: all pictures of the sources that are never learned from.
    """

    train: np.ndarray
    held_out: np.ndarray
    unseen: np.ndarray


def read_labelled(folder: Path) -> list[Picture]:
    """The pictures below `folder`, one record for each file name, in the order of the names.

    Raises:
        FileNotFoundError: the folder is missing or holds no picture in any tag's folder.
    """
    tags: dict[str, set[str]] = defaultdict(set)
    paths: dict[str, Path] = {}
    for path in sorted(Path(folder).glob("*/*")):
        if path.suffix.lower() in SUFFIXES:
            tags[path.name].add(tag_of(path.parent.name))
            paths.setdefault(path.name, path)
    if not paths:
        raise FileNotFoundError(f"{folder}: no pictures (expected TAG/SOURCE{SOURCE_SEPARATOR}NAME.jpg)")
    return [Picture(paths[name], source_of(name), tuple(sorted(tags[name]))) for name in sorted(paths)]


def read_unlabelled(folder: Path) -> list[Picture]:
    """The pictures directly in `folder`, named `SOURCE_NUMBER.jpg`; an empty list where there is no such folder."""
    paths = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in SUFFIXES)
    return [Picture(path, path.stem.rpartition("_")[0]) for path in paths]


def source_of(name: str) -> str:
    """The collection that a labelled picture's file name states: "intel__forest_1.jpg" -> "intel"."""
    return name.split(SOURCE_SEPARATOR, 1)[0] if SOURCE_SEPARATOR in name else ""


def shot_name(name: str) -> str:
    """A file name without what tells copies and frames of one clip apart.

    Two pictures of one source with the same shot name belong on one side of a split: augmented copies
    ("Accident_1_jpg.rf.3f2a.jpg"), "_copy" and "(1)" duplicates, and frames "_f0", "_f1" of one clip.
    """
    stem = Path(name).stem
    stem = re.sub(r"\.rf\.[0-9a-f]+$", "", stem)
    stem = re.sub(r"(_copy|\s*\(\d+\))+$", "", stem)
    return re.sub(r"_f\d+$", "", stem)


def read_picture(path: Path) -> np.ndarray:
    """A picture as uint8 RGB [H, W, 3].

    Raises:
        ValueError: the file is not a picture that OpenCV can decode.
    """
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path}: not a readable picture")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def squeeze(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The whole picture brought to `size` (height, width) without keeping its aspect, as the film pipeline does."""
    height, width = size
    shrinks = picture.shape[0] >= height and picture.shape[1] >= width
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def difference_hash(picture: np.ndarray) -> np.ndarray:
    """256 bits, bool [256], that say where brightness rises from left to right on a 16 x 16 grid.

    Copies, other sizes and recompressions of a picture differ in few bits.
    """
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (17, 16), interpolation=cv2.INTER_AREA).astype(np.int16)
    return (small[:, 1:] > small[:, :-1]).reshape(-1)


def near_pairs(left: np.ndarray, right: np.ndarray, distance: int) -> np.ndarray:
    """Pairs (i, j), int [pairs, 2], with at most `distance` differing bits between bool left[i] and right[j]."""
    a, b = (bits.astype(np.float32) * 2 - 1 for bits in (left, right))
    agreement_needed = left.shape[1] - 2 * distance
    found = []
    for start in range(0, len(a), 1024):  # Keeps the table of distances small.
        rows, columns = np.nonzero(a[start : start + 1024] @ b.T >= agreement_needed)
        found.append(np.stack([rows + start, columns], axis=1))
    return np.concatenate(found) if found else np.zeros((0, 2), np.int64)


def group_pictures(pictures: Sequence[Picture], hashes: np.ndarray, distance: int = 24) -> np.ndarray:
    """A group number, int [pictures], for each picture: near-duplicates and frames of one clip share theirs.

    Args:
        pictures: the records.
        hashes: bool [pictures, bits], `difference_hash` of each.
        distance: the most bits in which near-duplicates differ.
    """
    parent = np.arange(len(pictures))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first_of_shot: dict[str, int] = {}
    same_shot = [(first_of_shot.setdefault(shot_name(p.path.name), i), i) for i, p in enumerate(pictures)]
    for i, j in [*same_shot, *near_pairs(hashes, hashes, distance)]:
        parent[root(int(i))] = root(int(j))
    return np.array([root(i) for i in range(len(pictures))])


def split_pictures(
    pictures: Sequence[Picture], groups: np.ndarray, unseen_sources: Iterable[str], share: float, seed: int
) -> Splits:
    """Hold out whole sources, and of each remaining first tag about `share` of the pictures, by whole groups.

    A group that touches an unseen source is unseen as a whole only in its unseen part; its other pictures are left out
    of every split, because learning from a copy would be learning from the unseen picture.
    """
    unseen_sources = frozenset(unseen_sources)
    is_unseen = np.array([picture.source in unseen_sources for picture in pictures])
    tainted = np.isin(groups, groups[is_unseen])
    usable = np.flatnonzero(~tainted)
    totals = Counter(pictures[i].tags[0] for i in usable)
    members = defaultdict(list)
    for i in usable:
        members[groups[i]].append(i)
    order = np.random.default_rng(seed).permutation(sorted(members))
    taken: Counter[str] = Counter()
    held_out: list[int] = []
    for group in order:
        tag = pictures[members[group][0]].tags[0]
        if taken[tag] + len(members[group]) <= round(share * totals[tag]):
            taken[tag] += len(members[group])
            held_out += members[group]
    held_out_indices = np.array(sorted(held_out), dtype=np.int64)
    return Splits(np.setdiff1d(usable, held_out_indices), held_out_indices, np.flatnonzero(is_unseen))


def targets(pictures: Sequence[Picture], vocabulary: Sequence[str]) -> np.ndarray:
    """float32 [pictures, tags]: 1 where a picture has a tag; all 0 where it has none of the vocabulary."""
    index = {tag: i for i, tag in enumerate(vocabulary)}
    table = np.zeros((len(pictures), len(vocabulary)), np.float32)
    for row, picture in enumerate(pictures):
        for tag in picture.tags:
            if tag in index:
                table[row, index[tag]] = 1.0
    return table
