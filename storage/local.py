"""Files of this machine. Names are taken as they stand, whatever characters are in them; only `glob` knows patterns."""

from __future__ import annotations

import contextlib
import fnmatch
import glob as local_glob
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from typing import IO, BinaryIO

from movie_tags.storage.metadata import About


def open_stream(path: str) -> BinaryIO:
    return open(path, "rb")


open_seekable = open_stream


def _staging_name(path: str) -> str:
    """A name in the same folder, unlike any other's, under which a file is written before it takes its own."""
    return f"{path}.{uuid.uuid4().hex[:8]}.unfinished"


@contextlib.contextmanager
def create(path: str) -> Iterator[IO[bytes]]:
    """Atomic write: under another name, then renamed."""
    staged = _staging_name(path)
    try:
        with open(staged, "wb") as out:
            yield out
        os.replace(staged, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(staged)
        raise


def about(path: str) -> About:
    """Its version is its size and the time of its last write."""
    found = os.stat(path)
    return About(found.st_size, found.st_mtime, f"{found.st_size}:{found.st_mtime_ns}")


def copy(source: str, target: str) -> None:
    """By a hard link where the file system has them."""
    staged = _staging_name(target)
    try:
        os.link(source, staged)
    except OSError:
        shutil.copyfile(source, staged)
    os.replace(staged, target)
    with contextlib.suppress(FileNotFoundError):  # renaming one hard link of a file to another does nothing
        os.unlink(staged)


def settle(folder: str) -> None:
    """Flush a folder's files and their names to the disk (fsync)."""
    for path in [*list_folder(folder, "*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def list_folders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


exists = os.path.exists


def list_folder(folder: str, pattern: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(e.path for e in entries if e.is_file() and fnmatch.fnmatchcase(e.name, pattern))
    except FileNotFoundError:
        return []


def list_files(folder: str) -> list[str]:
    return sorted(os.path.join(inside, name) for inside, _, names in os.walk(folder) for name in names)


def glob(pattern: str) -> list[str]:
    return sorted(path for path in local_glob.iglob(pattern, recursive=True) if os.path.isfile(path))


def make_folder(path: str) -> None:
    os.makedirs(path, exist_ok=True)


def move(source: str, target: str) -> None:
    os.replace(source, target)


def remove(paths: Iterable[str]) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def remove_folder(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)
