"""The models that ship with movie-tags, as model bundles (`movie_tags.models.bundle`)."""

from pathlib import Path

BUNDLED = str(Path(__file__).resolve().parent / "compact")
"""The folder of the bundled model: our own weights, the default of `movie-tags tag`."""
