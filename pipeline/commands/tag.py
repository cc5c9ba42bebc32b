"""`movie-tags tag`: films -> their tags, printed and, where a folder is given, written as tables."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import sys
import tempfile
from collections.abc import Iterator, Sequence

from rich.console import Console

from movie_tags.errors import UserError
from movie_tags.pipeline.commands.common import (
    DONE,
    RUN_FAILED,
    SOME_FAILED,
    add_models,
    add_top_k,
    bits,
    count,
    models_of,
    not_negative,
    positive,
    share,
)
from movie_tags.pipeline.display import RunProgress, print_tags, watching
from movie_tags.pipeline.method import Method, Work
from movie_tags.pipeline.reading import read_table
from movie_tags.pipeline.run import TaggingRun

OPTIONS = {
    "usage": "movie-tags tag INPUT [INPUT ...] [--output DIR] [options] [any option of Apache Beam]",
    "description": "Tag videos: sample them, find shots, tag their key frames, and sum up.\n\n"
    "  movie-tags tag trailer.mp4                    print its tags, leave nothing behind\n"
    "  movie-tags tag films/ --output results/       tag a folder, keep tables and pictures",
    "epilog": "Any option of Apache Beam is passed on (--runner, --direct_num_workers, a runner's own). Without\n"
    "--runner the work is done on this machine, on all cores. Exit status: 0 all videos tagged; 3 some inputs\n"
    "failed (see errors.jsonl); 2 wrong usage; 1 the run failed.",
}
TAKES_BEAM_OPTIONS = True
INTERRUPTED = "no results were written"
SHOWN_ROWS = 50
METHOD, WORK = Method(), Work()


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="video, folder, glob, gs:// path, or .csv/.jsonl catalogue"
    )
    parser.add_argument(
        "--output", metavar="DIR", help="folder for the results, local or gs:// [none: the tags are only printed]"
    )
    add_models(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run in DIR")
    parser.add_argument(
        "--thumbnails",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="keep a small JPEG of each key frame beside the tables [on this machine yes, on clusters no]",
    )
    parser.add_argument(
        "--report", action="store_true", help="make pages to look at of the results, in DIR/report (needs --output)"
    )
    parser.add_argument(
        "--preset",
        choices=["default", "paper"],
        default="default",
        help="paper: every one of a key frame's top tags counts, however improbable (--min-probability 0), as printed",
    )
    method = parser.add_argument_group(
        "the method (defaults are the paper's, which gives none for --min-relative-strength)"
    )
    method.add_argument("--fps", type=positive, default=METHOD.fps, metavar="N", help="samples a second [1]")
    method.add_argument(
        "--shot-threshold",
        type=share,
        default=METHOD.shot_threshold,
        metavar="D",
        help="HSV histogram difference, 0 to 1, above which a shot begins [0.5]",
    )
    method.add_argument(
        "--min-entropy",
        type=bits,
        default=METHOD.min_entropy,
        metavar="BITS",
        help="key frames need more than this, 0 to 24 bits [0.2]",
    )
    add_top_k(method)
    method.add_argument(
        "--min-probability",
        type=share,
        default=METHOD.min_probability,
        metavar="P",
        help="a tag counts on a key frame from this probability on, 0 to 1 [each tag's own, from the model bundle]",
    )
    method.add_argument(
        "--min-relative-strength",
        type=share,
        default=METHOD.min_relative_strength,
        metavar="R",
        help="tags below this relative strength, 0 to 1, are left off the short list [0.1]",
    )
    method.add_argument(
        "--span-gap",
        type=not_negative,
        default=METHOD.span_gap,
        metavar="SECONDS",
        help="shots that carry a tag are one span of it across gaps up to this long [6]",
    )
    method.add_argument(
        "--min-span",
        type=not_negative,
        default=METHOD.min_span,
        metavar="SECONDS",
        help="shorter spans are left out [0]",
    )
    work = parser.add_argument_group("how the work is done (results do not depend on it)")
    work.add_argument(
        "--batch-size", type=count, default=WORK.batch_size, metavar="N", help="key frames a batch of inference [16]"
    )
    work.add_argument(
        "--segment-length",
        type=positive,
        default=WORK.segment_length,
        metavar="SECONDS",
        help="films are cut into segments at least this long, to be decoded side by side [60]",
    )
    work.add_argument(
        "--accelerator",
        metavar="HINT",
        help="Beam's resource hint for the inference step, such as type:nvidia-tesla-t4;count:1;install-nvidia-driver",
    )


def prepare(args: argparse.Namespace, output: str, beam_words: Sequence[str]) -> TaggingRun:
    """The run that a command line asks for, checked and not yet started.

    Raises:
        UserError: something that was asked for cannot be used.
    """
    if args.preset == "paper" and args.min_probability is None:
        args.min_probability = 0.0
    method, work = (
        kind(**{f.name: getattr(args, f.name) for f in dataclasses.fields(kind) if f.name in asked})
        for kind, asked in ((Method, vars(args)), (Work, vars(args).keys() - {"thumbnails"}))
    )
    return TaggingRun(args.inputs, output, models_of(args), method, work, beam_words, args.overwrite, args.thumbnails)


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    if args.report and args.output is None:
        raise UserError("--report makes its pages in the folder of results: give one with --output DIR")
    console = Console(stderr=True)
    with folder_for(args.output) as output:
        tagging = prepare(args, output, beam_words)
        progress = RunProgress(console)
        said = tagging.run(watching(progress, args.verbose))
        console.print(progress.text(), highlight=False, soft_wrap=True)
        shown = list(itertools.islice(read_table(output, "tags"), SHOWN_ROWS))
        print_tags(Console(), shown)
        errors = list(itertools.islice(read_table(output, "errors"), SHOWN_ROWS))
    counts = said["counts"]
    reported = make_report(args.output) if args.report else DONE
    if counts["videos_tagged"] > len(shown):
        console.print(f"… and more, in {args.output}" if args.output else "… and more; --output keeps them all")
    return report_failures(args.output, counts, errors) or reported


@contextlib.contextmanager
def folder_for(output: str | None) -> Iterator[str]:
    """The folder of results, or one that lasts as long as the context."""
    if output is not None:
        yield output
        return
    with tempfile.TemporaryDirectory(prefix="movie-tags-") as scratch:
        yield scratch


def make_report(output: str) -> int:
    """Make the pages of results that are whole and published, and say where they are; returns the exit status."""
    from movie_tags.report.write import write_report

    try:
        print(f"Look at {write_report(output).index}")
    except UserError as error:
        print(f"movie-tags: the results are whole, but no report was made of them: {error}", file=sys.stderr)
        return RUN_FAILED
    return DONE


def report_failures(output: str | None, counts: dict[str, int], errors: Sequence[dict]) -> int:
    """Say what failed; returns the exit status."""
    failed = counts["videos_failed"] + counts["key_frames_failed"] + counts.get("videos_lost", 0)
    if not failed:
        return DONE
    if output is None:
        for row in errors:
            print(f"movie-tags: {row['uri'] or 'the run'}: {row['reason']}", file=sys.stderr)
    else:
        print(f"movie-tags: {failed} failed; the reasons are in {output}/errors.jsonl", file=sys.stderr)
    return SOME_FAILED
