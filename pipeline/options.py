"""Options: ours by argparse, Beam's own passed on, a misspelt one refused with a hint."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence

from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

from movie_tags.models import BUNDLED
from movie_tags.pipeline.tag_movies import TagSettings

LOCAL_RUNNERS = frozenset({"directrunner", "fnapirunner"})


class Parser(argparse.ArgumentParser):
    """An argparse parser that hints at the option a misspelt one may have meant."""

    def error(self, message: str) -> None:
        unknown = [word for word in message.split() if word.startswith("--") and "unrecognized" in message]
        known = [*self._option_string_actions, *beam_option_actions()]
        for word in unknown:
            close = difflib.get_close_matches(word.split("=")[0], known, 1)
            if close:
                message += f" (did you mean {close[0]}?)"
        super().error(message)


def beam_option_actions() -> dict[str, argparse.Action]:
    """Every option that Beam and its runners understand, by its spelling."""
    parser = _BeamArgumentParser(allow_abbrev=False)
    for group in PipelineOptions.__subclasses__():
        group._add_argparse_args(parser)
    return {spelling: action for spelling, action in parser._option_string_actions.items() if spelling[:2] == "--"}


def separate_beam_options(argv: Sequence[str], ours: argparse.ArgumentParser) -> tuple[list[str], list[str]]:
    """Take Beam's options with their values out of a command line: (the rest, Beam's). Ours win where names meet."""
    actions = beam_option_actions()
    rest, beam = [], []
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


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
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


def build_parser() -> Parser:
    """The command line of `movie-tags`."""
    parser = Parser(prog="movie-tags", description="Watches films and says, in a few tags, what is in them.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    tag = commands.add_parser(
        "tag",
        allow_abbrev=False,
        help="tag videos",
        description="Tag videos: sample them, find shots, tag their key frames, and sum up.",
        epilog="Any option of Apache Beam is passed on (--runner, --direct_num_workers, a runner's own). Without "
        "--runner the work is done on this machine, on all cores. Exit status: 0 all videos tagged; 3 some inputs "
        "failed (see errors.jsonl); 2 wrong usage; 1 the run failed.",
    )
    tag.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="video, folder, glob, gs:// path, or .csv/.jsonl catalogue"
    )
    tag.add_argument("--output", required=True, metavar="DIR", help="folder for the results, local or gs://")
    _model(tag)
    tag.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run in DIR")
    tag.add_argument("--verbose", action="store_true", help="show the warnings of the libraries underneath")
    defaults = TagSettings()
    method = tag.add_argument_group(
        "the method (defaults are the paper's, which gives none for --min-relative-strength)"
    )
    method.add_argument("--fps", type=positive, default=defaults.fps, metavar="N", help="samples a second [1]")
    method.add_argument(
        "--shot-threshold",
        type=share,
        default=defaults.shot_threshold,
        metavar="D",
        help="HSV histogram difference, 0 to 1, above which a shot begins [0.5]",
    )
    method.add_argument(
        "--min-entropy",
        type=bits,
        default=defaults.min_entropy,
        metavar="BITS",
        help="key frames need more than this, 0 to 24 bits [0.2]",
    )
    _top_k(method)
    method.add_argument(
        "--min-relative-strength",
        type=share,
        default=defaults.min_relative_strength,
        metavar="R",
        help="tags below this relative strength, 0 to 1, are left off the short list [0.1]",
    )
    work = tag.add_argument_group("how the work is done (results do not depend on it)")
    work.add_argument(
        "--batch-size",
        type=count,
        default=defaults.batch_size,
        metavar="N",
        help="key frames a batch of inference [16]",
    )
    work.add_argument(
        "--segment-length",
        type=positive,
        default=defaults.segment_length,
        metavar="SECONDS",
        help="films are cut into segments at least this long, to be decoded side by side [60]",
    )
    work.add_argument(
        "--accelerator",
        metavar="HINT",
        help="Beam's resource hint for the inference step, such as type:nvidia-tesla-t4;count:1;install-nvidia-driver",
    )

    frame = commands.add_parser(
        "frame", allow_abbrev=False, help="tag single pictures", description="Print the top tags of pictures (Table 2)."
    )
    frame.add_argument("images", nargs="+", metavar="IMAGE")
    _model(frame)
    _top_k(frame)
    frame.add_argument("--verbose", action="store_true", help="show the warnings of the libraries underneath")
    return parser


def _model(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--model", default=BUNDLED, metavar="BUNDLE", help="model bundle, local or gs:// [the bundled one]"
    )


def _top_k(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--top-k", type=count, default=TagSettings().top_k, metavar="K", help="tags a key frame [3]")


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Parse a command line: ours as a namespace, and Beam's options as words. Ends the process on wrong usage."""
    parser = build_parser()
    commands = parser._subparsers._group_actions[0].choices
    beam: list[str] = []
    if argv and argv[0] == "tag" and not {"-h", "--help"} & set(argv):
        rest, beam = separate_beam_options(argv[1:], commands["tag"])
        argv = ["tag", *rest]
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        commands[args.command].error("unrecognized arguments: " + " ".join(unknown))
    return args, beam


def local_options(beam: Sequence[str]) -> tuple[PipelineOptions, int]:
    """Beam's options with our choices for a run on this machine: (options, worker processes; 0 if not on this machine).

    Raises:
        ValueError: a mode that is known to lose elements.
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
        raise ValueError(
            "--direct_running_mode multi_threading loses elements after a reshuffle (measured); use multi_processing"
        )
    workers = (given["direct_num_workers"] if "--direct_num_workers" in asked else 0) or cores()
    if mode is None:
        mode = "multi_processing" if workers > 1 else "in_memory"
    if mode == "in_memory":
        workers = 1
    return PipelineOptions(
        list(beam), runner="FnApiRunner", direct_num_workers=workers, direct_running_mode=mode
    ), workers


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
