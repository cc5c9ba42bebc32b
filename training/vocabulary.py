"""The 50 tags of the paper's Table 1, and the folder names that stand for them in a labelled data set.

A tag is spelt as the paper spells it ("Beach/Sea"). A folder cannot hold a `/`, so `/` and spaces become `_`, and a
final full stop is dropped ("College/Univ." is `College_Univ`).
"""

from __future__ import annotations

from importlib import resources


def _read_tags() -> tuple[str, ...]:
    text = resources.files(__package__).joinpath("vocabulary.txt").read_text(encoding="utf-8")
    return tuple(line.strip() for line in text.splitlines() if line.strip())


TAGS: tuple[str, ...] = _read_tags()
"""All 50 tags, row by row as Table 1 prints them."""


def folder_of(tag: str) -> str:
    """The folder name that stands for a tag: "Beach/Sea" -> "Beach_Sea"."""
    return tag.replace("/", "_").replace(" ", "_").rstrip(".")


_TAG_OF_FOLDER = {folder_of(tag): tag for tag in TAGS}


def tag_of(folder: str) -> str:
    """The tag that a folder name stands for: "Beach_Sea" -> "Beach/Sea".

    A folder whose name is not made from one of the 50 tags stands for itself, so that a vocabulary can grow.
    """
    return _TAG_OF_FOLDER.get(folder, folder)
