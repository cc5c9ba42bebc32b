"""One run at a time into a folder of results: a file lock of this machine, or a lease where the folder is remote."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from movie_tags import storage
from movie_tags.errors import UserError

NAME = ".lock"
TRIES = 20
PAUSE_S = 0.05
"""Whoever only asks who holds a lock has it for a moment: a run tries so often."""


class LockError(UserError):
    """Another run holds the folder."""


@dataclass(frozen=True)
class Owner:
    """Who holds a lock.

    Attributes:
        token: unlike any other's.
        user, host: for people.
        pid: of the process; 0 of a job on a cluster, which nobody renews the lease of.
        run_id: of the run.
    """

    token: str
    user: str
    host: str
    pid: int
    run_id: str

    @classmethod
    def here(cls, run_id: str, job: bool = False) -> Owner:
        """This process, or the job that it is about to start."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's user that has no name
            user = str(os.getuid())
        return cls(secrets.token_hex(8), user, socket.gethostname(), 0 if job else os.getpid(), run_id)

    @classmethod
    def of(cls, data: bytes) -> Owner:
        """The owner that a lock's file names.

        Raises:
            TypeError, ValueError: it names none.
        """
        return cls(**json.loads(data))

    @property
    def data(self) -> bytes:
        """JSON, as the content of a lock's file."""
        return json.dumps(asdict(self)).encode()

    @property
    def who(self) -> str:
        """For people."""
        return f"{self.user} on {self.host}"


@dataclass(frozen=True)
class Held:
    """A lock that somebody holds: the owner, and how many seconds ago it gave a sign of life."""

    owner: Owner
    silent_s: float


def held(folder: str) -> Held | None:
    """Who holds a folder; None where nobody does.

    Raises:
        OSError: the storage does not say.
        LockError: the lock cannot be read.
    """
    if storage.is_remote(folder):
        from movie_tags.results import lease

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
        from movie_tags.results import lease

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
