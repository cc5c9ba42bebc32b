"""The commands `dataset`, `train` and `evaluate`: what a user asked for -> pipelines and functions of `training`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from movie_tags.pipeline.options import cores, local_options
from movie_tags.pipeline.progress import Counted, watching
from movie_tags.pipeline.results import discard
from movie_tags.training import dataset as data
from movie_tags.training.backbones import COMPACT, BackboneError, load_backbone, make_spec
from movie_tags.training.evaluation import (
    TableError,
    against_volunteers,
    agreement,
    opinion,
    read_predictions,
    read_ratings,
    read_suggestions,
)
from movie_tags.training.features import ExtractFeatures, cache_folder, cached_keys
from movie_tags.training.head import PAPER, HeadSettings
from movie_tags.training.labelled import (
    LabelError,
    LabelledPicture,
    LabelledVideo,
    Span,
    find_pictures,
    read_spans,
)
from movie_tags.training.report import measure
from movie_tags.training.train import REPORT, SPLIT_OF_SOURCES, TrainingError, labels_of, run_bundle, train
from movie_tags.training.vocabulary import TAGS
from movie_tags.transforms.bundle import read_bundle
from movie_tags.transforms.storage import plain_errors

USER_ERRORS = (LabelError, data.DatasetError, BackboneError, TrainingError, TableError)
DONE, SOME_DROPPED = 0, 3


def make_dataset(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    """`movie-tags dataset`."""
    options, _ = runner_options(beam_words)
    if FileSystems.exists(FileSystems.join(args.output, data.MANIFEST)) and not args.overwrite:
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
    )
    unusable = manifest["dropped"]["unusable"]
    print(f"{args.output}: " + ", ".join(f"{n} {split}" for split, n in manifest["pictures"].items()) + " pictures")
    print(f"dropped: {len(manifest['dropped']['near_duplicates'])} near-duplicates, {len(unusable)} unusable")
    if unusable:
        print(
            f"movie-tags: {len(unusable)} inputs dropped; the reasons are in {args.output}/MANIFEST.md", file=sys.stderr
        )
        return SOME_DROPPED
    return DONE


def runner_options(beam_words: Sequence[str]) -> tuple[PipelineOptions, int]:
    """As `local_options`, with wrong usage as an error of ours."""
    try:
        return local_options(beam_words)
    except ValueError as error:
        raise TrainingError(str(error)) from error


def build_dataset(
    inputs: Sequence[str],
    output: str,
    options: PipelineOptions,
    fps: float = 1,
    threshold: float = 0.5,
    min_entropy: float = 0.2,
    every: bool = False,
    split_by: str = "source",
    source_pattern: str = "(.+?)__",
    keep: dict[str, str] | None = None,
    max_distance: int = data.MAX_DISTANCE,
) -> dict:
    """Make a data set from folders of labelled pictures and tables of labelled spans; returns its manifest.

    Two passes: the first reads every input and notes a perceptual hash of each picture, the second writes the pictures
    that were chosen. Between them the driver chooses, by the hashes, sources and tags alone.
    """
    pictures: dict[LabelledPicture, None] = {}  # each once, whatever names it
    spans: dict[str, set[Span]] = {}
    passed_over: list[tuple[str, str]] = []
    for uri in inputs:
        if uri.lower().endswith(".csv"):
            for video in read_spans(uri):
                spans.setdefault(video.uri, set()).update(video.spans)
        else:
            here, ignored = find_pictures(uri, source_pattern)
            pictures.update(dict.fromkeys(here))
            passed_over += ignored
    found = [*pictures, *(LabelledVideo(uri, tuple(sorted(stretches))) for uri, stretches in spans.items())]
    staging = FileSystems.join(output, f".staging-{uuid.uuid4().hex[:12]}")
    if FileSystems.get_scheme(output) is None:
        try:
            os.makedirs(staging)
        except OSError as error:
            raise data.DatasetError(f"{output}: cannot be made a folder for a data set: {error.strerror}") from error
    try:
        progress = Counted("reading labelled inputs", "inputs", len(found))
        with watching(progress), beam.Pipeline(options=options) as pipeline:
            (
                pipeline
                | "Inputs" >> beam.Create(found, reshuffle=False)
                | "Extract" >> data.ExtractCandidates(staging, fps, threshold, min_entropy, every)
            )
        items, dropped = data.read_summaries(staging)
        dropped = sorted({*dropped, *passed_over})
        if not items:
            raise data.DatasetError(f"{output}: not one usable picture in {', '.join(inputs)}{_first(dropped)}")
        kept, same, duplicates = data.merge(items, max_distance)
        by_source = data.split_by_source(kept, keep) if split_by == "source" else {}
        entries = [
            data.Entry(
                item.id, item.key, item.source, by_source.get(item.source) or data.split_at_random(item.key), item.tags
            )
            for item in kept
        ]
        stale = [
            path
            for name in (data.MANIFEST, "MANIFEST.md", *(f"{split}-*.tfrecord" for split in data.SPLITS))
            for path in data.list_matches(FileSystems.join(output, name))
        ]
        if stale:
            FileSystems.delete(stale)
        data.write_index(FileSystems.join(output, data.INDEX), entries)
        with beam.Pipeline(options=options) as pipeline:
            pipeline | "WriteSplits" >> data.WriteSplits(staging, output)
    finally:
        discard(staging)
    manifest = data.make_manifest(
        entries,
        same,
        duplicates,
        dropped,
        {
            "inputs": list(inputs),
            "fps": fps,
            "shot_threshold": threshold,
            "min_entropy": min_entropy,
            "frames": "every sampled frame" if every else "key frames",
            "split_by": split_by,
            "source_pattern": source_pattern,
            "near_duplicate_bits": max_distance,
        },
    )
    data.write_text(FileSystems.join(output, "MANIFEST.md"), data.manifest_text(manifest))
    data.write_text(FileSystems.join(output, data.MANIFEST), json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    return manifest


def _first(dropped: Sequence[tuple[str, str]]) -> str:
    return f"; the first, {dropped[0][0]}: {dropped[0][1]}" if dropped else ""


def settled_splits(uri: str) -> dict[str, str]:
    """The split of each source in an earlier data set, or in the data that a bundle was trained on.

    Raises:
        DatasetError: neither is there, or single pictures were split.
    """
    try:
        path = FileSystems.join(uri, REPORT, SPLIT_OF_SOURCES)
        with plain_errors(), FileSystems.open(path, compression_type="uncompressed") as file:
            return json.loads(file.read())
    except OSError:
        old = data.read_dataset(uri)
    if old.manifest["made_with"]["split_by"] != "source":
        raise data.DatasetError(f"{uri}: its single pictures were split, not its sources; use --split-by random again")
    return {entry.source: entry.split for entry in old.entries}


def train_model(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    """`movie-tags train`."""
    options, workers = runner_options(beam_words)
    old = read_bundle(args.grow) if args.grow else None
    spec = make_spec(*backbone_of(args))
    backbone = load_backbone(spec, cores())  # before any work: its weights may be missing
    if FileSystems.exists(FileSystems.join(args.output, "model.json")) and not args.overwrite:
        raise TrainingError(f"{args.output}: holds a model bundle already; choose another folder, or add --overwrite")
    cache = args.cache or str(Path.home() / ".cache" / "movie-tags")
    if not workers and FileSystems.get_scheme(cache) is None:
        print(f"movie-tags: the workers must see the cache {cache}; give --cache gs://… if not", file=sys.stderr)
    settled = settled_splits(args.grow) if old and _has_splits(args.grow) else {}
    dataset = data.read_dataset(args.dataset) if _is_dataset(args.dataset) else None
    split_by = dataset.manifest["made_with"]["split_by"] if dataset else args.split_by
    old_split_by = old.card.get("training", {}).get("split_by") if old else None
    if old_split_by not in (None, split_by):
        raise TrainingError(f"{args.grow}: was trained on a split by {old_split_by}; split by that again to compare")
    if dataset is None:
        name = f"{os.path.abspath(args.dataset)} {args.split_by} {args.grow}"
        made = FileSystems.join(cache, "datasets", uuid.uuid5(uuid.NAMESPACE_URL, name).hex)
        manifest = build_dataset([args.dataset], made, options, split_by=args.split_by, keep=settled)
        unusable = len(manifest["dropped"]["unusable"])
        if unusable:
            print(f"movie-tags: {unusable} files could not be used; see {made}/MANIFEST.md", file=sys.stderr)
        dataset = data.read_dataset(made)
        print(f"made a data set of {args.dataset} in {made}", file=sys.stderr)
    threads = max(1, cores() // workers) if workers else 1
    settings = head_settings(args, len(dataset.of("train")))
    parts = cache_folder(cache, backbone)
    if FileSystems.get_scheme(parts) is None:
        os.makedirs(parts, exist_ok=True)
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
        raise TrainingError(f"{parts}: {len(missing)} pictures have no features; run the command again")
    bar = Counted("training the head", "steps", settings.steps)
    with bar:
        metrics = train(
            dataset,
            backbone,
            parts,
            args.output,
            settings,
            args.min_pictures,
            Path.home() / ".cache" / "movie-tags" / "unfinished",
            {"computed": len(wanted) - cached, "cached": cached},
            old,
            {source for source, split in settled.items() if split == "train"},
            PipelineOptions(runner="FnApiRunner"),
            bar.set,
        )
    print(f"{args.output}: {len(metrics['vocabulary'])} tags; report in {args.output}/{REPORT}/report.html")
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
    return DONE


def head_settings(args: argparse.Namespace, training_pictures: int) -> HeadSettings:
    """The preset with whatever was asked for in its place; epochs become steps."""
    names = [field.name for field in dataclasses.fields(HeadSettings)]
    given = {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}
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


def _is_dataset(uri: str) -> bool:
    return FileSystems.exists(FileSystems.join(uri, data.MANIFEST)) or FileSystems.exists(
        FileSystems.join(uri, data.INDEX)
    )


def _has_splits(bundle: str) -> bool:
    return FileSystems.exists(FileSystems.join(bundle, REPORT, SPLIT_OF_SOURCES))


def evaluate(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    """`movie-tags evaluate`: one of the four evaluations; prints JSON."""
    print(json.dumps(EVALUATIONS[args.evaluation](args), indent=2, ensure_ascii=False))
    return DONE


def evaluate_bundle(args: argparse.Namespace) -> dict:
    """A bundle on a labelled set: a data set's split, or all of a folder TAG/*.jpg."""
    bundle = read_bundle(args.model)
    if not _is_dataset(args.dataset):
        options, _ = local_options([])
        made = FileSystems.join(str(Path.home()), ".cache", "movie-tags", "datasets", uuid.uuid4().hex)
        build_dataset([args.dataset], made, options, split_by="random")
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
            discard(made)
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
    vocabulary = read_bundle(args.model).vocabulary if args.model else TAGS
    found = agreement(suggested, [*vocabulary, *sorted(said.difference(vocabulary))])
    return {name: None if value != value else value for name, value in found.items()}


EVALUATIONS = {
    "bundle": evaluate_bundle,
    "volunteers": evaluate_volunteers,
    "opinions": evaluate_opinions,
    "agreement": evaluate_agreement,
}
