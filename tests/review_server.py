"""A review page served for tests."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from movie_tags.report.review.serve import Served, prepare


@contextlib.contextmanager
def served(folder: Path, by: str = "Ada") -> Iterator[Served]:
    """A review page, on a port of its own, as long as the context lasts."""
    page = prepare(str(folder), by)
    thread = threading.Thread(target=page.run, daemon=True)
    thread.start()
    try:
        yield page
    finally:
        page.server.should_exit = True
        thread.join(20)
