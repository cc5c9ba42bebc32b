"""From labelled pictures to a model bundle and what is known of it."""

from movie_tags.models.runtimes import without_native_remarks

with without_native_remarks():
    import tensorflow  # noqa: F401  (every module here needs it, and its start-up is not quiet)
