"""What commands share: exit statuses, the parser that hints, the kinds of numbers, options that several have."""

from __future__ import annotations

import argparse
import difflib
from typing import NoReturn

from movie_tags.models import DEFAULT, NAMES
from movie_tags.pipeline.method import Method
from movie_tags.storage.reach import WAIT_S

MODEL_HELP = f"model: {', '.join(NAMES)}, or the folder of a bundle, local or gs://"

DONE, RUN_FAILED, WRONG_USAGE, SOME_FAILED, UNREACHABLE = 0, 1, 2, 3, 4
READER_GONE = 141
"""As of programs that SIGPIPE ends."""


class Parser(argparse.ArgumentParser):
    """An argparse parser that hints at the option a misspelt one may have meant."""

    def error(self, message: str) -> NoReturn:
        unknown = [word for word in message.split() if word.startswith("--") and "unrecognized" in message]
        if unknown:
            from movie_tags.pipeline.beam.options import beam_option_actions  # imports Beam

            known = [*self._option_string_actions, *beam_option_actions()]
            for word in unknown:
                close = difflib.get_close_matches(word.split("=")[0], known, 1)
                if close:
                    message += f" (did you mean {close[0]}?)"
        super().error(message)


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def bits(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 24:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 24")
    return value


def add_common(parser: argparse.ArgumentParser) -> None:
    """What every command has."""
    parser.add_argument("--verbose", action="store_true", help="show the warnings of the libraries underneath")
    parser.add_argument(
        "--storage-wait",
        type=positive,
        default=WAIT_S,
        metavar="SECONDS",
        help=f"time that a gs:// bucket may take to answer for the first time [{WAIT_S:g}]",
    )


def add_model(parser: argparse._ActionsContainer) -> None:
    """One model."""
    parser.add_argument("--model", default=DEFAULT, metavar="BUNDLE", help=f"{MODEL_HELP} [{DEFAULT}]")


def add_models(parser: argparse._ActionsContainer) -> None:
    """One model or more: `models_of` has them."""
    parser.add_argument(
        "--model",
        action="append",
        metavar="BUNDLE",
        help=f"{MODEL_HELP}; may be given again, and the tags of all are united [{DEFAULT}]",
    )


def models_of(args: argparse.Namespace) -> list[str]:
    """The models that a command line names."""
    return args.model or [DEFAULT]


def add_top_k(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--top-k", type=count, default=Method().top_k, metavar="K", help="tags a key frame [3]")


def add_split(parser: argparse.ArgumentParser, note: str = "") -> None:
    parser.add_argument(
        "--split-by",
        choices=["source", "random"],
        default="source",
        help="what is kept on one side of a split: whole films and collections, or nothing (single pictures at random, "
        f"as in the paper{note}) [source]",
    )
