"""The machine that a process runs on."""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def cache() -> Path:
    """The cache folder: MOVIE_TAGS_CACHE, or ~/.cache/movie-tags."""
    return Path(os.environ.get("MOVIE_TAGS_CACHE") or Path.home() / ".cache" / "movie-tags")


def fullest(folders: Iterable[str]) -> tuple[str, int]:
    """Of some local folders the one on whose disk least is free, the first of equals, and how many bytes that is.

    Args:
        folders: at least one; of one that is not there, the next above it counts.
    """
    free = [(_free(folder), folder) for folder in folders]
    least, folder = min(free, key=lambda one: one[0])
    return folder, least


def _free(folder: str) -> int:
    there = os.path.abspath(folder)
    while not os.path.exists(there):
        there = os.path.dirname(there)
    return shutil.disk_usage(there).free
