"""Models: reading, checking, loading and building bundles (`movie_tags.models.bundle`), and those that ship."""

from __future__ import annotations

import os

from movie_tags.errors import UserError
from movie_tags.models.named import COMMITTED, COMPACT, DEFAULT, MODERATION, NAMES

__all__ = ["COMMITTED", "COMPACT", "DEFAULT", "MODERATION", "NAMES", "resolve"]


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
    from movie_tags.models.building import built  # which brings numpy, to commands that only name a model

    return built(name)
