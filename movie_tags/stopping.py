"""How the processes of a run on one machine are told to begin nothing more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

INTERRUPTED = "interrupted"
"""The stage of what was not done because the run was told to end: no failure, it stays due."""

T = TypeVar("T")


class Stopped(Exception):
    """The run was told to end."""


@dataclass(frozen=True)
class StopFile:
    """A local file whose being there tells every process that works on a run to begin nothing more."""

    path: str

    def ask(self) -> None:
        """Tell them."""
        with open(self.path, "wb"):
            pass

    @property
    def asked(self) -> bool:
        """Whether they have been told."""
        return os.path.exists(self.path)


def until_stopped(items: Iterable[T], stop: StopFile | None) -> Iterator[T]:
    """The items, as long as nobody has been told to stop.

    Raises:
        Stopped: somebody has.
    """
    if stop is not None and stop.asked:
        raise Stopped
    for item in items:
        if stop is not None and stop.asked:
            raise Stopped
        yield item
