"""Inputs: files, folders, globs and catalogues, as a user names them -> the videos they stand for.

A video's address is made canonical here, and nowhere else; its id is the file's identity unless a catalogue gives one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from glob import has_magic

from movie_tags import storage
from movie_tags.pipeline.catalogues import OTHER_LISTS, InputError, Row, is_catalogue, read_rows
from movie_tags.pipeline.folders import Found, NotLookedAt, films_in, matches
from movie_tags.records import Failure, Video
from movie_tags.storage.addresses import NO_TEXT

__all__ = ["Input", "InputError", "Inputs", "expand", "is_catalogue", "video_at"]


@dataclass(frozen=True)
class Input:
    """A video that an input stands for, or where one should be, why there is none."""

    video: Video
    failure: Failure | None = None


@dataclass(frozen=True)
class Inputs:
    """What a user names.

    Attributes:
        uris: videos, folders, globs and catalogues.
        all_videos: take also what is left out of folders by default: recycle bins, hidden and half-downloaded files.
        folder: what relative addresses are relative to: the current folder. Those of a catalogue that are not there are
            looked for beside the catalogue.
    """

    uris: tuple[str, ...]
    all_videos: bool = False
    folder: str = field(default_factory=os.getcwd)

    @classmethod
    def of(cls, uris: Sequence[str], all_videos: bool = False) -> Inputs:
        """Inputs that are relative to the current folder."""
        return cls(tuple(uris), all_videos)

    def check(self) -> None:
        """Refuse an input that names nothing before any work is done.

        Raises:
            InputError: there is no such file, nothing to tag in it, or its name cannot be written down.
        """
        for uri in self.uris:
            _check(uri, self)

    def listed(self, skipped: NotLookedAt | None = None) -> Iterator[Input]:
        """What they stand for, one after the other.

        Args:
            skipped: what is passed over is added to it.

        Raises:
            InputError: one names nothing at all, or a catalogue cannot be read.
        """
        for uri in self.uris:
            yield from expand(uri, self, skipped)


def _check(uri: str, inputs: Inputs) -> None:
    if not _is_text(uri):
        raise InputError(f"{_escaped(uri)}: {NO_TEXT}")
    if next(expand(uri, inputs), None) is None:
        what = "the catalogue has no rows" if is_catalogue(uri) else "nothing to tag"
        raise InputError(f"{uri}: {what}")


def expand(uri: str, inputs: Inputs | None = None, skipped: NotLookedAt | None = None) -> Iterator[Input]:
    """What an input stands for: a catalogue's rows, a folder's films, a glob's matches, or the file itself.

    Args:
        uri: as a user names it.
        inputs: how; None: relative to the current folder, without what is left out by default.
        skipped: what is passed over is added to it.

    Raises:
        InputError: it names nothing at all, or a catalogue cannot be read.
    """
    inputs = inputs or Inputs((uri,))
    skipped = NotLookedAt() if skipped is None else skipped
    before = skipped.total()
    try:
        address = storage.canonical(uri, inputs.folder)
    except storage.AddressError as error:
        raise InputError(f"{uri}: {error}") from error
    if is_catalogue(address) and not os.path.isdir(address):
        for row in read_rows(address, skipped.notes):
            yield _of_row(row, _folders_of(address, inputs))
        return
    found = False
    try:
        for one in _found_at(address, inputs, skipped):
            found = True
            yield _of_found(one)
    except OSError as error:
        raise InputError(f"{uri}: cannot be listed: {storage.plainly(error)}") from error
    if not found:
        passed_over = skipped.text() if skipped.total() > before else ""
        also = f" ({passed_over}; --all-videos takes what is left out)" if passed_over else ""
        raise InputError(f"{uri}: {_what_is_missing(address)}{also}")


def _what_is_missing(address: str) -> str:
    """Why there is no video at an address."""
    if storage.is_remote(address) or has_magic(address):
        return "no such file, and no video below it or matching it"
    return "there is no video below it" if os.path.lexists(address) else "there is no such file or folder"


def _found_at(address: str, inputs: Inputs, skipped: NotLookedAt) -> Iterator[Found]:
    if storage.is_remote(address):
        named = [] if address.endswith("/") else list(matches(address, skipped, inputs.all_videos))
        yield from named or films_in(address, skipped, inputs.all_videos)
    elif os.path.isdir(address):
        yield from films_in(address, skipped, inputs.all_videos)
    elif os.path.exists(address) and not os.path.isfile(address):  # opening a pipe would wait for ever
        raise InputError(f"{address}: is no regular file; copy what it gives to one")
    elif os.path.lexists(address):
        if address.lower().endswith(OTHER_LISTS):
            suffix = os.path.splitext(address)[1]
            raise InputError(f"{address}: a {suffix} is neither a video nor a catalogue; save a list as .csv or .jsonl")
        yield Found(address)
    else:
        yield from matches(address, skipped, inputs.all_videos)


def video_at(typed: str, folder: str | None = None) -> Video:
    """The video of an address: canonical, and its identity for an id.

    Raises:
        AddressError: nothing here can ever open it.
    """
    address = storage.canonical(typed, folder)
    return Video(storage.identity(address), address, storage.same_text(storage.base_name(address)))


def _of_found(found: Found) -> Input:
    video = video_at(found.path)
    if found.error is None:
        return _named(video)
    reason = f"it cannot be looked into: {storage.plainly(found.error)}; let it be read, or leave it out"
    return _named(video, Failure("catalogue", reason, True))


def _folders_of(catalogue: str, inputs: Inputs) -> tuple[str, ...]:
    """Where the relative addresses of a catalogue are looked for: in the current folder, then beside the catalogue."""
    if storage.is_remote(catalogue):
        return (catalogue.rpartition("/")[0],)
    return inputs.folder, os.path.dirname(catalogue)


def _in_folder(uri: str, folders: Sequence[str]) -> str:
    """A relative path as the first of some folders has it, or as of the first where none has; others as they are."""
    if os.path.isabs(uri) or storage.is_remote(uri) or uri.lower().startswith("file:/"):
        return uri
    if storage.is_remote(folders[0]):
        return storage.join(folders[0], uri)
    found = (folder for folder in folders if os.path.lexists(storage.canonical(uri, folder)))
    return storage.canonical(uri, next(found, folders[0]))


def _of_row(row: Row, folders: Sequence[str]) -> Input:
    if row.wrong:
        return _named(Video(row.where, row.where), Failure("catalogue", row.wrong))
    try:
        video = video_at(_in_folder(row.uri, folders))
    except storage.AddressError as error:
        return _named(Video(row.id or row.uri, row.uri, row.title), Failure("catalogue", str(error)))
    return _named(Video(storage.same_text(row.id) or video.id, video.uri, row.title or video.title))


def _is_text(name: str) -> bool:
    """Whether a name can be written to tables: bytes that are no UTF-8 come as half characters, which cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()


def _named(video: Video, failure: Failure | None = None) -> Input:
    """A video as an input stands for it, or that its name is no text."""
    names = video.id, video.uri, video.title
    if all(map(_is_text, names)):
        return Input(video, failure)
    return Input(Video(*map(_escaped, names)), failure or Failure("catalogue", NO_TEXT))
