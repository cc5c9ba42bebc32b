"""Progress reports as log records, which every runner brings to the driver."""

import json
import logging
import re
from collections.abc import Iterator

LOGGER = "movie_tags.progress"
PREFIX = "movie-tags progress "
_DECODER = json.JSONDecoder()


def report_progress(**what) -> None:
    """Log a progress report: what has just been done, as one JSON object that a handler in the driver can add up."""
    logging.getLogger(LOGGER).info("%s%s", PREFIX, json.dumps(what))


def reports_in(text: str) -> Iterator[dict]:
    """The progress reports in what was logged: a message, or a line of it; what is torn is passed over."""
    for found in text.split(PREFIX)[1:]:
        try:
            # A worker's log line comes as a string of a protocol buffer, in which quotes and the like are escaped.
            report, _ = _DECODER.raw_decode(re.sub(r"\\(.)", r"\1", found) if found.startswith("{\\") else found)
        except ValueError:
            continue  # it costs a little of the display, nothing else
        if isinstance(report, dict):
            yield report
