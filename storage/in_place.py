"""In place: a file of somebody else's is rewritten where it lies, so that its links, mode, owner and attributes stay.

Writing a new file and renaming it over the old one, as `storage.create` does, is atomic but parts hard links, replaces
symbolic ones, and gives the file to whoever writes it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import BinaryIO

MOST_BYTES = 16 << 20
"""Larger files are not read: what is rewritten here is a page of text."""


def read(path: str) -> bytes:
    """All of a regular file of this machine, links followed.

    Raises:
        OSError: it does not exist, may not be read, is no regular file, or is larger than MOST_BYTES.
    """
    state = os.stat(path)
    if not stat.S_ISREG(state.st_mode):  # a pipe would be waited for
        raise OSError(errno.EINVAL, "is no regular file")
    if state.st_size > MOST_BYTES:
        raise OSError(errno.EFBIG, f"is larger than {MOST_BYTES >> 20} MiB")
    with open(path, "rb") as file:
        return file.read()


def rewrite(path: str, old: bytes, new: bytes) -> None:
    """Turn a file's content from `old` into `new`, on the same inode; synced to disk.

    What it held lies in a backup beside it until the new content is on disk. Where writing fails the old is put back.

    Raises:
        OSError: it is read-only, may not be written, holds something else than `old`, or an earlier run was
            interrupted while it wrote this file; its content is as it was.
    """
    real = os.path.realpath(path)
    _refuse_read_only(real)
    with open(real, "r+b", buffering=0) as file:
        if file.read() != old:
            raise OSError(errno.EBUSY, "was changed by somebody else just now; run again")
        same = next((k for k, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        backup = _backup(real, old)
        try:
            _put(file, same, new[same:])
        except BaseException:
            _put(file, same, old[same:])  # where this fails, too, the backup stays
            _remove(backup)
            raise
        _remove(backup)


def _refuse_read_only(path: str) -> None:
    if not os.stat(path).st_mode & 0o222 or not os.access(path, os.W_OK):  # which root could write all the same
        raise PermissionError(errno.EACCES, "is read-only")


def check_rewrite(path: str) -> None:
    """Raise the OSError that `rewrite` would, as far as it can be told without writing."""
    real = os.path.realpath(path)
    _refuse_read_only(real)
    if os.path.lexists(backup_of(real)):
        raise _interrupted(backup_of(real))


def check_create(path: str) -> None:
    """Raise the OSError that `create` would, as far as it can be told without writing; its folder may be missing."""
    try:
        os.lstat(path)
    except FileNotFoundError:
        folder = os.path.dirname(os.path.abspath(path))
        while not os.path.lexists(folder):
            folder = os.path.dirname(folder)
        if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, f"cannot be made, as {folder} may not be written to") from None
    else:
        raise FileExistsError(errno.EEXIST, "is there already")


def create(path: str, data: bytes) -> None:
    """Write a file where there is none, with the mode that files get by default; synced to disk.

    Unlike `storage.create`, no longer name stands beside it meanwhile.

    Raises:
        OSError: there is one (also a link that leads nowhere), or it may not be written; nothing is left then.
    """
    with open(path, "xb", buffering=0) as file:
        try:
            _put(file, 0, data)
        except OSError:
            os.unlink(path)
            raise


def backup_of(path: str) -> str:
    """Where the content of a file lies while it is rewritten; short, whatever the length of the file's own name."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".movie-tags-{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}.bak")


def _backup(path: str, data: bytes) -> str | None:
    backup = backup_of(path)
    try:
        create(backup, data)
    except FileExistsError as error:
        raise _interrupted(backup) from error
    except PermissionError:  # the folder is read-only, the file is not
        return None
    return backup


def _interrupted(backup: str) -> OSError:
    return OSError(
        errno.EEXIST,
        f"a run was interrupted while it wrote this file, and what it held before is in {backup}; "
        "put that back or remove it",
    )


def _remove(backup: str | None) -> None:
    if backup is not None:
        os.unlink(backup)


def _put(file: BinaryIO, at: int, data: bytes) -> None:
    file.seek(at)
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
    file.truncate()
    os.fsync(file.fileno())
