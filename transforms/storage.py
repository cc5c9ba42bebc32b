"""Files that may be remote: random reading by ranges, copies of folders, and the clients' errors in plain words."""

from __future__ import annotations

import contextlib
import io
import os
import posixpath
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from apache_beam.io.filesystems import FileSystems

LEAST_FETCH = 256 * 1024
MOST_AHEAD = 8 * 1024 * 1024

ANSWERS = {401: "permission refused", 403: "permission refused", 404: "there is no such object"}


class StorageError(OSError):
    """What a storage client refused or failed to do, in plain words."""


def plainly(error: BaseException) -> str:
    """An error in words for the user."""
    details = getattr(error, "exception_details", None)  # Beam's file systems: the error of each path
    causes = [cause for cause in (details or {}).values() if isinstance(cause, BaseException)]
    if causes:
        return plainly(causes[0])
    if getattr(error, "code", None) in ANSWERS:  # google-cloud-storage's exceptions
        return ANSWERS[error.code]
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.strip().splitlines()[0][:200]


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turn whatever a storage client raises into a StorageError: each client has exceptions of its own."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        raise StorageError(plainly(error)) from error


def open_seekable(uri: str) -> BinaryIO:
    """Open a local or remote file for random reading.

    Raises:
        OSError: the file does not exist or may not be read.
    """
    scheme = FileSystems.get_scheme(uri)
    if scheme is None:
        return open(uri, "rb")
    if scheme == "gs":
        return _open_gs(uri)
    return FileSystems.open(uri, compression_type="uncompressed")


def _open_gs(uri: str) -> BinaryIO:
    """An object on gs://. The client library retries each request, by its own default policy.

    Beam's own reader fetches 16 MiB at a time, most of a film for each of its segments.
    """
    from apache_beam.io.gcp.gcsio import parse_gcs_path

    with plain_errors():
        # Only so do credentials and other options of the run come into it.
        client = FileSystems.get_filesystem(uri)._gcsIO().client
        bucket, name = parse_gcs_path(uri)
        blob = client.bucket(bucket).blob(name)
        blob.reload()  # its size, and its generation: an object replaced meanwhile is an error, not a mixture

    def fetch(start: int, end: int) -> bytes:
        with plain_errors():
            return blob.download_as_bytes(start=start, end=end - 1, raw_download=True, checksum=None)

    return io.BufferedReader(RangeReader(fetch, blob.size))


class RangeReader(io.RawIOBase):
    """Random reading of a remote file by ranges, of which the last is held.

    The longer a stretch is read without a break, the more is read ahead: half of what was read of it so far. So a
    stretch of a film costs few requests, and at most half as many bytes again as are asked for.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int):
        """Args: the bytes from an offset up to another; the file's size in bytes."""
        super().__init__()
        self._fetch = fetch
        self._size = size
        self._at = 0
        self._held, self._held_at = memoryview(b""), 0
        self._unbroken = 0
        self._failure: Exception | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer) -> int:
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        if not self._held_at <= self._at < self._held_at + len(self._held):
            self._hold(wanted)
        begin = self._at - self._held_at
        part = self._held[begin : begin + wanted]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _hold(self, wanted: int) -> None:
        if self._at != self._held_at + len(self._held):
            self._unbroken = 0
        length = max(wanted, LEAST_FETCH, min(self._unbroken // 2, MOST_AHEAD))
        try:
            if self._failure:  # FFmpeg asks again; the storage's client has been patient already
                raise self._failure
            data = self._fetch(self._at, min(self._at + length, self._size))
            if not data:
                raise StorageError(f"ends at byte {self._at} of {self._size}")
        except Exception as error:
            self._failure = error
            raise
        self._held, self._held_at = memoryview(data), self._at
        self._unbroken += len(data)


def list_files(folder: str) -> list[str]:
    """Every file below a folder, local or remote.

    Raises:
        OSError: it may not be listed.
    """
    with plain_errors():
        return [entry.path for entry in FileSystems.match([FileSystems.join(folder, "**")])[0].metadata_list]


def relative_to(path: str, folder: str) -> str:
    return posixpath.relpath(path.replace("\\", "/"), folder.replace("\\", "/"))


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
            with plain_errors(), FileSystems.open(path, compression_type="uncompressed") as source:
                copy.write_bytes(source.read())
        yield os.path.join(scratch, name)


def send(folder: Path, uri: str) -> None:
    """Copy every file below a local folder to a folder that may be remote."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        target = FileSystems.join(uri, *path.relative_to(folder).parts)
        if FileSystems.get_scheme(uri) is None:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as source, FileSystems.create(target, compression_type="uncompressed") as out:
            shutil.copyfileobj(source, out)
