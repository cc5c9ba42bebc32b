"""The one door to files, local or remote: reading and writing them, listing and moving them, the errors in plain words.

Addresses are paths of this machine or `scheme://…` of Beam's file systems, which are imported only for the latter. A
local file's name is taken as it stands, whatever characters are in it; only `glob` knows patterns.
"""

from __future__ import annotations

import contextlib
import fnmatch
import glob as local_glob
import io
import os
import posixpath
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

LEAST_FETCH = 256 * 1024
MOST_AHEAD = 8 * 1024 * 1024

ANSWERS = {401: "permission refused", 403: "permission refused", 404: "there is no such object"}
RAW = "uncompressed"
"""What Beam must be told lest it decompress files by their names."""

_SCHEME = re.compile(r"([a-zA-Z][-a-zA-Z0-9+.]+)://")


class StorageError(OSError):
    """What a storage client refused or failed to do, in plain words."""


def scheme_of(uri: str) -> str | None:
    """`gs` of `gs://bucket/name`; None for a path of this machine."""
    found = _SCHEME.match(uri)
    return found.group(1) if found else None


def is_remote(uri: str) -> bool:
    return scheme_of(uri) is not None


def join(folder: str, *parts: str) -> str:
    """The address of something in a folder."""
    return posixpath.join(folder, *parts) if is_remote(folder) else os.path.join(folder, *parts)


def base_name(uri: str) -> str:
    """The last part of an address."""
    return uri.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _beam(uri: str) -> Any:
    """Beam's file system for a remote address."""
    from apache_beam.io.filesystems import FileSystems

    return FileSystems.get_filesystem(uri)


def plainly(error: BaseException) -> str:
    """An error in words for the user."""
    details = getattr(error, "exception_details", None)  # Beam's file systems: the error of each path
    causes = [cause for cause in (details or {}).values() if isinstance(cause, BaseException)]
    if causes:
        return plainly(causes[0])
    code = getattr(error, "code", None)  # google-cloud-storage's exceptions
    if code in ANSWERS:
        return ANSWERS[code]
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
    if not is_remote(uri):
        return open(uri, "rb")
    remote = ranges(uri)
    return io.BufferedReader(RangeReader(remote.fetch, remote.size))


def open_stream(uri: str) -> BinaryIO:
    """Open a local or remote file for reading from its beginning to its end.

    Raises:
        OSError: the file does not exist or may not be read.
    """
    if not is_remote(uri):
        return open(uri, "rb")
    with plain_errors():
        return _beam(uri).open(uri, compression_type=RAW)


def read_bytes(uri: str) -> bytes:
    """All of a file.

    Raises:
        OSError: it does not exist or may not be read.
    """
    with plain_errors(), open_stream(uri) as stream:
        return stream.read()


def read_text(uri: str) -> str:
    """All of a UTF-8 text, with or without a byte order mark.

    Raises:
        OSError: it does not exist or may not be read.
        UnicodeDecodeError: it is no such text.
    """
    return read_bytes(uri).decode("utf-8-sig")


@contextlib.contextmanager
def create(uri: str) -> Iterator[IO[bytes]]:
    """Write a file that appears whole, when the context ends, or not at all.

    Raises:
        OSError: it may not be written.
    """
    if is_remote(uri):  # an object appears only when it is complete
        with plain_errors(), _beam(uri).create(uri, compression_type=RAW) as out:
            yield out
        return
    staged = f"{uri}.{uuid.uuid4().hex[:8]}.unfinished"
    try:
        with open(staged, "wb") as out:
            yield out
        os.replace(staged, uri)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(staged)
        raise


