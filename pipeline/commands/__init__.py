"""The command line `movie-tags`: one module a command, with its options and what it does.

A command's module has `OPTIONS` (the parser's own words: `description`, `epilog`), `add_options(parser)` and
`run(args, beam_words) -> exit status`; it is imported when its command is given. `TAKES_BEAM_OPTIONS` says that Beam's
own options are passed on to it, `INTERRUPTED` what holds after Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import logging
import os
import re
import select
import sys
import tempfile
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import cast

from movie_tags import storage
from movie_tags.errors import UnreachableError, UserError
from movie_tags.machine import fullest
from movie_tags.pipeline.commands.common import READER_GONE, RUN_FAILED, UNREACHABLE, WRONG_USAGE, Parser, add_common

COMMANDS = {
    "tag": "tag videos",
    "report": "pages to look at, made of the results",
    "summary": "a film in a few pictures",
    "frame": "tag single pictures",
    "status": "what has been done in a folder of results, and what failed",
    "prune": "remove the results of videos that a catalogue no longer names",
    "search": "find films, or scenes, by their tags",
    "export": "write the tags for other tools",
    "review": "look through films and say which tags are right, in the browser",
    "corrections": "what people have said of tags: list, add, carry elsewhere",
    "learn": "a model learns from what people have said of its tags",
    "retag": "tag all films of a folder of results again by another model, from what is kept",
    "model": "build, import or download a model",
    "dataset": "make a data set of labelled pictures or films",
    "train": "train a model with your own tags",
    "evaluate": "measure a model, or the tags of films",
}
NEEDS_EXTRA = {"learn": "train", "review": "review", "dataset": "train", "train": "train", "evaluate": "train"}
"""Commands whose libraries come with an extra of the package."""


def load(name: str) -> ModuleType:
    """The module of a command.

    Raises:
        UserError: libraries that it needs are not installed.
    """
    try:
        return importlib.import_module(f"movie_tags.pipeline.commands.{name}")
    except ModuleNotFoundError as error:
        if name not in NEEDS_EXTRA or (error.name or "").startswith("movie_tags"):
            raise
        raise UserError(
            f"'{name}' needs the package {error.name}: pip install 'movie-tags[{NEEDS_EXTRA[name]}]'"
        ) from error


def build_parser(*commands: str) -> Parser:
    """The command line, with the options of the commands named (of all, if none is)."""
    parser = Parser(prog="movie-tags", description="Watches films and says, in a few tags, what is in them.")
    parser.add_argument("--version", action="store_true", help="print the version")
    group = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, purpose in COMMANDS.items():
        module = load(name) if name in commands or not commands else None
        about = getattr(module, "OPTIONS", {"description": purpose})
        command = group.add_parser(
            name, help=purpose, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **about
        )
        if module:
            module.add_options(command)
            add_common(command)
    return parser


def command_parser(name: str) -> Parser:
    """The parser of one command."""
    return commands_of(build_parser(name))[name]


def commands_of(parser: argparse.ArgumentParser) -> dict[str, Parser]:
    """The parsers of the commands, by their names."""
    groups = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return cast(dict[str, Parser], next(groups).choices)


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Parse a command line: ours as a namespace, and Beam's options as words. Ends the process on wrong usage."""
    name = argv[0] if argv and argv[0] in COMMANDS else None
    # Without a command only the names of all are needed, and no command's libraries.
    parser = build_parser(name or "none")
    if name is None:
        return parser.parse_args(argv), []
    command = commands_of(parser)[name]
    rest = getattr(load(name), "as_typed", list)(argv[1:])
    beam: list[str] = []
    if getattr(load(name), "TAKES_BEAM_OPTIONS", False) and has_other_options(rest, command):
        from movie_tags.pipeline.beam.options import separate_beam_options  # imports Beam

        rest, beam = separate_beam_options(rest, command)
    args, unknown = parser.parse_known_args([name, *rest])
    if unknown:
        command.error("unrecognized arguments: " + " ".join(unknown))
    return args, beam


