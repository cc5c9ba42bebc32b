"""`movie-tags frame`: the top tags of single pictures, as in the paper's Table 2."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import cv2

from movie_tags.machine import cores
from movie_tags.models.ensemble import predict_with, read_models
from movie_tags.pipeline.commands.common import DONE, SOME_FAILED, add_models, add_top_k, models_of

OPTIONS = {"description": "Print the top tags of pictures (Table 2)."}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    add_models(parser)
    add_top_k(parser)


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    models = read_models(models_of(args))
    loaded = models.load(cores())
    failed = 0
    for path in args.images:
        picture = cv2.imread(path, cv2.IMREAD_COLOR)
        if picture is None:
            reason = "no picture that can be read"
        else:
            (found,) = predict_with(loaded, [models.fitted(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))])
            reason = found.reason
        if reason:
            failed += 1
            print(f"movie-tags: {path}: {reason}", file=sys.stderr)
            continue
        order = (-found.probabilities).argsort(kind="stable")[: args.top_k]
        tags = ", ".join(f"{models.vocabulary[i]} {found.probabilities[i]:.3f}" for i in order)
        print(f"{path}: {tags}")
    return SOME_FAILED if failed else DONE
