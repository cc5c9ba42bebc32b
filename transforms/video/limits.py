"""Limits of decoder processes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a decoder process may take; beyond, it is ended.

    Attributes:
        memory_gb: address space in GB of 10^9 bytes, the 0.6 of its own libraries included.
        cpu_s: CPU seconds without a frame later than all before.
        wall_s: seconds without one; waiting for a remote storage or for the worker does not count.
    """

    memory_gb: float = 4.0
    cpu_s: float = 60.0
    wall_s: float = 300.0
