"""Worker processes on this machine: ours, forked from a warm parent, with the versions of Beam whose private parts they
are written against; Beam's own with any other.
"""

from __future__ import annotations

import functools
import importlib
import logging
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.runner import PipelineRunner

KNOWN_VERSIONS = ("2.77",)
"""Of Beam, whose local runner `forked_workers` is tested with; its private parts may change with any other."""

_LOGGER = logging.getLogger("movie_tags")

deaths: list[str] = []
"""How worker processes of this process ended that were not told to, in order."""


@functools.cache
def _forked() -> ModuleType | None:
    """The module of our own workers, or None, with one warning, where Beam is not one that it is known to fit."""
    found = version("apache-beam")
    try:
        if found.rpartition(".")[0] in KNOWN_VERSIONS:
            return importlib.import_module("movie_tags.pipeline.beam.forked_workers")
        why = f"apache-beam {found} is not {' or '.join(KNOWN_VERSIONS)}"
    except (ImportError, AttributeError) as error:
        why = f"apache-beam {found} lacks what they need ({error})"
    _LOGGER.warning("%s: the work is done by Beam's own worker processes, which start slower", why)
    return None


def forking_runner(options: PipelineOptions) -> PipelineRunner | None:
    """Beam's local runner, with workers that are forks, and that take the next small bundle when they have done one.

    Args:
        options: of the pipeline; where None is returned they choose the runner, and its running mode its processes.
    """
    forked = _forked()
    return forked.forking_runner(options) if forked else None


def warm_up() -> None:
    """Start the parent of the workers, so that it imports while this process goes on."""
    if forked := _forked():
        forked.warm_up()


def end_workers() -> None:
    """Kill every worker process of ours at once, whatever it is doing: pipelines that need them fail."""
    if _forked.cache_info().currsize and (forked := _forked()):
        forked.end_workers()
