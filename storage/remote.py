"""Remote files, through Beam's file systems; on gs:// also by the generations of objects.

Beam and the storage's client library are imported with the first request.
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
from collections.abc import Iterable, Iterator
from typing import IO, Any, BinaryIO

from movie_tags.storage.addresses import check_scheme, scheme_of
from movie_tags.storage.errors import plain_errors
from movie_tags.storage.metadata import About
from movie_tags.storage.range_reader import RangeReader, Ranges

RAW = "uncompressed"
"""What Beam must be told lest it decompress files by their names."""


def _beam(uri: str) -> Any:
    """Beam's file system for an address.

    Raises:
        StorageError: there is none for its scheme.
    """
    check_scheme(uri)
    from apache_beam.io.filesystems import FileSystems

    return FileSystems.get_filesystem(uri)


def _blob(uri: str) -> Any:
    """The client library's handle of an object on gs://."""
    from apache_beam.io.gcp.gcsio import parse_gcs_path

    # Only so do credentials and other options of the run come into it.
    client = _beam(uri)._gcsIO().client
    bucket, name = parse_gcs_path(uri)
    return client.bucket(bucket).blob(name)


def open_seekable(uri: str) -> BinaryIO:
    remote = ranges(uri)
    return io.BufferedReader(RangeReader(remote.fetch, remote.size))


def open_stream(uri: str) -> BinaryIO:
    with plain_errors():
        return _beam(uri).open(uri, compression_type=RAW)


@contextlib.contextmanager
def create(uri: str) -> Iterator[IO[bytes]]:
    """Atomic write: an object appears only when it is complete."""
    with plain_errors(), _beam(uri).create(uri, compression_type=RAW) as out:
        yield out


def create_new(uri: str, data: bytes) -> bool:
    """Atomic and exclusive on gs:// alone, by a precondition; elsewhere two at the same instant may both succeed."""
    if scheme_of(uri) == "gs":
        from google.api_core.exceptions import PreconditionFailed

        with plain_errors():
            try:
                _blob(uri).upload_from_string(data, if_generation_match=0)
            except PreconditionFailed:
                return False
            return True
    if exists(uri):
        return False
    with create(uri) as out:
        out.write(data)
    return True


def replace_version(uri: str, data: bytes | None, version: str) -> bool:
    """Compare and swap; atomic on gs:// alone."""
    if scheme_of(uri) == "gs":
        return _replace_generation(uri, data, int(version.removeprefix("generation:")))
    if not exists(uri) or about(uri).version != version:
        return False
    if data is None:
        remove([uri])
    else:
        with create(uri) as out:
            out.write(data)
    return True


def _replace_generation(uri: str, data: bytes | None, generation: int) -> bool:
    from google.api_core.exceptions import NotFound, PreconditionFailed

    with plain_errors():
        try:
            if data is None:
                _blob(uri).delete(if_generation_match=generation)
            else:
                _blob(uri).upload_from_string(data, if_generation_match=generation)
        except (NotFound, PreconditionFailed):
            return False
        return True


def about(uri: str) -> About:
    """Its version is the generation on gs://, size and time of writing elsewhere."""
    with plain_errors():
        if scheme_of(uri) == "gs":
            blob = _blob(uri)
            blob.reload()
            return About(blob.size, blob.updated.timestamp(), f"generation:{blob.generation}")
        found = _beam(uri).metadata(uri)
        size, written = found.size_in_bytes, found.last_updated_in_seconds
        return About(size, written, f"{size}:{written}")


def copy(source: str, target: str) -> None:
    with plain_errors():
        _beam(target).copy([source], [target])


def settle(folder: str) -> None:
    """Nothing to do: an object that is written is durable."""


def list_folders(folder: str) -> list[str]:
    prefix = folder.rstrip("/") + "/"
    return sorted({p[len(prefix) :].split("/")[0] for p in list_files(folder) if "/" in p[len(prefix) :]})


def exists(uri: str) -> bool:
    with plain_errors():
        return _beam(uri).exists(uri)


def list_folder(folder: str, pattern: str) -> list[str]:
    prefix = folder.rstrip("/") + "/"
    inside = [path for path in list_files(folder) if "/" not in path[len(prefix) :]]
    return [path for path in inside if fnmatch.fnmatchcase(path[len(prefix) :], pattern)]


def list_files(folder: str) -> list[str]:
    prefix = folder.rstrip("/") + "/"
    with plain_errors():
        return sorted(entry.path for entry in _beam(folder)._list(prefix) if not entry.path.endswith("/"))


def glob(pattern: str) -> list[str]:
    with plain_errors():
        return sorted(entry.path for entry in _beam(pattern).match([pattern])[0].metadata_list)


def make_folder(uri: str) -> None:
    """Nothing to do: a remote folder is there as soon as something is in it."""


def move(source: str, target: str) -> None:
    with plain_errors():
        _beam(target).rename([source], [target])


def remove(uris: Iterable[str]) -> None:
    listed = list(uris)
    if listed:
        with plain_errors():
            _beam(listed[0]).delete(listed)


def remove_folder(uri: str) -> None:
    remove(list_files(uri))


def ranges(uri: str) -> Ranges:
    with plain_errors():
        return _gs_ranges(uri) if scheme_of(uri) == "gs" else _beam_ranges(uri)


def _gs_ranges(uri: str) -> Ranges:
    """An object on gs://. The client library retries each request, by its own default policy.

    Beam's own reader fetches 16 MiB at a time, most of a film for each of its segments.
    """
    blob = _blob(uri)
    blob.reload()  # its size, and its generation: an object replaced meanwhile is an error, not a mixture

    def fetch(start: int, end: int) -> bytes:
        with plain_errors():
            return blob.download_as_bytes(start=start, end=end - 1, raw_download=True, checksum=None)

    return Ranges(fetch, blob.size)


def _beam_ranges(uri: str) -> Ranges:
    stream = _beam(uri).open(uri, compression_type=RAW)
    size = stream.seek(0, io.SEEK_END)

    def fetch(start: int, end: int) -> bytes:
        with plain_errors():
            stream.seek(start)
            return stream.read(end - start)

    return Ranges(fetch, size if size is not None else stream.tell())
