"""Beam's own options and runner: which words are Beam's, and our choices for a run on this machine."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

from movie_tags.errors import UserError
from movie_tags.machine import cores

LOCAL_RUNNERS = frozenset({"directrunner", "fnapirunner"})


def beam_option_actions() -> dict[str, argparse.Action]:
    """Every option that Beam and its runners understand, by its spelling."""
    parser = _BeamArgumentParser(allow_abbrev=False)
    for group in PipelineOptions.__subclasses__():
        group._add_argparse_args(parser)
    return {spelling: action for spelling, action in parser._option_string_actions.items() if spelling[:2] == "--"}


def separate_beam_options(argv: Sequence[str], ours: argparse.ArgumentParser) -> tuple[list[str], list[str]]:
    """Take Beam's options with their values out of a command line: (the rest, Beam's). Ours win where names meet."""
    actions = beam_option_actions()
    rest: list[str] = []
    beam: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            return [*rest, word, *words], beam
        name, equals, _ = word.partition("=")
        if name not in actions or name in ours._option_string_actions:
            rest.append(word)
            continue
        beam.append(word)
        if not equals and actions[name].nargs != 0 and words:
            beam.append(words.pop(0))
    return rest, beam


def local_options(beam: Sequence[str], wanted: Callable[[], int] = cores) -> tuple[PipelineOptions, int]:
    """Beam's options with our choices for a run on this machine: (options, worker processes; 0 if not on this machine).

    Args:
        beam: Beam's own options, as words of a command line.
        wanted: says how many processes to use where the options do not.

    Raises:
        UserError: a mode that is known to lose elements.
    """
    options = PipelineOptions(list(beam))
    given = options.get_all_options()
    runner = str(given["runner"] or "FnApiRunner").rpartition(".")[2].lower()
    if runner not in LOCAL_RUNNERS:
        return options, 0
    # Beam's defaults cannot be told from the same values asked for but by looking at the words.
    asked = {word.partition("=")[0] for word in beam}
    mode = given["direct_running_mode"] if "--direct_running_mode" in asked else None
    if mode == "multi_threading":
        raise UserError(
            "--direct_running_mode multi_threading loses elements after a reshuffle (measured); use multi_processing"
        )
    workers = (given["direct_num_workers"] if "--direct_num_workers" in asked else 0) or wanted()
    if mode is None:
        mode = "multi_processing" if workers > 1 else "in_memory"
    if mode == "in_memory":
        workers = 1
    return PipelineOptions(
        list(beam), runner="FnApiRunner", direct_num_workers=workers, direct_running_mode=mode
    ), workers
