"""Power cuts, for tests: operations on files go through until one of them, and from then on none does."""

from __future__ import annotations

import os

from movie_tags import storage


class PowerCut(BaseException):
    pass


class Countdown:
    """Lets so many operations on files through, then none."""

    def __init__(self, patch, operations):
        self.left = operations
        for module, names in (
            (storage, ("write_bytes", "write_text", "remove", "remove_folder", "copy", "settle", "make_folder")),
            (os, ("replace", "symlink", "unlink", "rmdir")),
        ):
            for name in names:
                patch.setattr(module, name, self.wrap(getattr(module, name)))

    def wrap(self, operation):
        def wrapped(*args, **kwargs):
            self.left -= 1
            if self.left < 0:
                raise PowerCut
            return operation(*args, **kwargs)

        return wrapped
