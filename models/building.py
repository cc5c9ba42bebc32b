"""The bundles that movie-tags knows by name: where they lie on this machine, and how they come to be there."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import movie_tags
from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.machine import cache
from movie_tags.models import moderation
from movie_tags.models.bundle import MODEL_JSON, BundleError, read_bundle
from movie_tags.models.named import COMMITTED, MODERATION, NAMES
from movie_tags.models.sources import read_source

UNFINISHED = ".unfinished"


class BuildError(UserError):
    """A bundle that could not be built; the message says why."""


def built(name: str, say: Callable[[str], None] | None = None) -> str:
    """The folder of a bundle that is known by name; it is built first where this machine does not have it yet.

    Args:
        name: of `movie_tags.models.NAMES`.
        say: told in a line what is done, where it takes a while; by default it is written to the standard error.

    Raises:
        UserError: it cannot be built.
    """
    folder = place_of(name)
    if not (folder / MODEL_JSON).exists():
        _build_into_cache(name, folder, say or _tell)
    return str(folder)


def build(name: str, output: str | None = None, say: Callable[[str], None] | None = None) -> str:
    """Build a bundle anew where it is missing or damaged, or into a folder of the user's.

    Args:
        name: of `movie_tags.models.NAMES`.
        output: a folder without a bundle, local or remote; None: this machine's cache.
        say: see `built`.

    Returns:
        Its folder.

    Raises:
        UserError: it cannot be built, or there is a bundle in `output`.
    """
    say = say or _tell
    if output is None:
        folder = place_of(name)
        with contextlib.suppress(BundleError):
            return read_bundle(str(folder)).uri
        _build_into_cache(name, folder, say, anew=True)
        return str(folder)
    if storage.exists(storage.join(output, MODEL_JSON)):
        raise BuildError(f"{output}: holds a model bundle already; choose another folder")
    with tempfile.TemporaryDirectory(prefix="movie-tags-") as scratch:
        _build(name, Path(scratch), say)
        storage.send(Path(scratch), output)
    return output


def on_this_machine(fingerprint: str) -> str | None:
    """The folder of a bundle that was built here, by its fingerprint; None where it was not."""
    return next((str(path.parent) for path in _root().glob(f"*-{fingerprint[:16]}/{MODEL_JSON}")), None)


def place_of(name: str) -> Path:
    """Where a bundle known by name lies on this machine, or is to lie: the place tells its sources.

    Raises:
        UserError: its sources cannot be read.
    """
    fingerprint = moderation.FINGERPRINT if name == MODERATION else read_source(COMMITTED / name).fingerprint
    return _root() / f"{name}-{fingerprint[:16]}"


def name_of(uri: str) -> str | None:
    """The name by which a bundle is known on this machine; None of any other than those that ship.

    Args:
        uri: its folder as runs write it down (`storage.canonical`).

    Raises:
        UserError: the sources of one that ships cannot be read.
    """
    return next((name for name in NAMES if storage.canonical(str(place_of(name))) == uri), None)


def _root() -> Path:
    return cache() / "models"


def _build_into_cache(name: str, folder: Path, say: Callable[[str], None], anew: bool = False) -> None:
    """Build beside the place and rename, one process at a time: what is there is whole, and built once."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with storage.flock(f"{folder}.lock", math.inf):
            if (folder / MODEL_JSON).exists() and not anew:
                return  # another process was first
            for left in folder.parent.glob(f"{folder.name}.*{UNFINISHED}"):
                shutil.rmtree(left, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.", suffix=UNFINISHED) as scratch:
                made = Path(scratch, "bundle")
                made.mkdir()
                _build(name, made, say)
                shutil.rmtree(folder, ignore_errors=True)
                made.rename(folder)
    except OSError as error:
        raise BuildError(
            f"{folder}: the model cannot be kept there ({storage.plainly(error)}); MOVIE_TAGS_CACHE names another place"
        ) from error


def _build(name: str, folder: Path, say: Callable[[str], None]) -> None:
    if name == MODERATION:
        moderation.build(folder)
        return
    say(f"movie-tags: building the model '{name}' from its weights, once for this machine (about half a minute) ...")
    # A process of its own: TensorFlow would stay in this one, and in the workers that are forked from it.
    root = str(Path(movie_tags.__file__).resolve().parents[1])
    environment = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
        "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
    }
    words = [sys.executable, "-m", "movie_tags.models.joining", str(COMMITTED / name), str(folder)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no reason given")
        raise BuildError(f"the model '{name}' could not be built: {last.strip()}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
