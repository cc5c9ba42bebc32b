"""Ctrl-C and SIGTERM: the first lets the films in hand be finished, the second ends at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

from movie_tags.stopping import StopFile

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SAID = b"movie-tags: interrupted; what has begun is being finished (once more ends it at once)\n"


class Interruption:
    """What a signal that means the end does.

    Attributes:
        told: whether one has come.
    """

    def __init__(self, end_workers: Callable[[], None] = lambda: None):
        """Args: what ends the workers at once; a runner waits for these."""
        self.told = False
        self.end_workers = end_workers
        self.stop: StopFile | None = None

    @contextlib.contextmanager
    def graceful(self, stop: StopFile) -> Iterator[None]:
        """While in this context the first signal only asks to stop: whoever works looks at the file."""
        self.stop = stop
        try:
            yield
        finally:
            self.stop = None

    def handle(self, *_: object) -> None:
        """A signal has come."""
        first, self.told = not self.told, True
        if first and self.stop is not None:
            self.stop.ask()
            with contextlib.suppress(OSError):
                os.write(sys.stderr.fileno(), SAID)  # a stream may be in the middle of writing
            return
        self.end_workers()
        raise KeyboardInterrupt

    @contextlib.contextmanager
    def handling(self, signals: Sequence[int] = SIGNALS) -> Iterator[None]:
        """Handle signals of this process as long as the context."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
