"""Where thumbnails are kept: by itself, for whoever makes none need not bring in what makes them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thumbnails:
    """Where thumbnails are kept: the folder, local or remote, and how it is called in the tables."""

    folder: str
    listed_as: str
