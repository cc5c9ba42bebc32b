"""Who holds a folder of results: what stands in its lock, whether that is a file lock or a lease."""

from __future__ import annotations

import getpass
import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass

from movie_tags.errors import UserError

NAME = ".lock"


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
