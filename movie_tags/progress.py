"""Progress reports as log records, which every runner brings to the driver."""

import json
import logging

LOGGER = "movie_tags.progress"
PREFIX = "movie-tags progress "


def report_progress(**what) -> None:
    """Log a progress report: what has just been done, as one JSON object that a handler in the driver can add up."""
    logging.getLogger(LOGGER).info("%s%s", PREFIX, json.dumps(what))
