"""Quiet libraries: what keeps their start-up remarks from users; imports nothing but the standard library."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator

QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "GRPC_VERBOSITY": "NONE",
    "ABSL_MIN_LOG_LEVEL": "3",
    "PYTHONWARNINGS": "ignore",
    "OPENCV_LOG_LEVEL": "OFF",
}
"""Start-up remarks of TensorFlow, gRPC and Beam mean nothing to a user; workers inherit this."""


def set_quiet() -> None:
    """Set the environment of QUIET, but for what a user has set."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The same, and of Beam's log messages and those of the root logger itself errors alone, while the context lasts.

    Loggers of a user's own program, and ours, go on as they are.
    """
    unset = [name for name in QUIET if name not in os.environ]
    root, beam = logging.getLogger(), logging.getLogger("apache_beam")
    level = beam.level
    set_quiet()
    root.addFilter(_is_error)  # of messages to the root logger, not of those that come from loggers below it
    beam.setLevel(max(level, logging.ERROR))
    try:
        yield
    finally:
        beam.setLevel(level)
        root.removeFilter(_is_error)
        for name in unset:
            os.environ.pop(name, None)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
