"""Metadata of a file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """Metadata of a file: its size in bytes, when it was last written in seconds of the epoch, and its version."""

    size: int
    written: float
    version: str
