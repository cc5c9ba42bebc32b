"""Models: reading, checking, loading and building bundles (`movie_tags.models.bundle`), and those that ship."""

from __future__ import annotations

import os
from pathlib import Path

from movie_tags.errors import UserError

COMMITTED = Path(__file__).resolve().parent
"""Where the sources of our own bundles lie, each in a folder of its name."""

DEFAULT, COMPACT, MODERATION = "default", "compact", "moderation"
NAMES = (DEFAULT, COMPACT, MODERATION)
"""Bundles that are known by name: they are built on the machine, once."""


def resolve(model: str | os.PathLike = DEFAULT) -> str:
    """The folder of a model: of one of NAMES that of its bundle on this machine, built if need be; any other as it is.

    A folder of the user's with such a name is meant by `./compact`.

    Raises:
        UserError: the model is known by name, and cannot be built; or it is neither known nor there.
    """
    name = os.fspath(model)
    if name not in NAMES:
        if "/" not in name and not os.path.lexists(name):
            raise UserError(f"{name}: there is no such folder, and the models that ship are {', '.join(NAMES)}")
        return name
    from movie_tags.models.building import built

    return built(name)
