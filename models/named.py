"""The models that ship, by name, and where their sources lie."""

from pathlib import Path

COMMITTED = Path(__file__).resolve().parent
"""Where the sources of our own bundles lie, each in a folder of its name."""

DEFAULT, COMPACT, MODERATION = "default", "compact", "moderation"
NAMES = (DEFAULT, COMPACT, MODERATION)
"""Bundles that are known by name: they are built on the machine, once."""
