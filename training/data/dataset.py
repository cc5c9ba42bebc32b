"""A data set: labelled pictures without near-duplicates, split by source, as TFRecords with an index and a manifest.

manifest.json    what is in it, what was dropped and why, how it was made; written last
MANIFEST.md      the same for people
index.jsonl      one picture a line: id, key, source, split, tags, maybe, complete, film
SPLIT-*.tfrecord tf.train.Examples of image (encoded bytes), id, key, hash, source, tags, maybe, complete, film
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.training.data.vocabulary import TAGS

SPLITS = ("train", "validation", "test")

MANIFEST, INDEX = "manifest.json", "index.jsonl"


class DatasetError(UserError):
    """A folder that is no usable data set; the message names it."""


@dataclass(frozen=True)
class Entry:
    """A picture of a data set, without its pixels.

    Attributes:
        id, key, source: as of `Candidate`.
        split: one of SPLITS.
        tags: what is in it.
        maybe: tags of which nobody knows whether they apply.
        complete: whether all other tags are known not to apply, as of labelled frames and pictures of nothing.
        film: whether it is a frame of a film.
    """

    id: str
    key: str
    source: str
    split: str
    tags: tuple[str, ...]
    maybe: tuple[str, ...] = ()
    complete: bool = False
    film: bool = False


@dataclass(frozen=True)
class Dataset:
    """A data set as its index and manifest describe it."""

    uri: str
    entries: tuple[Entry, ...]
    manifest: dict

    def of(self, split: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.split == split]


def order_tags(tags: Iterable[str], first: Sequence[str] = ()) -> list[str]:
    """Tags in a lasting order: those of an earlier vocabulary, then the paper's as in Table 1, then others by name."""
    tags = set(tags)
    known = [*first, *(tag for tag in TAGS if tag not in first)]
    return [tag for tag in known if tag in tags] + sorted(tags.difference(known))


def write_index(uri: str, entries: Iterable[Entry]) -> None:
    storage.write_text(uri, "".join(json.dumps(vars(entry), ensure_ascii=False) + "\n" for entry in entries))


def read_index(uri: str) -> list[Entry]:
    with storage.open_stream(uri) as stream:
        rows = [json.loads(line) for line in stream]
    return [Entry(**{**row, "tags": tuple(row["tags"]), "maybe": tuple(row.get("maybe", ()))}) for row in rows]


def read_dataset(uri: str) -> Dataset:
    """Read a data set's index and manifest.

    Raises:
        DatasetError: there is none, or it was left unfinished.
    """
    try:
        with storage.plain_errors():
            with storage.open_stream(storage.join(uri, MANIFEST)) as stream:
                text = stream.read()
            entries = read_index(storage.join(uri, INDEX))
        manifest = json.loads(text)
    except (OSError, ValueError, TypeError) as error:
        raise DatasetError(
            f"{uri}: no finished data set ({MANIFEST} or {INDEX} cannot be read: {error}); make it with "
            "'movie-tags dataset'"
        ) from error
    return Dataset(uri, tuple(entries), manifest)


def is_dataset(uri: str) -> bool:
    """Whether a folder holds a data set, finished or not, rather than folders of pictures."""
    return storage.exists(storage.join(uri, MANIFEST)) or storage.exists(storage.join(uri, INDEX))
