"""What of the results is of videos that inputs no longer name, and whether that can be believed.

A disk that is not mounted looks like films that were deleted. So what is gone is believed only where it is known what
is there now.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from glob import has_magic

from movie_tags import storage
from movie_tags.pipeline.folders import NotLookedAt, why_folder_is_left_out
from movie_tags.pipeline.inputs import InputError, Inputs, is_catalogue
from movie_tags.records import Entry, Video

MOST_SHARE = 0.2
FEW = 10
"""More than MOST_SHARE of the videos, and at least so many, are not removed unasked."""
FSTAB = "/etc/fstab"
NOT_KNOWN = "Nothing is removed while it is not known what is to be kept"


@dataclass
class Named:
    """The videos that inputs name, by 64-bit hashes of their ids and of their files: some 200 bytes a video.

    Attributes:
        folders: canonical addresses of the inputs that are searched for films.
        unknown: places below which it is not known what there is.
    """

    folders: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    _ids: set[bytes] = field(default_factory=set)
    _files: set[bytes] = field(default_factory=set)

    def add(self, video: Video) -> None:
        """Count a video among them."""
        self._ids.add(_hash(video.id))
        self._files.add(_hash(storage.identity(video.uri)))

    def has(self, entry: Entry) -> bool:
        """Whether results are of one of them: by their id, or by their file where a catalogue gave an id but once."""
        file = storage.identity(entry.uri)
        named = self._files if entry.id == file else self._ids
        return _hash(entry.id) in self._ids or _hash(file) in named


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()


def named_by(inputs: Inputs) -> Named:
    """All that inputs name.

    Raises:
        InputError: part of it cannot be told.
    """
    named, skipped = Named(), NotLookedAt()
    for item in inputs.listed(skipped):
        if item.failure is not None:
            raise InputError(f"{item.video.uri}: {item.failure.reason}. {NOT_KNOWN}")
        named.add(item.video)
    addresses = [storage.canonical(uri, inputs.folder) for uri in inputs.uris]
    named.folders = [fixed_root(address) for address in addresses if not is_catalogue(address)]
    named.unknown = skipped.places
    return named


def gone(entries: Iterable[Entry], named: Named) -> Iterator[Entry]:
    """The entries of videos that are no longer named."""
    return (entry for entry in entries if not named.has(entry))


def why_not_believed(removed: Sequence[Entry], total: int, named: Named) -> str | None:
    """Why it may not be true that videos are gone, in one sentence; None if it is believed.

    Args:
        removed: the entries of what is no longer named.
        total: how many videos there are results of.
        named: what is named.
    """
    for place in [*named.unknown, *(unmounted() if named.folders else [])]:
        below = sum(_is_below(entry.uri, place) for entry in removed)
        if below:
            were = "was" if below == 1 else "were"
            return f"{place} cannot be looked into or is not mounted, and {below} of these videos {were} below it"
    emptied: Counter[str] = Counter()
    for folder, number in Counter(os.path.dirname(entry.uri) for entry in removed).items():
        emptied[emptied_folder(folder, named.folders) or ""] += number
    del emptied[""]
    if emptied:
        folder, below = emptied.most_common(1)[0]
        were = "was" if below == 1 else "were"
        return f"{folder} is empty now, as if its disk were not mounted, and {below} of these videos {were} in it"
    if removed and len(removed) == total:
        return "they are all that there are results of"
    if len(removed) >= FEW and len(removed) > MOST_SHARE * total:
        return f"they are more than {MOST_SHARE:.0%} of the {total} videos that there are results of"
    return None


def unmounted() -> list[str]:
    """The folders that this machine's table of file systems names and on which nothing is mounted now."""
    try:
        with open(FSTAB) as table:
            rows = [line.split() for line in table if line.strip() and not line.lstrip().startswith("#")]
    except (OSError, UnicodeDecodeError):
        return []
    places = [row[1].replace("\\040", " ") for row in rows if len(row) > 1 and row[1].startswith("/")]
    return [place for place in places if not os.path.ismount(place)]


def fixed_root(address: str) -> str:
    """The folder that a glob's matches are all below, by its parts without wildcards; other addresses as they are."""
    if storage.is_remote(address) or os.path.lexists(address):
        return address
    parts = address.split(os.sep)
    return os.sep.join(parts[: next((i for i, part in enumerate(parts) if has_magic(part)), len(parts))])


def emptied_folder(folder: str, searched: Iterable[str]) -> str | None:
    """The folder in which films were, or the next above it that is there, if it has nothing in it at all now.

    Args:
        folder: an address that films had.
        searched: only below these, or in them, is it known that there should be films.
    """
    if storage.is_remote(folder) or not any(_is_below(storage.join(folder, ""), place) for place in searched):
        return None
    while folder not in ("/", "") and not os.path.isdir(folder):
        if os.path.islink(folder):
            return folder
        folder = os.path.dirname(folder)
    return None if _has_files(folder) else folder


def _has_files(folder: str) -> bool:
    """Whether there is any file in a folder or below it but those of the file system itself."""
    for _, inside, names in os.walk(folder):
        inside[:] = [name for name in inside if not why_folder_is_left_out(name)]
        if any(not name.startswith(".") for name in names):
            return True
    return False


def _is_below(uri: str, folder: str) -> bool:
    """Whether an address is in a folder or below it, by either's name or by where they lead."""
    if storage.is_remote(uri) or storage.is_remote(folder):
        return storage.is_below(uri, folder)
    names = {uri, storage.identity(uri)}
    return any(storage.is_below(name, at) for name in names for at in {folder, storage.identity(folder)})
