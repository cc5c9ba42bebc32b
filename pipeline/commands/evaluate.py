"""`movie-tags evaluate`: bundles and runs against labels, and the paper's three experiments; prints JSON."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from movie_tags import storage
from movie_tags.machine import cache
from movie_tags.models import resolve
from movie_tags.models.bundle import read_bundle
from movie_tags.pipeline.beam.options import local_options
from movie_tags.pipeline.commands.common import (
    DONE,
    RUN_FAILED,
    Parser,
    add_common,
    add_model,
    count,
    positive,
    share,
)
from movie_tags.results.reading import read_table
from movie_tags.training.data import dataset as data
from movie_tags.training.data.dataset_building import build_dataset
from movie_tags.training.data.vocabulary import TAGS
from movie_tags.training.evaluate.experiments import (
    TableError,
    against_volunteers,
    agreement,
    opinion,
    read_predictions,
    read_ratings,
    read_suggestions,
)
from movie_tags.training.evaluate.films import (
    judge_films,
    judge_frames,
    match_films,
    read_truth,
    reliability,
    strengths_that_differ,
)
from movie_tags.training.heads.multilabel import MultiLabelSettings, labels_of_entries
from movie_tags.training.train import TrainingError, labels_of, run_bundle
from movie_tags.training.training_report import measure

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
    films = kinds.add_parser(
        "films", help="the tags that a run kept against those that a person gives", allow_abbrev=False
    )
    films.add_argument(
        "--truth",
        required=True,
        metavar="FILES.TSV",
        help="columns file, tags_that_plainly_apply, tags_that_may_apply; tags separated by ;",
    )
    films.add_argument("--results", required=True, metavar="DIR", help="of a tagging run, local or gs://")
    films.add_argument(
        "--min-confidence", type=share, default=0.0, metavar="C", help="judge only tags with this confidence [0]"
    )
    frames = kinds.add_parser("frames", help="a bundle on labelled key frames", allow_abbrev=False)
    add_model(frames)
    frames.add_argument(
        "--dataset",
        required=True,
        metavar="DIR",
        help="data set, or a .csv or .jsonl of frames (file,time_s,tags,maybe)",
    )
    frames.add_argument("--split", choices=["train", "validation", "test", "all"], default="test", help="[test]")
    frames.add_argument("--least", type=count, default=5, metavar="N", help="the mean is over tags of N frames [5]")
    strengths = kinds.add_parser(
        "strengths", help="whether W and R of a run follow from its key_frames.jsonl", allow_abbrev=False
    )
    strengths.add_argument("--results", required=True, metavar="DIR", help="of a tagging run, local or gs://")
    for kind in (bundle, tags, opinions, agreement, films, frames, strengths):
        add_common(kind)


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    """`movie-tags evaluate`: one of the evaluations; prints JSON."""
    found = EVALUATIONS[args.evaluation](args)
    print(json.dumps(found, indent=2, ensure_ascii=False))
    return RUN_FAILED if found.get("differ") else DONE


def evaluate_bundle(args: argparse.Namespace) -> dict:
    """A bundle on a labelled set: a data set's split, or all of a folder TAG/*.jpg."""
    bundle = read_bundle(resolve(args.model))
    with labelled_set(args.dataset, args.split) as (dataset, splits):
        entries = [entry for entry in dataset.entries if entry.split in splits]
        known = set(bundle.vocabulary)
        usable = [entry for entry in entries if known.intersection(entry.tags)]
        if not usable:
            raise TrainingError(f"{args.dataset}: no picture of {', '.join(splits)} has a tag that {args.model} knows")
        found = run_bundle(bundle, dataset, [entry.key for entry in usable])
    result = measure(found, labels_of(usable, bundle.vocabulary), bundle.vocabulary)
    result["without_a_known_tag"] = len(entries) - len(usable)
    result["near_duplicates_left_out"] = len(dataset.manifest["dropped"]["near_duplicates"])
    result["unusable"] = len(dataset.manifest["dropped"]["unusable"])
    return {"model": str(bundle.uri), "fingerprint": bundle.fingerprint, **result}


@contextlib.contextmanager
def labelled_set(uri: str, split: str) -> Iterator[tuple[data.Dataset, tuple[str, ...]]]:
    """A data set and its splits that are asked for; of anything else labelled one that lasts as long as the context."""
    if data.is_dataset(uri):
        yield data.read_dataset(uri), data.SPLITS if split == "all" else (split,)
        return
    made = storage.join(str(cache()), "datasets", uuid.uuid4().hex)
    try:
        build_dataset([uri], made, local_options([])[0], split_by="random")
        yield data.read_dataset(made), data.SPLITS
    finally:
        storage.remove_folder(made)


def evaluate_frames(args: argparse.Namespace) -> dict:
    """A bundle on labelled key frames: average precision of each tag, maybes left out, and its reliability."""
    bundle = read_bundle(resolve(args.model))
    with labelled_set(args.dataset, args.split) as (dataset, splits):
        entries = [entry for entry in dataset.entries if entry.split in splits and entry.complete]
        if not entries:
            raise TrainingError(f"{args.dataset}: no labelled frame in {', '.join(splits)}")
        found = run_bundle(bundle, dataset, [entry.key for entry in entries])
    labels = labels_of_entries(entries, bundle.vocabulary, MultiLabelSettings())
    judged = judge_frames(found, labels.applies, labels.maybe, bundle.vocabulary, args.least)
    return {"model": str(bundle.uri), "fingerprint": bundle.fingerprint, **judged}


def evaluate_films(args: argparse.Namespace) -> dict:
    """The tags that a run kept, against those that plainly apply and those that may."""
    truth = read_truth(args.truth)
    rows = {row["uri"]: row for row in read_table(args.results, "tags")}
    if not rows:
        raise TableError(f"{args.results}: holds no tagged film; give the folder of a run's results")
    found = match_films(truth, rows)
    if not found:
        raise TableError(
            f"{args.results}: has none of the films of {args.truth}; they are matched by their files' names"
        )
    kept = {
        name: frozenset(tag["tag"] for tag in rows[uri]["short_list"] if sure_enough(tag, args.min_confidence))
        for name, uri in found.items()
    }
    return {
        "results": args.results,
        **judge_films(kept, truth),
        "confidence": reliability_of_tags(
            (tag, tag["tag"] in truth[name].plain) for name, uri in found.items() for tag in rows[uri]["tags"]
        ),
        "not_in_the_results": sorted(set(truth) - set(found)),
    }


def sure_enough(tag: dict, least: float) -> bool:
    """Whether a tag's row has at least so much confidence; of a model that gives none every tag has."""
    return tag.get("confidence") is None or tag["confidence"] >= least


def reliability_of_tags(judged: Iterable[tuple[dict, bool]]) -> list[dict]:
    """How often a tag is given by a person, by the confidence in it; empty for a model without confidence."""
    pairs = [(tag["confidence"], right) for tag, right in judged if tag.get("confidence") is not None]
    if not pairs:
        return []
    said, right = np.array(pairs, float).T
    return reliability(said, right)


def evaluate_strengths(args: argparse.Namespace) -> dict:
    """Whether W and R in tags.jsonl follow from key_frames.jsonl by equations 5 and 6."""
    rows = list(read_table(args.results, "tags"))
    if not rows:
        raise TableError(f"{args.results}: holds no tagged film; give the folder of a run's results")
    return {"films": len(rows), "differ": strengths_that_differ(rows, read_table(args.results, "key_frames"))}


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
    "films": evaluate_films,
    "frames": evaluate_frames,
    "strengths": evaluate_strengths,
}