def has_other_options(words: Sequence[str], ours: argparse.ArgumentParser) -> bool:
    """Whether a command line has options that are not ours, and may be Beam's; not where help is asked for."""
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    return bool(options - ours._option_string_actions.keys()) and not options & {"-h", "--help"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        args, beam_words = parse(words)
    except UserError as error:
        print(f"movie-tags: {error}", file=sys.stderr)
        return WRONG_USAGE
    if args.version:
        from importlib.metadata import version

        print(f"movie-tags {version('movie-tags')}")
        return 0
    if args.command is None:
        build_parser("none").print_help()
        return 0
    _set_up_logging(args.verbose)
    return run(load(args.command), args, beam_words)


def run(command: ModuleType, args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    """Run a command's module; returns its exit status, and says in a sentence why it failed."""
    try:
        await_storages(args)
        status = command.run(args, beam_words)
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"movie-tags: {error}", file=sys.stderr)
        return UNREACHABLE if isinstance(error, UnreachableError) else WRONG_USAGE
    except KeyboardInterrupt:
        print(f"movie-tags: interrupted; {getattr(command, 'INTERRUPTED', 'nothing was written')}", file=sys.stderr)
        return RUN_FAILED
    except Exception as error:
        if isinstance(error, BrokenPipeError) and reader_is_gone():
            # What is still to be flushed goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return READER_GONE
        if args.verbose:
            traceback.print_exc()
        said = last_line(error) + where_it_is_full(str(error), args)
        print(f"movie-tags: the run failed: {said} (--verbose shows more)", file=sys.stderr)
        return RUN_FAILED


def where_it_is_full(text: str, args: argparse.Namespace) -> str:
    """Which folder's disk it is most likely, where an error says that one is full: it does not say which."""
    if not any(os.strerror(number) in text for number in (errno.ENOSPC, errno.EDQUOT)):
        return ""
    named = [value for name in ("output", "results", "source") if isinstance(value := getattr(args, name, None), str)]
    folder, free = fullest([*(path for path in named if not storage.is_remote(path)), tempfile.gettempdir()])
    return f": {folder} has {free / 1e6:,.0f} MB free; make room there"


def await_storages(args: argparse.Namespace) -> None:
    """Resolve the `file:` addresses of a command line, and wait for the remote storages that it names.

    Raises:
        UserError: one cannot be reached, or its scheme is not supported.
    """
    remote: list[str] = []
    for name, value in vars(args).items():
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            continue
        addresses = [_address(word) for word in words]
        setattr(args, name, addresses[0] if isinstance(value, str) else addresses)
        remote += filter(storage.is_remote, addresses)
    storage.await_storages(remote, args.storage_wait, lambda text: print(f"movie-tags: {text}", file=sys.stderr))


def _address(word: str) -> str:
    """A word of a command line, as a path if it is a `file:` address.

    Raises:
        UserError: it is an address of a scheme that is not supported.
    """
    if not storage.is_remote(word) and not word.lower().startswith("file:/"):
        return word
    try:
        return storage.canonical(word)
    except storage.AddressError as error:
        raise UserError(f"{word}: {error}") from error


def _set_up_logging(verbose: bool) -> None:
    """Our own warnings are for the user; all else is with `--verbose` alone."""
    level, form = (logging.INFO, logging.BASIC_FORMAT) if verbose else (logging.CRITICAL, "movie-tags: %(message)s")
    logging.basicConfig(level=level, format=form, force=True)
    logging.getLogger("movie_tags").setLevel(logging.NOTSET if verbose else logging.WARNING)


def reader_is_gone() -> bool:
    """Whether nobody reads any more what is printed, as after `| head`."""
    with contextlib.suppress(OSError, ValueError):  # no file at all
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    return False


def last_line(error: Exception) -> str:
    """The line of an error that says most: of a worker's traceback the last."""
    if isinstance(error, OSError):
        return storage.plainly(error)
    lines = (line.strip() for line in reversed(str(error).splitlines()))
    text = next((line for line in lines if line), type(error).__name__)
    return re.sub(r"^(\w+: )*\[Errno \d+\] | \[while running '.*'\]$", "", text)  # Beam adds its step's name
