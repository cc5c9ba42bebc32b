"""How much work some inputs are, by what their files' headers say: a guess, for deciding how it is done."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable

from movie_tags import storage
from movie_tags.pipeline.inputs import InputError, expand
from movie_tags.transforms.video.decoding import Decoding
from movie_tags.transforms.video.errors import VideoError
from movie_tags.transforms.video.limits import Limits

DECODING_S = 1.2e-9
"""CPU seconds a pixel of film, decoded: H.264 at 720p on one core of a server."""

TAGGING_S = 0.005
"""CPU seconds for the key frames of one second of film: one of about four seconds, at 20 ms."""

WORTH_WORKERS_S = 8.0
"""CPU seconds from which several processes end sooner than one: each takes a second or two to start."""

MOST_FILES = 200
"""More files than this are not looked into: they are worth several processes."""

_LOGGER = logging.getLogger("movie_tags")


def cpu_seconds(uri: str, decoding: Decoding = Decoding(None)) -> float:
    """A guess at the CPU seconds that tagging a video takes; 0 where its headers say nothing."""
    try:
        said = decoding.headers(uri)
    except VideoError:
        return 0.0
    return said.duration_s * (said.width * said.height * min(said.rate, 120) * DECODING_S + TAGGING_S)


def is_little(inputs: Iterable[str], limits: Limits | None = Limits()) -> bool:
    """Whether the work is done sooner in one process, and in one piece, than it takes to divide it.

    Remote inputs are not looked into: fetching them pays for processes.

    Args:
        inputs: as a user names them.
        limits: of the process that looks into the films; None looks into them in this one.
    """
    inputs = list(inputs)
    if any(map(storage.is_remote, inputs)):
        return False
    try:
        found = list(itertools.islice(itertools.chain.from_iterable(map(expand, inputs)), MOST_FILES + 1))
    except InputError:  # is reported where the inputs are read
        return False
    if len(found) > MOST_FILES or any(storage.is_remote(item.video.uri) for item in found):
        return False
    decoding, total = Decoding(limits), 0.0
    for item in found:
        total += 0.0 if item.failure else cpu_seconds(item.video.uri, decoding)
        if total > WORTH_WORKERS_S:
            _LOGGER.info("more than %g s of work, by the films' headers: a process a core", total)
            return False
    _LOGGER.info("about %.1f s of work, by the films' headers: one process", total)
    return True
