"""Starts `movie-tags tag` from a Dataflow Flex Template: template parameters in, a job out.

A Flex Template's launcher calls this file with `--name=value` for every parameter and with Beam's own options. It only
makes the job: nobody waits for its end, so the job publishes its results itself.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from apache_beam.options.pipeline_options import SetupOptions, WorkerOptions

from movie_tags.errors import UserError
from movie_tags.pipeline.commands import command_parser, parse
from movie_tags.pipeline.commands.common import WRONG_USAGE
from movie_tags.pipeline.commands.tag import prepare
from movie_tags.pipeline.run import TaggingRun
from movie_tags.results.folder import ResultsFolder


def command_line(words: Sequence[str]) -> list[str]:
    """Template parameters and Beam's options (`--name=value`) -> the words of `movie-tags tag`.

    A parameter is called as its option, with underscores; `inputs` holds the addresses, with spaces between them.
    """
    ours = command_parser("tag")._option_string_actions
    line = ["tag"]
    for word in words:
        name, _, value = word.partition("=")
        option = name.replace("_", "-")
        if name == "--inputs":
            line += value.split()
        elif option not in ours or name == "--dry_run":  # which is Beam's, of another meaning
            line.append(word)
        elif ours[option].nargs != 0:
            line.append(f"{option}={value}")
        elif value.lower() == "true":
            line.append(option)
    return line


def build(words: Sequence[str]) -> TaggingRun:
    """The job, not yet started; everything that can be checked first is.

    Raises:
        UserError: wrong usage.
    """
    args, beam_words = parse(command_line(words))
    if args.output is None:
        raise UserError("output must name a folder for the results")
    run = prepare(args, ResultsFolder(args.output), beam_words)
    if run.options is None:  # of Beam's options none was given
        raise UserError("Beam's own options must name the runner")
    if not run.workers and not run.options.view_as(WorkerOptions).sdk_container_image:
        raise UserError("sdk_container_image must name this image, or the workers will not have movie-tags")
    # Nothing in this file is needed on the workers.
    run.options.view_as(SetupOptions).save_main_session = False
    return run


def main(words: Sequence[str]) -> int:
    """Start the job; returns the exit status."""
    logging.basicConfig(level=logging.INFO, force=True)
    try:
        build(words).launch()
    except UserError as error:
        print(f"movie-tags: {error}", file=sys.stderr)
        return WRONG_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
