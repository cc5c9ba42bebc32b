"""`movie-tags frame`: the top tags of single pictures, as in the paper's Table 2."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from movie_tags.machine import cores
from movie_tags.models.ensemble import Ensemble, predict_with, read_models
from movie_tags.models.loading import Model
from movie_tags.models.views import read_picture
from movie_tags.pipeline.commands.common import DONE, SOME_FAILED, add_models, add_top_k, models_of
from movie_tags.report.phrases import percent

OPTIONS = {
    "description": "Print the top tags of pictures (Table 2), with how probable each is.\n\n"
    "  movie-tags frame photo.jpg\n"
    "  movie-tags frame *.jpg --json                         an object a line: what a program reads"
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    add_models(parser)
    add_top_k(parser)
    parser.add_argument("--json", action="store_true", help="print an object a line, with failures among them")


def top_tags(models: Ensemble, loaded: Sequence[Model], path: str, top_k: int) -> list[tuple[str, float]] | str:
    """The most probable tags of a picture with their probabilities; or why there are none."""
    picture = read_picture(path)
    if picture is None:
        return "no picture that can be read"
    (found,) = predict_with(loaded, [models.fitted(picture)])
    if found.probabilities is None:
        return found.reason
    order = (-found.probabilities).argsort(kind="stable")[:top_k]
    return [(models.vocabulary[i], round(float(found.probabilities[i]), 6)) for i in order]


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    models = read_models(models_of(args))
    loaded = models.load(cores())
    failed = 0
    for path in args.images:
        found = top_tags(models, loaded, path, args.top_k)
        failed += isinstance(found, str)
        if args.json:
            print(json.dumps({"image": path, **_as_row(found)}, ensure_ascii=True))
        elif isinstance(found, str):
            print(f"movie-tags: {path}: {found}", file=sys.stderr)
        else:
            print(f"{path}: " + ", ".join(f"{tag} {percent(probability)}" for tag, probability in found))
    return SOME_FAILED if failed else DONE


def _as_row(found: list[tuple[str, float]] | str) -> dict:
    if isinstance(found, str):
        return {"reason": found}
    return {"tags": [{"tag": tag, "probability": probability} for tag, probability in found]}
