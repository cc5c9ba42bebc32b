"""movie-tags: watches films and says, in a few tags with strengths, what is in them."""

from movie_tags.pipeline.tag_movies import Failure, TagMovies, TagSettings, VideoTags
from movie_tags.transforms.sampling import Video
from movie_tags.transforms.tagging import KeyFrameTags

__all__ = ["Failure", "KeyFrameTags", "TagMovies", "TagSettings", "Video", "VideoTags"]
