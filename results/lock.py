"""One run at a time into a folder of results: a file lock of this machine, or a lease where the folder is remote."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from movie_tags import storage
from movie_tags.results import lease
from movie_tags.results.owner import NAME, Held, LockError, Owner

TRIES = 20
PAUSE_S = 0.05
"""Whoever only asks who holds a lock has it for a moment: a run tries so often."""


def held(folder: str) -> Held | None:
    """Who holds a folder; None where nobody does.

    Raises:
        OSError: the storage does not say.
        LockError: the lock cannot be read.
    """
    if storage.is_remote(folder):
        return lease.held(folder)
    path = Path(folder, NAME)
    if not path.exists():
        return None
    with storage.flock(path) as file:
        if file:
            return None
        owner = _owner(path)
        return None if owner is None else Held(owner, max(0.0, time.time() - path.stat().st_mtime))


@contextlib.contextmanager
def locked(folder: str, run_id: str, break_lock: bool = False) -> Iterator[None]:
    """Hold a folder for this process, as long as the context.

    Args:
        folder: of results.
        run_id: of the run.
        break_lock: take a lease from another machine's run; a lock of this machine ends with its process, and is
            never taken from one that lives.

    Raises:
        LockError: another run holds it.
    """
    if storage.is_remote(folder):
        with lease.leased(folder, run_id, break_lock):
            yield
        return
    path = Path(folder, NAME)
    for _ in range(TRIES):
        with storage.flock(path) as file:
            if file:
                _say(file, Owner.here(run_id))
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        time.sleep(PAUSE_S)
    owner = _owner(path)
    about = f"the run {owner.run_id} of {owner.who} (process {owner.pid})" if owner else "another run"
    raise LockError(f"{folder}: {about} is writing to it; wait, or end it")


def _say(file: IO, owner: Owner) -> None:
    """Write whose a lock is into the locked file."""
    file.truncate(0)
    file.write(owner.data)


def _owner(path: Path) -> Owner | None:
    with contextlib.suppress(OSError, TypeError, ValueError):  # written in this moment, or gone
        return Owner.of(path.read_bytes())
    return None
