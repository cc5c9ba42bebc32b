"""Locks of this machine: flock on a file, which excludes other threads as well as other processes.

It ends with the open file, however its process ends; that another one of the same file is closed changes nothing, as it
does for POSIX record locks.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PAUSE_S = 0.02


@contextlib.contextmanager
def flock(path: str | os.PathLike, wait_s: float = 0.0) -> Iterator[IO[bytes] | None]:
    """Lock a file, which is made where there is none, as long as the context.

    Args:
        path: of the file; its content is left as it is.
        wait_s: for others; `math.inf` waits as long as it takes.

    Yields:
        The open file; None where another holds it, or has removed it meanwhile.

    Raises:
        OSError: the file cannot be opened.
    """
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0) as file:
        yield file if _is_locked(file, time.monotonic() + wait_s) and _is_at(path, file) else None


def _is_locked(file: IO[bytes], deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(PAUSE_S)


def _is_at(path: str | os.PathLike, file: IO[bytes]) -> bool:
    """Whether an open file is what lies at a path: whoever held the lock before may have removed it."""
    with contextlib.suppress(OSError):
        return os.path.samestat(os.fstat(file.fileno()), Path(path).stat())
    return False
