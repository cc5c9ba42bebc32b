"""`movie-tags evaluate`: a bundle on labelled pictures, and the paper's three experiments; prints JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
import uuid
from collections.abc import Sequence

from movie_tags import storage
from movie_tags.machine import cache
from movie_tags.models import resolve
from movie_tags.models.bundle import read_bundle
from movie_tags.pipeline.commands.common import DONE, Parser, add_model, add_verbose, positive, share
from movie_tags.pipeline.runner import local_options
from movie_tags.training import dataset as data
from movie_tags.training.evaluation import (
    TableError,
    against_volunteers,
    agreement,
    opinion,
    read_predictions,
    read_ratings,
    read_suggestions,
)
from movie_tags.training.report import measure
from movie_tags.training.train import TrainingError, labels_of, run_bundle
from movie_tags.training.vocabulary import TAGS

OPTIONS = {"description": "Measure a model, or the tags of films; prints JSON."}


def add_options(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="evaluation", required=True, metavar="WHAT", parser_class=Parser)
    bundle = kinds.add_parser("bundle", help="a model bundle on labelled pictures", allow_abbrev=False)
    add_model(bundle)
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
        add_verbose(kind)


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    """`movie-tags evaluate`: one of the four evaluations; prints JSON."""
    print(json.dumps(EVALUATIONS[args.evaluation](args), indent=2, ensure_ascii=False))
    return DONE


def evaluate_bundle(args: argparse.Namespace) -> dict:
    """A bundle on a labelled set: a data set's split, or all of a folder TAG/*.jpg."""
    bundle = read_bundle(resolve(args.model))
    if not data.is_dataset(args.dataset):
        options, _ = local_options([])
        made = storage.join(str(cache()), "datasets", uuid.uuid4().hex)
        data.build_dataset([args.dataset], made, options, split_by="random")
        dataset, splits = data.read_dataset(made), data.SPLITS
    else:
        dataset, made = data.read_dataset(args.dataset), None
        splits = data.SPLITS if args.split == "all" else (args.split,)
    try:
        entries = [entry for entry in dataset.entries if entry.split in splits]
        known = set(bundle.vocabulary)
        usable = [entry for entry in entries if known.intersection(entry.tags)]
        if not usable:
            raise TrainingError(f"{args.dataset}: no picture of {', '.join(splits)} has a tag that {args.model} knows")
        found = run_bundle(bundle, dataset, [entry.key for entry in usable])
    finally:
        if made:
            storage.remove_folder(made)
    result = measure(found, labels_of(usable, bundle.vocabulary), bundle.vocabulary)
    result["without_a_known_tag"] = len(entries) - len(usable)
    result["near_duplicates_left_out"] = len(dataset.manifest["dropped"]["near_duplicates"])
    result["unusable"] = len(dataset.manifest["dropped"]["unusable"])
    return {"model": str(bundle.uri), "fingerprint": bundle.fingerprint, **result}


def evaluate_volunteers(args: argparse.Namespace) -> dict:
    """The third experiment: predicted tags against those that volunteers found."""
    suggested, predicted = read_suggestions(args.volunteers), read_predictions(args.predicted)
    missing = sorted({trailer for trailer, _ in suggested} - set(predicted))
    if missing:
        raise TableError(f"{args.predicted}: has no prediction for {', '.join(missing[:5])}")
    return dataclasses.asdict(against_volunteers(predicted, suggested))


def evaluate_opinions(args: argparse.Namespace) -> dict:
    """The first and second experiments: the mean opinion score, in the scale's units and as a share of the best."""
    by_trailer = read_ratings(args.ratings, args.scale)
    scores = opinion([score for ratings in by_trailer.values() for score in ratings], args.confidence)
    return {
        "mean_opinion_score": scores.mean,
        "percent": 100 * scores.mean / args.scale,
        "confidence": args.confidence,
        "interval": None if scores.low != scores.low else [scores.low, scores.high],
        "ratings": scores.ratings,
        "trailers": {trailer: sum(ratings) / len(ratings) for trailer, ratings in sorted(by_trailer.items())},
    }


def evaluate_agreement(args: argparse.Namespace) -> dict:
    """How far volunteers agree on the tags of trailers."""
    suggested = read_suggestions(args.volunteers)
    said = {tag for tags in suggested.values() for tag in tags}
    vocabulary = read_bundle(resolve(args.model)).vocabulary if args.model else TAGS
    found = agreement(suggested, [*vocabulary, *sorted(said.difference(vocabulary))])
    return {name: None if value != value else value for name, value in found.items()}


EVALUATIONS = {
    "bundle": evaluate_bundle,
    "volunteers": evaluate_volunteers,
    "opinions": evaluate_opinions,
    "agreement": evaluate_agreement,
}
