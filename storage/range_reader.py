"""Random reading of remote files by ranges of bytes, with bounded read-ahead."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

from movie_tags.storage.errors import StorageError

LEAST_FETCH = 256 * 1024
MOST_AHEAD = 8 * 1024 * 1024


@dataclass(frozen=True)
class Ranges:
    """A remote file by ranges: `fetch` gives the bytes from an offset up to another; `size` is in bytes."""

    fetch: Callable[[int, int], bytes]
    size: int


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
