"""Files and folders that may be remote, for libraries that know only local paths."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from apache_beam.io.filesystems import FileSystems

from movie_tags.transforms.bundle import list_files, relative_to


@contextlib.contextmanager
def fetch(uri: str) -> Iterator[str]:
    """A local path to a file or folder, local or remote; a copy of a remote one lasts as long as the context.

    Raises:
        FileNotFoundError: there is nothing at that address.
    """
    if FileSystems.get_scheme(uri) is None:
        if not os.path.exists(uri):
            raise FileNotFoundError(uri)
        yield uri
        return
    with tempfile.TemporaryDirectory(prefix="movie-tags-") as scratch:
        name = uri.rstrip("/").rpartition("/")[2]
        inside = list_files(uri.rstrip("/"))
        pairs = [(path, os.path.join(name, relative_to(path, uri.rstrip("/")))) for path in inside] or [(uri, name)]
        for path, relative in pairs:
            copy = Path(scratch, relative)
            copy.parent.mkdir(parents=True, exist_ok=True)
            with FileSystems.open(path, compression_type="uncompressed") as source, copy.open("wb") as out:
                shutil.copyfileobj(source, out)
        yield os.path.join(scratch, name)


def send(folder: Path, uri: str) -> None:
    """Copy every file below a local folder to a folder that may be remote."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        target = FileSystems.join(uri, *path.relative_to(folder).parts)
        if FileSystems.get_scheme(uri) is None:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as source, FileSystems.create(target, compression_type="uncompressed") as out:
            shutil.copyfileobj(source, out)
