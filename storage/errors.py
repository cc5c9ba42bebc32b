"""Errors of storages in plain words: each client library has exceptions of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

ANSWERS = {401: "permission refused", 403: "permission refused", 404: "there is no such object"}


class StorageError(OSError):
    """What a storage client refused or failed to do, in plain words."""


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
    """Turn whatever a storage client raises into a StorageError."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        raise StorageError(plainly(error)) from error
