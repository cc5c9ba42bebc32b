"""movie-tags: watches films and says, in a few tags with strengths, what is in them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from movie_tags.pipeline.method import Method, Work
    from movie_tags.pipeline.tag_movies import TagMovies, VideoTags
    from movie_tags.transforms.tagging import KeyFrameTags
    from movie_tags.transforms.video.reader import Failure, Video

_PLACES = {
    "Failure": "movie_tags.transforms.video.reader",
    "KeyFrameTags": "movie_tags.transforms.tagging",
    "Method": "movie_tags.pipeline.method",
    "TagMovies": "movie_tags.pipeline.tag_movies",
    "Video": "movie_tags.transforms.video.reader",
    "VideoTags": "movie_tags.pipeline.tag_movies",
    "Work": "movie_tags.pipeline.method",
}

__all__ = ["Failure", "KeyFrameTags", "Method", "TagMovies", "Video", "VideoTags", "Work"]


def __getattr__(name: str) -> Any:
    # Beam takes a second and more to import: only those who use it pay.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)
