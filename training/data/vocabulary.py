"""The paper's vocabulary of 50 tags (Table 1), and how tags are spelt as folder names."""

from importlib.resources import files

TAGS: tuple[str, ...] = tuple((files(__package__) / "vocabulary.txt").read_text("utf-8").splitlines())

NOTHING_FOLDER = "_none"
"""The folder of pictures that show nothing of the vocabulary."""


def folder_name(tag: str) -> str:
    """The folder that holds a tag's pictures: `/` and spaces become `_`, a final full stop goes."""
    return tag.replace("/", "_").replace(" ", "_").rstrip(".")


def tag_of_folder(name: str) -> str:
    """The tag of a folder; a folder that is none of Table 1's is a tag of its own, spelt with spaces."""
    return {folder_name(tag): tag for tag in TAGS}.get(name, name.replace("_", " "))
