"""`movie-tags dataset`: labelled pictures and films -> a data set to train on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from movie_tags import storage
from movie_tags.pipeline.beam.options import local_options
from movie_tags.pipeline.commands.common import DONE, SOME_FAILED, add_split, bits, positive, share
from movie_tags.pipeline.display import Counted, watching
from movie_tags.pipeline.method import Method
from movie_tags.training.data import dataset as data
from movie_tags.training.data.dataset_building import build_dataset
from movie_tags.training.train import settled_splits
from movie_tags.wording import number

OPTIONS = {
    "description": "Make a data set to train on: TFRecords split 80/10/10, without near-duplicates, and a manifest.",
    "epilog": "Any option of Apache Beam is passed on. Exit status: 0 done; 3 done, some inputs dropped (see\n"
    "MANIFEST.md); 2 wrong usage; 1 the run failed.",
}
TAKES_BEAM_OPTIONS = True
METHOD = Method()


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="folder of TAG/*.jpg (_none/*.jpg show nothing of the vocabulary), .csv of labelled spans "
        "(uri,start,end,tag), or .csv or .jsonl of labelled frames and pictures (file,time_s,tags,maybe; film: what "
        "they are split by)",
    )
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the data set, local or gs://")
    parser.add_argument("--overwrite", action="store_true", help="replace the data set in DIR")
    add_split(parser)
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
    films = parser.add_argument_group("frames of labelled spans (as in tagging; labelled frames are taken as they are)")
    films.add_argument("--every-frame", action="store_true", help="take every sampled frame, not only key frames")
    films.add_argument("--fps", type=positive, default=METHOD.fps, metavar="N", help="samples a second [1]")
    films.add_argument("--shot-threshold", type=share, default=METHOD.shot_threshold, metavar="D", help="[0.5]")
    films.add_argument("--min-entropy", type=bits, default=METHOD.min_entropy, metavar="BITS", help="[0.2]")


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    """`movie-tags dataset`."""
    options, _ = local_options(beam_words)
    if storage.exists(storage.join(args.output, data.MANIFEST)) and not args.overwrite:
        raise data.DatasetError(f"{args.output}: holds a data set already; choose another folder, or add --overwrite")
    manifest = build_dataset(
        args.inputs,
        args.output,
        options,
        fps=args.fps,
        threshold=args.shot_threshold,
        min_entropy=args.min_entropy,
        every=args.every_frame,
        split_by=args.split_by,
        source_pattern=args.source_pattern,
        keep=settled_splits(args.keep_splits_of) if args.keep_splits_of else {},
        max_distance=args.near_duplicate_bits,
        watch=watch_inputs,
    )
    unusable = manifest["dropped"]["unusable"]
    print(f"{args.output}: " + ", ".join(f"{n} {split}" for split, n in manifest["pictures"].items()) + " pictures")
    print(f"dropped: {len(manifest['dropped']['near_duplicates'])} near-duplicates, {len(unusable)} unusable")
    if unusable:
        print(
            f"movie-tags: {number(len(unusable), 'input')} dropped; the reasons are in {args.output}/MANIFEST.md",
            file=sys.stderr,
        )
        return SOME_FAILED
    return DONE


def watch_inputs(number: int):
    """Shows how many of so many inputs are read, as long as the context lasts."""
    return watching(Counted("reading labelled inputs", "inputs", number))
