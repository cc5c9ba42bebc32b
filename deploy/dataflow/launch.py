"""Starts `movie-tags tag` from a Dataflow Flex Template: template parameters in, a job out.

A Flex Template's launcher calls this file with `--name=value` for every parameter and with Beam's own options. It only
makes the job: nobody waits for its end, so the job publishes its results itself.
"""

from __future__ import annotations

import dataclasses
import logging
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version

import apache_beam as beam
from apache_beam.options.pipeline_options import SetupOptions, WorkerOptions

from movie_tags.pipeline.catalogue import InputError
from movie_tags.pipeline.command import VERSIONS, WRONG_USAGE, check_input
from movie_tags.pipeline.command import build as assemble
from movie_tags.pipeline.options import build_parser, local_options, parse
from movie_tags.pipeline.results import OutputError, PublishTables, prepare
from movie_tags.pipeline.tag_movies import TagSettings
from movie_tags.transforms.bundle import BundleError, read_bundle


def command_line(words: Sequence[str]) -> list[str]:
    """Template parameters and Beam's options (`--name=value`) -> the words of `movie-tags tag`.

    A parameter is called as its option, with underscores; `inputs` holds the addresses, with spaces between them.
    """
    (commands,) = build_parser()._subparsers._group_actions
    ours = commands.choices["tag"]._option_string_actions
    line = ["tag"]
    for word in words:
        name, _, value = word.partition("=")
        option = name.replace("_", "-")
        if name == "--inputs":
            line += value.split()
        elif option not in ours:
            line.append(word)
        elif ours[option].nargs != 0:
            line.append(f"{option}={value}")
        elif value.lower() == "true":
            line.append(option)
    return line


def build(words: Sequence[str]) -> beam.Pipeline:
    """The job, not yet started; everything that can be checked first is.

    Raises:
        InputError, OutputError, BundleError: wrong usage.
    """
    args, beam_words = parse(command_line(words))
    bundle = read_bundle(args.model)
    for uri in args.inputs:
        check_input(uri)
    options, workers = local_options(beam_words)
    if not workers and not options.view_as(WorkerOptions).sdk_container_image:
        raise InputError("sdk_container_image must name this image, or the workers will not have movie-tags")
    # Nothing in this file is needed on the workers.
    options.view_as(SetupOptions).save_main_session = False
    settings = TagSettings(
        **{f.name: getattr(args, f.name) for f in dataclasses.fields(TagSettings) if f.name != "threads"}
    )
    staging = prepare(args.output, args.overwrite)
    summary = {
        "begun": time.time(),
        "options": {**vars(args), "beam": beam_words},
        "settings": dataclasses.asdict(settings),
        "model": {"uri": bundle.uri, "fingerprint": bundle.fingerprint, "vocabulary": bundle.vocabulary},
        "versions": {**{name: version(name) for name in VERSIONS}, "python": platform.python_version()},
    }
    publishing = PublishTables(staging, args.output, summary)
    return assemble(args.inputs, bundle, settings, options, staging, workers > 0, publishing)


def main(words: Sequence[str]) -> int:
    """Start the job; returns the exit status."""
    logging.basicConfig(level=logging.INFO, force=True)
    try:
        build(words).run()
    except (InputError, OutputError, BundleError) as error:
        print(f"movie-tags: {error}", file=sys.stderr)
        return WRONG_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
