"""The machine that a process runs on."""

import os
import sys
from pathlib import Path


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def cache() -> Path:
    """The cache folder: MOVIE_TAGS_CACHE, or ~/.cache/movie-tags."""
    return Path(os.environ.get("MOVIE_TAGS_CACHE") or Path.home() / ".cache" / "movie-tags")
