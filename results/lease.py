"""A lease of a remote folder of results: an object that says whose it is, renewed while the run lives.

What replaces or removes it names the generation that it has seen, so that of several who do one succeeds.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from movie_tags import storage
from movie_tags.results.owner import NAME, Held, LockError, Owner

RENEWED_S = 30.0
LAPSES_S = 3600.0
"""A lease that nobody has renewed for so long is of a run that died."""
TRIES = 5


def read(folder: str) -> tuple[Held, str] | None:
    """The lease of a folder with its generation; None where there is none.

    Raises:
        OSError: the storage does not say.
        LockError: it cannot be read.
    """
    path = storage.join(folder, NAME)
    for _ in range(TRIES):
        if not storage.exists(path):
            return None
        try:
            about = storage.about(path)
            owner = Owner.of(storage.read_bytes(path))
        except (OSError, TypeError, ValueError):
            time.sleep(0.05)  # gone in this moment
            continue
        return Held(owner, max(0.0, time.time() - about.written)), about.version
    raise LockError(f"{path}: cannot be read; remove it if no run is going on")


def held(folder: str) -> Held | None:
    """Who holds a folder; raises as `read`."""
    found = read(folder)
    return None if found is None else found[0]


@contextlib.contextmanager
def leased(folder: str, run_id: str, break_lock: bool = False) -> Iterator[None]:
    """Hold a folder for this process, as long as the context.

    Raises:
        LockError: another run holds it.
    """
    owner = acquire(folder, run_id, break_lock)
    over = threading.Event()

    def renew() -> None:
        while not over.wait(RENEWED_S):
            with contextlib.suppress(OSError, LockError):
                _renew(folder, owner)

    threading.Thread(target=renew, daemon=True, name="lease").start()
    try:
        yield
    finally:
        over.set()
        release(folder, run_id)


def acquire(folder: str, run_id: str, break_lock: bool = False, job: bool = False) -> Owner:
    """Take the lease of a folder: from a run that has been silent for too long, with `break_lock` from any.

    Raises:
        LockError: another run holds it.
    """
    owner = Owner.here(run_id, job)
    path = storage.join(folder, NAME)
    for _ in range(TRIES):
        if storage.create_new(path, owner.data):
            return owner
        found = read(folder)
        if found is None:
            continue
        holder, generation = found
        if holder.owner.token == owner.token:  # the storage's client tried twice
            return owner
        lapsed = bool(holder.owner.pid) and holder.silent_s > LAPSES_S
        if not lapsed and not break_lock:
            raise LockError(_refusal(folder, holder))
        storage.replace_version(path, None, generation)
    raise LockError(f"{folder}: others take its lease again and again; try later")


def _renew(folder: str, owner: Owner) -> None:
    found = read(folder)
    if found is not None and found[0].owner.token == owner.token:
        storage.replace_version(storage.join(folder, NAME), owner.data, found[1])


def release(folder: str, run_id: str) -> None:
    """Give the lease of a run back, if it still has it; what cannot be removed lapses. Idempotent."""
    with contextlib.suppress(OSError, LockError):
        found = read(folder)
        if found is not None and found[0].owner.run_id == run_id:
            storage.replace_version(storage.join(folder, NAME), None, found[1])


def _refusal(folder: str, holder: Held) -> str:
    owner, silent_s = holder.owner, holder.silent_s
    age = f"{silent_s / 60:.0f} minutes ago" if silent_s >= 60 else f"{silent_s:.0f} seconds ago"
    what = f"process {owner.pid}, last heard of {age}" if owner.pid else f"a job on a cluster, begun {age}"
    return (
        f"{folder}: the run {owner.run_id} of {owner.who} ({what}) is writing to it; wait for its end, or add "
        "--break-lock if it is dead"
    )
