"""One run at a time into a folder of results: a lock file that says whose it is, kept fresh while the run lives."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from movie_tags import storage
from movie_tags.errors import UserError

NAME = ".lock"
FRESHENED_S = 30.0
LAPSES_S = 3600.0
"""A lock that nobody has freshened for so long is of a run that died."""
TRIES = 5


class LockError(UserError):
    """Another run holds the folder."""


@dataclass(frozen=True)
class Owner:
    """Who holds a lock.

    Attributes:
        token: unlike any other's.
        user, host: for people.
        machine: the running system and its process numbers' space: only within one do process ids mean anything.
        pid: of the process; 0 of a job on a cluster, which nobody freshens the lock of.
        run_id: of the run.
    """

    token: str
    user: str
    host: str
    machine: str
    pid: int
    run_id: str

    @classmethod
    def here(cls, run_id: str, job: bool) -> Owner:
        """This process, or the job that it is about to start."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a container's user that has no name
            user = str(os.getuid())
        return cls(secrets.token_hex(8), user, socket.gethostname(), _machine(), 0 if job else os.getpid(), run_id)


def _machine() -> str:
    parts = []
    with contextlib.suppress(OSError):
        with open("/proc/sys/kernel/random/boot_id") as text:
            parts.append(text.read().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts) or socket.gethostname()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as stat:  # dead, but nobody has asked after it yet
        return stat.read().rpartition(")")[2].split()[0] != "Z"
    return True


def is_dead(owner: Owner, silent_s: float) -> bool:
    """Whether the holder of a lock is known to have died: its process is gone, or it has been silent for too long."""
    if owner.pid and owner.machine == _machine():
        return not _is_running(owner.pid)
    return bool(owner.pid) and silent_s > LAPSES_S


def read_lock(output: str) -> tuple[Owner, float, str] | None:
    """The lock of a folder: (its holder, seconds since it was freshened, its version); None where there is none.

    Raises:
        OSError: the storage does not say.
    """
    path = storage.join(output, NAME)
    for _ in range(TRIES):
        if not storage.exists(path):
            return None
        try:
            about = storage.about(path)
            owner = Owner(**json.loads(storage.read_bytes(path)))
        except (OSError, TypeError, ValueError):
            time.sleep(0.05)  # gone in this moment
            continue
        return owner, max(0.0, time.time() - about.written), about.version
    raise LockError(f"{path}: cannot be read; remove it if no run is going on")


@contextlib.contextmanager
def locked(output: str, run_id: str, break_lock: bool = False) -> Iterator[None]:
    """Hold a folder for this process, as long as the context.

    Raises:
        LockError: another run holds it.
    """
    owner = acquire(output, run_id, break_lock)
    over = threading.Event()

    def freshen() -> None:
        while not over.wait(FRESHENED_S):
            with contextlib.suppress(OSError, LockError):
                _freshen(output, owner)

    thread = threading.Thread(target=freshen, daemon=True, name="lock")
    thread.start()
    try:
        yield
    finally:
        over.set()
        release(output, run_id)


def acquire(output: str, run_id: str, break_lock: bool = False, job: bool = False) -> Owner:
    """Take the lock of a folder: from a run that is known to have died, with `break_lock` from any but a live one here.

    Raises:
        LockError: another run holds it.
    """
    owner = Owner.here(run_id, job)
    path = storage.join(output, NAME)
    data = json.dumps(asdict(owner)).encode()
    for _ in range(TRIES):
        if storage.create_new(path, data):
            return owner
        found = read_lock(output)
        if found is None:
            continue
        holder, silent_s, version = found
        if holder.token == owner.token:  # the storage's client tried twice
            return owner
        dead = is_dead(holder, silent_s)
        alive_here = holder.pid and holder.machine == owner.machine and not dead
        if not dead and (alive_here or not break_lock):
            raise LockError(_refusal(output, holder, silent_s, bool(alive_here)))
        _take_away(path, version)
    raise LockError(f"{output}: others take its lock again and again; try later")


def _take_away(path: str, version: str) -> None:
    """Remove a lock if it is still of a version; of several who do one succeeds, and the others look again."""
    if storage.is_remote(path):
        storage.replace_version(path, None, version)
        return
    import fcntl

    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # file systems without it leave a moment in which two may both believe
            fcntl.flock(folder, fcntl.LOCK_EX)
        storage.replace_version(path, None, version)
    finally:
        os.close(folder)


def _freshen(output: str, owner: Owner) -> None:
    path = storage.join(output, NAME)
    found = read_lock(output)
    if found is None or found[0].token != owner.token:
        return
    if storage.is_remote(path):
        storage.replace_version(path, json.dumps(asdict(owner)).encode(), found[2])
    else:
        os.utime(path)


def release(output: str, run_id: str) -> None:
    """Give the lock of a run back, if it still has it; what cannot be removed lapses."""
    with contextlib.suppress(OSError, LockError):
        found = read_lock(output)
        if found is not None and found[0].run_id == run_id:
            _take_away(storage.join(output, NAME), found[2])


def _refusal(output: str, holder: Owner, silent_s: float, alive_here: bool) -> str:
    who = f"{holder.user} on {holder.host}"
    if alive_here:
        return f"{output}: the run {holder.run_id} of {who} (process {holder.pid}) is writing to it; wait, or end it"
    age = f"{silent_s / 60:.0f} minutes ago" if silent_s >= 60 else f"{silent_s:.0f} seconds ago"
    what = f"process {holder.pid}, last heard of {age}" if holder.pid else f"a job on a cluster, begun {age}"
    return (
        f"{output}: the run {holder.run_id} of {who} ({what}) is writing to it; wait for its end, or add "
        "--break-lock if it is dead"
    )
