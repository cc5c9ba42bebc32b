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

PIPELINES = frozenset({"tag", "dataset", "train"})
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
    _verbose(tag)
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
    _verbose(frame)
    _add_dataset(commands)
    _add_train(commands)
    _add_evaluate(commands)
    return parser


def _add_dataset(commands: argparse._SubParsersAction) -> None:
    defaults = TagSettings()
    parser = commands.add_parser(
        "dataset",
        allow_abbrev=False,
        help="make a data set of labelled pictures or films",
        description="Make a data set to train on: TFRecords split 80/10/10, without near-duplicates, and a manifest.",
        epilog="Any option of Apache Beam is passed on. Exit status: 0 done; 3 done, some inputs dropped (see "
        "MANIFEST.md); 2 wrong usage; 1 the run failed.",
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="folder of TAG/*.jpg, or .csv of labelled spans (uri,start,end,tag)"
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the data set, local or gs://")
    parser.add_argument("--overwrite", action="store_true", help="replace the data set in DIR")
    _split(parser)
    parser.add_argument(
        "--keep-splits-of",
        metavar="DIR",
        help="an earlier data set, or a bundle trained on one: its sources stay in their splits",
    )
    parser.add_argument(
        "--source-pattern",
        default="(.+?)__",
        metavar="REGEX",
        help="its first group, at the beginning of a picture's file name, is the film or collection it comes from; a "
        "picture that it does not match is a source of its own [(.+?)__]",
    )
    parser.add_argument(
        "--near-duplicate-bits",
        type=int,
        choices=range(0, 17),
        default=4,
        metavar="N",
        help="pictures whose perceptual hashes differ in at most N of 64 bits are one [4]",
    )
    films = parser.add_argument_group("frames of labelled spans (as in tagging)")
    films.add_argument("--every-frame", action="store_true", help="take every sampled frame, not only key frames")
    films.add_argument("--fps", type=positive, default=defaults.fps, metavar="N", help="samples a second [1]")
    films.add_argument("--shot-threshold", type=share, default=defaults.shot_threshold, metavar="D", help="[0.5]")
    films.add_argument("--min-entropy", type=bits, default=defaults.min_entropy, metavar="BITS", help="[0.2]")
    _verbose(parser)


def _add_train(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "train",
        allow_abbrev=False,
        help="train a model with your own tags",
        description="Train a head on a frozen backbone and write a model bundle with a report.",
        epilog="Any option of Apache Beam is passed on to the extraction of features. Interrupted, the same command "
        "goes on from the features and training steps that are done.",
    )
    parser.add_argument("--dataset", required=True, metavar="DIR", help="data set, or a folder of TAG/*.jpg")
    parser.add_argument("--output", required=True, metavar="BUNDLE", help="folder for the model bundle, local or gs://")
    parser.add_argument("--overwrite", action="store_true", help="replace the bundle there")
    parser.add_argument(
        "--backbone",
        metavar="NAME",
        help="compact (our own), inception_v3 (the paper's) or any network of keras.applications [compact]",
    )
    parser.add_argument(
        "--weights",
        metavar="WHAT",
        help="imagenet (downloaded by Keras), random, or a Keras weights file of the network without its top, local or "
        "gs://; for compact, a bundle [imagenet; the bundled model]",
    )
    parser.add_argument(
        "--size", type=count, metavar="PIXELS", help="side of the backbone's input [the backbone's own]"
    )
    parser.add_argument(
        "--preset",
        choices=["default", "paper"],
        default="default",
        help="paper: Inception-V3 at 299 pixels, 50,000 steps of 500 at 0.005, dropout 0.5, ReLU before the softmax",
    )
    parser.add_argument(
        "--grow",
        metavar="BUNDLE",
        help="an earlier bundle: its tags keep their order, and are compared before and after",
    )
    parser.add_argument(
        "--min-pictures", type=count, default=1, metavar="N", help="leave out tags with fewer training pictures [1]"
    )
    parser.add_argument("--cache", metavar="DIR", help="where features are kept [~/.cache/movie-tags]")
    _split(parser, "; of a folder only: a data set has its splits")
    head = parser.add_argument_group("the head (defaults are the preset's)")
    length = head.add_mutually_exclusive_group()
    length.add_argument("--steps", type=count, metavar="N", help="batches to learn from, in hundreds [2000]")
    length.add_argument("--epochs", type=positive, metavar="N", help="instead: times the training pictures' number")
    head.add_argument("--batch-size", type=count, metavar="N", help="pictures a step [500]")
    head.add_argument("--learning-rate", type=positive, metavar="RATE", help="[0.005]")
    head.add_argument("--dropout", type=share, metavar="SHARE", help="share of the features dropped [0.5]")
    head.add_argument("--weight-decay", type=float, metavar="RATE", help="[0.3]")
    head.add_argument("--balance", type=share, metavar="B", help="0: pictures as they come; 1: tags equally often [0]")
    head.add_argument("--seed", type=int, metavar="N", help="[1]")
    work = parser.add_argument_group("how features are extracted")
    work.add_argument("--feature-batch", type=count, default=32, metavar="N", help="pictures a batch [32]")
    work.add_argument("--accelerator", metavar="HINT", help="Beam's resource hint for the inference step")
    _verbose(parser)


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("evaluate", help="measure a model, or the tags of films", allow_abbrev=False)
    kinds = parser.add_subparsers(dest="evaluation", required=True, metavar="WHAT", parser_class=Parser)
    bundle = kinds.add_parser("bundle", help="a model bundle on labelled pictures", allow_abbrev=False)
    _model(bundle)
    bundle.add_argument(
        "--dataset", required=True, metavar="DIR", help="data set, or a folder of TAG/*.jpg (all of it)"
    )
    bundle.add_argument("--split", choices=["train", "validation", "test", "all"], default="test", help="[test]")
    tags = kinds.add_parser(
        "volunteers", help="predicted tags against volunteers' (equations 7a to 7c)", allow_abbrev=False
    )
    tags.add_argument("--volunteers", required=True, metavar="CSV", help="trailer,volunteer,tag")
    tags.add_argument("--predicted", required=True, metavar="TAGS.JSONL", help="of a tagging run")
    opinions = kinds.add_parser("opinions", help="mean opinion score", allow_abbrev=False)
    opinions.add_argument("--ratings", required=True, metavar="CSV", help="trailer,volunteer,score")
    opinions.add_argument(
        "--scale", type=positive, default=10, metavar="BEST", help="the best score; the worst is 0 [10]"
    )
    opinions.add_argument("--confidence", type=share, default=0.95, metavar="C", help="of the interval [0.95]")
    agreement = kinds.add_parser("agreement", help="how far volunteers agree", allow_abbrev=False)
    agreement.add_argument("--volunteers", required=True, metavar="CSV", help="trailer,volunteer,tag")
    agreement.add_argument("--model", metavar="BUNDLE", help="whose vocabulary they chose from [the paper's 50 tags]")
    for kind in (bundle, tags, opinions, agreement):
        _verbose(kind)


def _split(parser: argparse.ArgumentParser, note: str = "") -> None:
    parser.add_argument(
        "--split-by",
        choices=["source", "random"],
        default="source",
        help="what is kept on one side of a split: whole films and collections, or nothing (single pictures at random, "
        f"as in the paper{note}) [source]",
    )


def _verbose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--verbose", action="store_true", help="show the warnings of the libraries underneath")


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
    if argv and argv[0] in PIPELINES and not {"-h", "--help"} & set(argv):
        rest, beam = separate_beam_options(argv[1:], commands[argv[0]])
        argv = [argv[0], *rest]
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
