"""Complete labels of a folder of pictures: LABELS.jsonl beside the folders TAG/*.jpg says all that a picture shows.

One object a line: `file`, a picture below the folder; `tags`, which plainly apply; `maybe`, of which nobody knows; all
other tags are known not to apply. A folder's name says one tag of a picture and nothing of the others: these labels
take its place. Pictures without a line keep the name of their folder.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import replace

from movie_tags import storage
from movie_tags.training.data.labels import LabelError, LabelledPicture, read_frames
from movie_tags.wording import number

LABELS = "LABELS.jsonl"


def completed(folder: str, pictures: Iterable[LabelledPicture]) -> list[LabelledPicture]:
    """The pictures of a folder with what its LABELS says of them; the same pictures where there is no such file.

    A picture's source stays that of its name, unless its line has a `film` (or `group`): then it is a frame of that.

    Args:
        folder: local or remote.
        pictures: that `find_pictures` found there.

    Raises:
        LabelError: LABELS cannot be read, makes no sense, or names a picture that is not there.
    """
    path = storage.join(folder, LABELS)
    pictures = list(pictures)
    if not storage.exists(path):
        return pictures
    said = {_place(row.uri): row for row in read_frames(path) if isinstance(row, LabelledPicture)}
    missing = said.keys() - {_place(picture.uri) for picture in pictures}
    if missing:
        raise LabelError(
            f"{path}: names {number(len(missing), 'picture that is', 'pictures that are')} not in the folder, "
            f"{min(missing)} among them; take their lines out or put the pictures back"
        )
    return [_with(picture, said.get(_place(picture.uri))) for picture in pictures]


def _place(uri: str) -> str:
    return posixpath.normpath(uri.replace("\\", "/"))


def _with(picture: LabelledPicture, said: LabelledPicture | None) -> LabelledPicture:
    if said is None:
        return picture
    film = said.source != posixpath.basename(said.uri)
    source = said.source if film else picture.source
    return replace(picture, tags=said.tags, maybe=said.maybe, complete=True, source=source, film=film)


def agreed(labels: Sequence[tuple[frozenset[str], frozenset[str]]]) -> tuple[frozenset[str], frozenset[str]]:
    """What several complete labels of one picture say together: what plainly applies, and what may.

    A tag plainly applies if all say so; what only some say, or any says may apply, may.

    Args:
        labels: (plain tags, maybes) of each.
    """
    plain = frozenset.intersection(*(tags for tags, _ in labels))
    return plain, frozenset().union(*(tags | maybe for tags, maybe in labels)) - plain
