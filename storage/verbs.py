"""The verbs: reading, writing, listing and moving files, local or remote by their addresses.

Addresses are paths of this machine or `scheme://…` of Beam's file systems.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import IO, BinaryIO

from movie_tags.storage import local, remote
from movie_tags.storage.addresses import is_remote, join, relative_to
from movie_tags.storage.errors import StorageError, plain_errors
from movie_tags.storage.metadata import About
from movie_tags.storage.range_reader import Ranges


def _at(uri: str) -> ModuleType:
    """The module that implements the verbs at an address: both have the same functions."""
    return remote if is_remote(uri) else local


def open_seekable(uri: str) -> BinaryIO:
    """Open a local or remote file for random reading.

    Raises:
        OSError: the file does not exist or may not be read.
    """
    return _at(uri).open_seekable(uri)


def open_stream(uri: str) -> BinaryIO:
    """Open a local or remote file for reading from its beginning to its end.

    Raises:
        OSError: the file does not exist or may not be read.
    """
    return _at(uri).open_stream(uri)


def read_bytes(uri: str) -> bytes:
    """All of a file.

    Raises:
        OSError: it does not exist or may not be read.
    """
    with plain_errors(), open_stream(uri) as stream:
        return stream.read()


def read_text(uri: str) -> str:
    """All of a UTF-8 text, with or without a byte order mark.

    Raises:
        OSError: it does not exist or may not be read.
        UnicodeDecodeError: it is no such text.
    """
    return read_bytes(uri).decode("utf-8-sig")


def create(uri: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    """Atomic write: a file that appears whole, when the context ends, or not at all.

    Raises:
        OSError: it may not be written.
    """
    return _at(uri).create(uri)


def write_bytes(uri: str, data: bytes) -> None:
    """Atomic write of a file.

    Raises:
        OSError: it may not be written.
    """
    with create(uri) as out:
        out.write(data)


def write_text(uri: str, text: str) -> None:
    """Atomic write of a UTF-8 text.

    Raises:
        OSError: it may not be written.
    """
    write_bytes(uri, text.encode())


def create_new(uri: str, data: bytes) -> bool:
    """Atomic, exclusive write of a remote file where there is none; whether there was none. Of several, one succeeds.

    On gs://; other storages promise less, and two at the same instant may both succeed there.

    Raises:
        OSError: it may not be written.
    """
    return remote.create_new(uri, data)


def replace_version(uri: str, data: bytes | None, version: str) -> bool:
    """Compare and swap: write a remote file again, or remove it (data None), if it is of a version; whether it was.

    Atomic on gs:// alone.

    Raises:
        OSError: it may not be written.
    """
    return remote.replace_version(uri, data, version)


def about(uri: str) -> About:
    """What a storage says of a file: its version is the generation on gs://, size and time of writing elsewhere.

    Raises:
        OSError: there is none, or the storage does not say.
    """
    return _at(uri).about(uri)


def copy(source: str, target: str) -> None:
    """Copy a file within one storage; on this machine by a hard link where that can be.

    Raises:
        OSError: it may not be read or written.
    """
    _at(target).copy(source, target)


def settle(folder: str) -> None:
    """Durable: flush a folder's files and their names to the disk, lest a power cut take them.

    Raises:
        OSError: the disk refuses.
    """
    _at(folder).settle(folder)


def list_folders(folder: str) -> list[str]:
    """The names of the folders right in a folder, in order; none where there is no such folder.

    Raises:
        OSError: it may not be listed.
    """
    return _at(folder).list_folders(folder)


def exists(uri: str) -> bool:
    """Whether there is a file (or, on this machine, a folder) of that name.

    Raises:
        OSError: the storage does not say.
    """
    return _at(uri).exists(uri)


def list_folder(folder: str, pattern: str = "*") -> list[str]:
    """The files right in a folder whose names a pattern matches, in order; none where there is no such folder.

    Raises:
        OSError: it may not be listed.
    """
    return _at(folder).list_folder(folder, pattern)


def list_files(folder: str) -> list[str]:
    """Every file below a folder, in order; none where there is no such folder.

    Raises:
        OSError: it may not be listed.
    """
    return _at(folder).list_files(folder)


def glob(pattern: str) -> list[str]:
    """The files that a pattern matches, in order.

    Raises:
        OSError: the place may not be listed.
    """
    return _at(pattern).glob(pattern)


def make_folder(uri: str) -> None:
    """Make a local folder and those above it; a remote one is there as soon as something is in it. Idempotent.

    Raises:
        OSError: it cannot be made.
    """
    _at(uri).make_folder(uri)


def move(source: str, target: str) -> None:
    """Move a file, in place of whatever stands there.

    Raises:
        OSError: it cannot be moved.
    """
    _at(target).move(source, target)


def remove(uris: Iterable[str]) -> None:
    """Remove files. Idempotent.

    Raises:
        OSError: one of them may not be removed.
    """
    listed = list(uris)
    for place in (local, remote):
        place.remove([uri for uri in listed if _at(uri) is place])


def remove_folder(uri: str) -> None:
    """Remove a folder and everything below it. Idempotent.

    Raises:
        OSError: something in it may not be removed.
    """
    _at(uri).remove_folder(uri)


def ranges(uri: str) -> Ranges:
    """Open a remote file for reading by ranges.

    Raises:
        StorageError: it does not exist or may not be read.
    """
    return remote.ranges(uri)


@contextlib.contextmanager
def fetch(uri: str) -> Iterator[str]:
    """A local path to a file or folder, local or remote; a copy of a remote one lasts as long as the context.

    Raises:
        FileNotFoundError: there is nothing at that address.
        StorageError: a remote file's name would lead out of the folder.
    """
    if not is_remote(uri):
        if not os.path.exists(uri):
            raise FileNotFoundError(uri)
        yield uri
        return
    with tempfile.TemporaryDirectory(prefix="movie-tags-") as scratch:
        name = uri.rstrip("/").rpartition("/")[2]
        inside = list_files(uri.rstrip("/"))
        pairs = [(path, os.path.join(name, relative_to(path, uri.rstrip("/")))) for path in inside] or [(uri, name)]
        for path, relative in pairs:
            if os.pardir in Path(relative).parts:
                raise StorageError(f"{path}: its name leads out of the folder; rename it")
            copy = Path(scratch, relative)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(read_bytes(path))
        yield os.path.join(scratch, name)


@contextlib.contextmanager
def named_for_beam(folder: str) -> Iterator[Callable[[str], str]]:
    """Gives the paths in a folder as Beam's file steps take them, which hold some characters for patterns.

    A link to the folder stands for its name, and lasts as long as the context.
    """
    if is_remote(folder) or not set(folder) & set("*?["):
        yield lambda path: path
        return
    with tempfile.TemporaryDirectory(prefix="movie-tags-") as scratch:
        link = os.path.join(scratch, "folder")
        os.symlink(os.path.abspath(folder), link)
        yield lambda path: os.path.normpath(os.path.join(link, os.path.relpath(path, folder)))


def send(folder: Path, uri: str) -> None:
    """Copy every file below a local folder to a folder that may be remote.

    Raises:
        OSError: one of them may not be written.
    """
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        target = join(uri, *path.relative_to(folder).parts)
        make_folder(target.rpartition("/")[0])
        with path.open("rb") as source, create(target) as out:
            shutil.copyfileobj(source, out)
