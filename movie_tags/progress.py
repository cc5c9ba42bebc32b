"""How far the work is, as log records: on every runner they come to where somebody can watch."""

import json
import logging

LOGGER = "movie_tags.progress"
PREFIX = "movie-tags progress "


def report_progress(**what) -> None:
    """Log what has just been done, as one JSON object that a handler in the driver can add up."""
    logging.getLogger(LOGGER).info("%s%s", PREFIX, json.dumps(what))