def write_bytes(uri: str, data: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        OSError: it may not be written.
    """
    with create(uri) as out:
        out.write(data)


def write_text(uri: str, text: str) -> None:
    """Write a UTF-8 text, whole or not at all.

    Raises:
        OSError: it may not be written.
    """
    write_bytes(uri, text.encode())


def create_new(uri: str, data: bytes) -> bool:
    """Write a file where there is none, and say whether that was so: of several who try at once one succeeds.

    On this machine and on gs://; other storages promise less, and two at the same instant may both succeed there.

    Raises:
        OSError: it may not be written.
    """
    scheme = scheme_of(uri)
    if scheme is None:
        staged = f"{uri}.{uuid.uuid4().hex[:8]}.unfinished"
        try:
            with open(staged, "xb") as out:
                out.write(data)
            try:
                os.link(staged, uri)  # whole at once, which opening it exclusively and then writing is not
            except FileExistsError:
                raise
            except OSError:  # a file system without such links, as exFAT
                with open(uri, "xb") as out:
                    out.write(data)
        except FileExistsError:
            return False
        finally:
            with contextlib.suppress(OSError):
                os.unlink(staged)
        return True
    if scheme == "gs":
        from google.api_core.exceptions import PreconditionFailed

        with plain_errors():
            try:
                _blob(uri).upload_from_string(data, if_generation_match=0)
            except PreconditionFailed:
                return False
            return True
    if exists(uri):
        return False
    write_bytes(uri, data)
    return True


def replace_version(uri: str, data: bytes | None, version: str) -> bool:
    """Write a file again, or remove it (data None), if it is still of a version; says whether it was.

    Atomic on gs:// alone.

    Raises:
        OSError: it may not be written.
    """
    if scheme_of(uri) == "gs":
        from google.api_core.exceptions import NotFound, PreconditionFailed

        expected = int(version.removeprefix("generation:"))
        with plain_errors():
            try:
                if data is None:
                    _blob(uri).delete(if_generation_match=expected)
                else:
                    _blob(uri).upload_from_string(data, if_generation_match=expected)
            except (NotFound, PreconditionFailed):
                return False
            return True
    try:
        if about(uri).version != version:
            return False
    except FileNotFoundError:
        return False
    if data is None:
        remove([uri])
    else:
        write_bytes(uri, data)
    return True


@dataclass(frozen=True)
class About:
    """A file: its size in bytes, when it was last written in seconds of the epoch, and what tells its version."""

    size: int
    written: float
    version: str


def about(uri: str) -> About:
    """What a storage says of a file: its version is the generation on gs://, size and time of writing elsewhere.

    Raises:
        OSError: there is none, or the storage does not say.
    """
    scheme = scheme_of(uri)
    if scheme is None:
        found = os.stat(uri)
        return About(found.st_size, found.st_mtime, f"{found.st_size}:{found.st_mtime_ns}")
    if scheme == "gs":
        with plain_errors():
            blob = _blob(uri)
            blob.reload()
            return About(blob.size, blob.updated.timestamp(), f"generation:{blob.generation}")
    with plain_errors():
        found = _beam(uri).metadata(uri)
        size, written = found.size_in_bytes, found.last_updated_in_seconds
        return About(size, written, f"{size}:{written}")


def copy(source: str, target: str) -> None:
    """Copy a file within one storage; on this machine by a further name for it where that can be.

    Raises:
        OSError: it may not be read or written.
    """
    if is_remote(target):
        with plain_errors():
            _beam(target).copy([source], [target])
        return
    staged = f"{target}.{uuid.uuid4().hex[:8]}.unfinished"
    try:
        os.link(source, staged)
    except OSError:
        shutil.copyfile(source, staged)
    os.replace(staged, target)
    with contextlib.suppress(FileNotFoundError):  # of two names of one file the first stays
        os.unlink(staged)


def settle(folder: str) -> None:
    """Have a local folder's files and their names reach the disk, lest a power cut take them; remote ones are there.

    Raises:
        OSError: the disk refuses.
    """
    if is_remote(folder):
        return
    for path in [*list_folder(folder), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def list_folders(folder: str) -> list[str]:
    """The names of the folders right in a folder, in order; none where there is no such folder.

    Raises:
        OSError: it may not be listed.
    """
    if is_remote(folder):
        prefix = folder.rstrip("/") + "/"
        return sorted({p[len(prefix) :].split("/")[0] for p in list_files(folder) if "/" in p[len(prefix) :]})
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def exists(uri: str) -> bool:
    """Whether there is a file (or, on this machine, a folder) of that name.

    Raises:
        OSError: the storage does not say.
    """
    if not is_remote(uri):
        return os.path.exists(uri)
    with plain_errors():
        return _beam(uri).exists(uri)


def list_folder(folder: str, pattern: str = "*") -> list[str]:
    """The files right in a folder whose names a pattern matches, in order; none where there is no such folder.

    Raises:
        OSError: it may not be listed.
    """
    if is_remote(folder):
        prefix = folder.rstrip("/") + "/"
        inside = [path for path in list_files(folder) if "/" not in path[len(prefix) :]]
        return [path for path in inside if fnmatch.fnmatchcase(path[len(prefix) :], pattern)]
    try:
        with os.scandir(folder) as entries:
            return sorted(e.path for e in entries if e.is_file() and fnmatch.fnmatchcase(e.name, pattern))
    except FileNotFoundError:
        return []


def list_files(folder: str) -> list[str]:
    """Every file below a folder, in order; none where there is no such folder.

    Raises:
        OSError: it may not be listed.
    """
    if not is_remote(folder):
        return sorted(os.path.join(inside, name) for inside, _, names in os.walk(folder) for name in names)
    prefix = folder.rstrip("/") + "/"
    with plain_errors():
        return sorted(entry.path for entry in _beam(folder)._list(prefix) if not entry.path.endswith("/"))


def glob(pattern: str) -> list[str]:
    """The files that a pattern matches, in order.

    Raises:
        OSError: the place may not be listed.
    """
    if not is_remote(pattern):
        return sorted(path for path in local_glob.iglob(pattern, recursive=True) if os.path.isfile(path))
    with plain_errors():
        return sorted(entry.path for entry in _beam(pattern).match([pattern])[0].metadata_list)


def make_folder(uri: str) -> None:
    """Make a local folder; a remote one is there as soon as something is in it.

    Raises:
        OSError: it cannot be made.
    """
    if not is_remote(uri):
        os.makedirs(uri, exist_ok=True)


def move(source: str, target: str) -> None:
    """Move a file, in place of whatever stands there.

    Raises:
        OSError: it cannot be moved.
    """
    if is_remote(target):
        with plain_errors():
            _beam(target).rename([source], [target])
    else:
        os.replace(source, target)


def remove(uris: Iterable[str]) -> None:
    """Remove files; they may be gone already.

    Raises:
        OSError: one of them may not be removed.
    """
    remote = []
    for uri in uris:
        if is_remote(uri):
            remote.append(uri)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(uri)
    if remote:
        with plain_errors():
            _beam(remote[0]).delete(remote)


def remove_folder(uri: str) -> None:
    """Remove a folder and everything below it; it may be gone already.

    Raises:
        OSError: something in it may not be removed.
    """
    if is_remote(uri):
        remove(list_files(uri))
        return
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(uri)


def _blob(uri: str) -> Any:
    """The client library's handle of an object on gs://."""
    from apache_beam.io.gcp.gcsio import parse_gcs_path

    # Only so do credentials and other options of the run come into it.
    client = _beam(uri)._gcsIO().client
    bucket, name = parse_gcs_path(uri)
    return client.bucket(bucket).blob(name)


@dataclass(frozen=True)
class Ranges:
    """A remote file by ranges: `fetch` gives the bytes from an offset up to another; `size` is in bytes."""

    fetch: Callable[[int, int], bytes]
    size: int


def ranges(uri: str) -> Ranges:
    """Open a remote file for reading by ranges.

    Raises:
        StorageError: it does not exist or may not be read.
    """
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


def is_below(path: str, folder: str) -> bool:
    """Whether a file lies in a folder or below it, by their names."""
    return path.replace("\\", "/").startswith(folder.replace("\\", "/").rstrip("/") + "/")


def relative_to(path: str, folder: str) -> str:
    return posixpath.relpath(path.replace("\\", "/"), folder.replace("\\", "/"))


@contextlib.contextmanager
def fetch(uri: str) -> Iterator[str]:
    """A local path to a file or folder, local or remote; a copy of a remote one lasts as long as the context.

    Raises:
        FileNotFoundError: there is nothing at that address.
        StorageError: a remote file's name would lead out of the folder.
    """
    if not is_remote(uri):
        if not os.path.exists(uri):
            raise FileNotFoundError(uri)
        yield uri
        return
    with tempfile.TemporaryDirectory(prefix="movie-tags-") as scratch:
        name = uri.rstrip("/").rpartition("/")[2]
        inside = list_files(uri.rstrip("/"))
        pairs = [(path, os.path.join(name, relative_to(path, uri.rstrip("/")))) for path in inside] or [(uri, name)]
        for path, relative in pairs:
            if os.pardir in Path(relative).parts:
                raise StorageError(f"{path}: its name leads out of the folder; rename it")
            copy = Path(scratch, relative)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(read_bytes(path))
        yield os.path.join(scratch, name)


@contextlib.contextmanager
def named_for_beam(folder: str) -> Iterator[Callable[[str], str]]:
    """Gives the paths in a folder as Beam's file steps take them, which hold some characters for patterns.

    A link to the folder stands for its name, and lasts as long as the context.
    """
    if is_remote(folder) or not set(folder) & set("*?["):
        yield lambda path: path
        return
    with tempfile.TemporaryDirectory(prefix="movie-tags-") as scratch:
        link = os.path.join(scratch, "folder")
        os.symlink(os.path.abspath(folder), link)
        yield lambda path: os.path.normpath(os.path.join(link, os.path.relpath(path, folder)))


def send(folder: Path, uri: str) -> None:
    """Copy every file below a local folder to a folder that may be remote.

    Raises:
        OSError: one of them may not be written.
    """
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        target = join(uri, *path.relative_to(folder).parts)
        make_folder(target.rpartition("/")[0])
        with path.open("rb") as source, create(target) as out:
            shutil.copyfileobj(source, out)
