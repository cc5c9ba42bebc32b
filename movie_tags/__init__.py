"""movie-tags: watches films and says, in a few tags with strengths, what is in them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from movie_tags.face import Results, TagError, tag
    from movie_tags.pipeline.method import Method, Work
    from movie_tags.pipeline.tag_movies import TagMovies
    from movie_tags.records import Failure, Film, KeyFrame, Span, TagStrength, Video

_PLACES = {
    "Failure": "movie_tags.records",
    "Film": "movie_tags.records",
    "KeyFrame": "movie_tags.records",
    "Method": "movie_tags.pipeline.method",
    "Results": "movie_tags.face",
    "Span": "movie_tags.records",
    "TagError": "movie_tags.face",
    "TagMovies": "movie_tags.pipeline.tag_movies",
    "TagStrength": "movie_tags.records",
    "Video": "movie_tags.records",
    "Work": "movie_tags.pipeline.method",
    "tag": "movie_tags.face",
}

__all__ = [
    "Failure",
    "Film",
    "KeyFrame",
    "Method",
    "Results",
    "Span",
    "TagError",
    "TagMovies",
    "TagStrength",
    "Video",
    "Work",
    "tag",
]


def __dir__() -> list[str]:
    return [*__all__]


def __getattr__(name: str) -> Any:
    # Beam takes a second and more to import: only those who use it pay.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)
