"""How much work some inputs are, by what their files' headers say: a guess, for deciding how it is done."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator

from movie_tags import storage
from movie_tags.machine import cores
from movie_tags.pipeline.catalogue import InputError, expand
from movie_tags.transforms.children import ChildEnded, stream
from movie_tags.transforms.limits import Limits
from movie_tags.transforms.video import VideoError, open_video

DECODING_S = 1.2e-9
"""CPU seconds a pixel of film, decoded: H.264 at 720p on one core of a server."""

TAGGING_S = 0.005
"""CPU seconds for the key frames of one second of film: one of about four seconds, at 20 ms."""

WORTH_WORKERS_S = 8.0
"""CPU seconds from which several processes end sooner than one: each takes a second or two to start."""

MOST_FILES = 200
"""More files than this are not looked into: they are worth several processes."""

_LOGGER = logging.getLogger("movie_tags")


def cpu_seconds(uri: str) -> float:
    """A guess at the CPU seconds that tagging a video takes; 0 where its headers say nothing."""
    try:
        with open_video(uri) as (container, stream):
            seconds = (container.duration or 0) / 1e6
            rate = float(stream.average_rate or 25)
            return max(0.0, seconds) * (stream.width * stream.height * min(rate, 120) * DECODING_S + TAGGING_S)
    except VideoError:
        return 0.0


def _guesses(uri: str) -> Iterator[float]:
    yield cpu_seconds(uri)


def workers_for(inputs: Iterable[str], limits: Limits | None = Limits()) -> int:
    """How many processes to do the work in on this machine: one for little work, one a core for more.

    Remote inputs are not looked into: fetching them pays for the processes.

    Args:
        inputs: as a user names them.
        limits: of the process that looks into the films; None looks into them in this one.
    """
    files, total = 0, 0.0
    try:
        for uri in inputs:
            if storage.is_remote(uri):
                return cores()
            for item in expand(uri):
                files += 1
                if files > MOST_FILES or storage.is_remote(item.video.uri):
                    return cores()
                if item.failure:
                    continue
                with contextlib.suppress(ChildEnded):
                    total += sum(stream(limits, _guesses, item.video.uri) if limits else _guesses(item.video.uri))
                if total > WORTH_WORKERS_S:
                    _LOGGER.info("more than %g s of work, by the films' headers: %d workers", total, cores())
                    return cores()
    except InputError:  # is reported where the inputs are read
        return cores()
    _LOGGER.info("about %.1f s of work, by the films' headers: one process", total)
    return 1
