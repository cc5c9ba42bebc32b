"""`movie-tags train`: a data set -> features of a frozen backbone -> a head -> a model bundle with its report."""

from __future__ import annotations

import argparse
import dataclasses
import math
import os
import sys
import uuid
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from movie_tags import storage
from movie_tags.machine import cache as cache_place
from movie_tags.machine import cores
from movie_tags.models import COMPACT, resolve
from movie_tags.models.backbones.specs import load_backbone, make_spec
from movie_tags.models.bundle import read_bundle
from movie_tags.pipeline.beam.options import local_options
from movie_tags.pipeline.commands.common import DONE, add_split, count, positive, share
from movie_tags.pipeline.commands.dataset import watch_inputs
from movie_tags.pipeline.display import Counted, watching
from movie_tags.training.data import dataset as data
from movie_tags.training.data.dataset_building import build_dataset
from movie_tags.training.extracting import ExtractFeatures, cache_folder, cached_keys
from movie_tags.training.heads.multilabel import MultiLabelSettings
from movie_tags.training.heads.softmax import PAPER, HeadSettings
from movie_tags.training.train import REPORT, TrainingError, has_splits, settled_splits, train
from movie_tags.wording import number

OPTIONS = {
    "description": "Train a head on a frozen backbone and write a model bundle with a report.",
    "epilog": "Any option of Apache Beam is passed on to the extraction of features. Interrupted, the same command\n"
    "goes on from the features and training steps that are done.",
}
TAKES_BEAM_OPTIONS = True
INTERRUPTED = "the same command goes on from what is done"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", required=True, metavar="DIR", help="data set, or a folder of TAG/*.jpg")
    parser.add_argument("--output", required=True, metavar="BUNDLE", help="folder for the model bundle, local or gs://")
    parser.add_argument("--overwrite", action="store_true", help="replace the bundle there")
    parser.add_argument(
        "--backbone",
        metavar="NAME",
        help="compact (tuned on film), efficientnet_lite0, 1 or 2 (with the weights of their package), inception_v3 "
        "(the paper's) or any other network of keras.applications; or a bundle that gives features, its folder or "
        "`default` [compact]",
    )
    parser.add_argument(
        "--weights",
        metavar="WHAT",
        help="imagenet (downloaded by Keras), random, or a Keras weights file of the network without its top, local or "
        "gs:// [imagenet; others have their own]",
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
    add_split(parser, "; of a folder only: a data set has its splits")
    parser.add_argument(
        "--refit",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="when all is measured, learn the head of the bundle anew, from all splits [yes]",
    )
    parser.add_argument(
        "--head",
        choices=["sigmoid", "softmax"],
        help="sigmoid: many tags or none; softmax: the paper's [sigmoid; of the preset paper, softmax]",
    )
    many = parser.add_argument_group("the head of sigmoids")
    many.add_argument("--l2", type=positive, metavar="C", help="of the kernel, on standardised features [0.03]")
    many.add_argument("--frame-weight", type=positive, metavar="W", help="of a film frame's labels [4]")
    head = parser.add_argument_group("the softmax head (defaults are the preset's; its report has TensorBoard's logs)")
    length = head.add_mutually_exclusive_group()
    length.add_argument("--steps", type=count, metavar="N", help="batches to learn from, in hundreds [2000]")
    length.add_argument("--epochs", type=positive, metavar="N", help="instead: times the training pictures' number")
    head.add_argument("--batch-size", type=count, metavar="N", help="pictures a step [500]")
    head.add_argument("--learning-rate", type=positive, metavar="RATE", help="[0.005]")
    head.add_argument("--dropout", type=share, metavar="SHARE", help="share of the features dropped [0.5]")
    head.add_argument("--weight-decay", type=float, metavar="RATE", help="[0.3]")
    head.add_argument("--balance", type=share, metavar="B", help="0: pictures as they come; 1: tags equally often [0]")
    parser.add_argument("--seed", type=int, metavar="N", help="of what is drawn at random [the head's own]")
    work = parser.add_argument_group("how features are extracted")
    work.add_argument("--feature-batch", type=count, default=32, metavar="N", help="pictures a batch [32]")
    work.add_argument("--accelerator", metavar="HINT", help="Beam's resource hint for the inference step")


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    """`movie-tags train`."""
    options, workers = local_options(beam_words)
    old = read_bundle(resolve(args.grow)) if args.grow else None
    spec = make_spec(*backbone_of(args))
    backbone = load_backbone(spec, cores())  # before any work: its weights may be missing
    if storage.exists(storage.join(args.output, "model.json")) and not args.overwrite:
        raise TrainingError(f"{args.output}: holds a model bundle already; choose another folder, or add --overwrite")
    cache = args.cache or str(cache_place())
    if not workers and not storage.is_remote(cache):
        print(f"movie-tags: the workers must see the cache {cache}; give --cache gs://… if not", file=sys.stderr)
    settled = settled_splits(args.grow) if old and has_splits(args.grow) else {}
    dataset = data.read_dataset(args.dataset) if data.is_dataset(args.dataset) else None
    split_by = dataset.manifest["made_with"]["split_by"] if dataset else args.split_by
    old_split_by = old.card.get("training", {}).get("split_by") if old else None
    if old_split_by not in (None, split_by):
        raise TrainingError(f"{args.grow}: was trained on a split by {old_split_by}; split by that again to compare")
    if dataset is None:
        name = f"{os.path.abspath(args.dataset)} {args.split_by} {args.grow}"
        made = storage.join(cache, "datasets", uuid.uuid5(uuid.NAMESPACE_URL, name).hex)
        manifest = build_dataset(
            [args.dataset], made, options, split_by=args.split_by, keep=settled, watch=watch_inputs
        )
        unusable = len(manifest["dropped"]["unusable"])
        if unusable:
            print(f"movie-tags: {unusable} files could not be used; see {made}/MANIFEST.md", file=sys.stderr)
        dataset = data.read_dataset(made)
        print(f"made a data set of {args.dataset} in {made}", file=sys.stderr)
    threads = max(1, cores() // workers) if workers else 1
    settings = head_settings(args, len(dataset.of("train")))
    parts = cache_folder(cache, backbone)
    storage.make_folder(parts)
    wanted = {entry.key for entry in dataset.entries}
    cached = len(wanted & cached_keys(parts))
    if cached < len(wanted):
        progress = Counted(f"features of {spec.name}", "pictures", len(wanted))
        with watching(progress), beam.Pipeline(options=options) as pipeline:
            pipeline | "Features" >> ExtractFeatures(
                dataset.uri, spec, parts, args.feature_batch, threads, args.accelerator
            )
    missing = wanted - cached_keys(parts)
    if missing:
        raise TrainingError(
            f"{parts}: {number(len(missing), 'picture has', 'pictures have')} no features; run the command again"
        )
    bar = Counted("training the head", "steps", getattr(settings, "steps", 1))
    with bar:
        metrics = train(
            dataset,
            backbone,
            parts,
            args.output,
            settings,
            args.min_pictures,
            cache_place() / "unfinished",
            {"computed": len(wanted) - cached, "cached": cached},
            args.refit,
            old,
            {source for source, split in settled.items() if split == "train"},
            PipelineOptions(runner="FnApiRunner"),
            bar.set,
        )
    page = storage.join(args.output, REPORT, "report.html")
    print(f"{args.output}: {len(metrics['vocabulary'])} tags; report in {page}")
    for split in ("validation", "test"):
        part = metrics["splits"][split]
        if part["pictures"]:
            print(f"{split}: top-1 {part['top1']:.3f}, top-3 {part['top3']:.3f} ({part['pictures']} pictures)")
        else:
            print(f"{split}: no pictures: too few sources to hold one out; --split-by random holds out single pictures")
    if metrics.get("grown", {}).get("pictures"):
        grown = metrics["grown"]
        print(
            f"old tags, on {grown['pictures']} test pictures: top-1 {grown['old_model']['top1']:.3f} before, "
            f"{grown['new_model']['top1']:.3f} now; {grown['taken_by_new_tags']} now given a new tag first"
        )
    for caution in metrics["cautions"]:
        print(f"do not trust: {caution}", file=sys.stderr)
    return DONE


def head_settings(args: argparse.Namespace, training_pictures: int) -> HeadSettings | MultiLabelSettings:
    """The preset with whatever was asked for in its place; epochs become steps.

    Raises:
        TrainingError: something was asked for that the head does not have.
    """
    kind = args.head or ("softmax" if args.preset == "paper" else "sigmoid")
    mine, other = (HeadSettings, MultiLabelSettings)[:: 1 if kind == "softmax" else -1]
    names = {field.name for field in dataclasses.fields(mine)}
    foreign = ({field.name for field in dataclasses.fields(other)} | {"epochs"}) - names
    foreign -= {"epochs"} if kind == "softmax" else set()
    for name in sorted(foreign):
        if getattr(args, name, None) is not None:
            raise TrainingError(
                f"--{name.replace('_', '-')}: a {kind} head has no such number; choose the other --head"
            )
    given = {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}
    if kind == "sigmoid":
        return MultiLabelSettings(**given)
    settings = dataclasses.replace(PAPER if args.preset == "paper" else HeadSettings(), **given)
    if args.epochs is not None:
        steps = math.ceil(args.epochs * training_pictures / settings.batch_size)
        settings = dataclasses.replace(settings, steps=max(1, steps))
    return settings


def backbone_of(args: argparse.Namespace) -> tuple[str, str | None, int | None]:
    """(name, weights, size), as asked for; the paper's where the paper's preset is."""
    if args.preset == "paper":
        return args.backbone or "inception_v3", args.weights, args.size or 299
    return args.backbone or COMPACT, args.weights, args.size
