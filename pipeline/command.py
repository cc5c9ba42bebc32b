"""The command line `movie-tags`."""

from __future__ import annotations

import os
import sys

# Before TensorFlow, gRPC and Beam are imported: their start-up remarks mean nothing to a user.
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "GRPC_VERBOSITY": "NONE",
    "ABSL_MIN_LOG_LEVEL": "3",
    "PYTHONWARNINGS": "ignore",
    "OPENCV_LOG_LEVEL": "OFF",
}
if "--verbose" not in sys.argv:
    for _name, _value in QUIET.items():
        os.environ.setdefault(_name, _value)

import argparse  # noqa: E402
import atexit  # noqa: E402
import dataclasses  # noqa: E402
import itertools  # noqa: E402
import json  # noqa: E402
import logging  # noqa: E402
import platform  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import traceback  # noqa: E402
from collections.abc import Iterator, Sequence  # noqa: E402
from importlib.metadata import version  # noqa: E402

import apache_beam as beam  # noqa: E402
import cv2  # noqa: E402
from apache_beam.io.filesystems import FileSystems  # noqa: E402
from rich.console import Console  # noqa: E402

from movie_tags.pipeline.catalogue import InputError, ReadInputs, expand, is_catalogue  # noqa: E402
from movie_tags.pipeline.options import cores, local_options, parse  # noqa: E402
from movie_tags.pipeline.progress import RunProgress, print_tags, watching  # noqa: E402
from movie_tags.pipeline.results import OutputError, PublishTables, WriteTables, discard, prepare, publish  # noqa: E402
from movie_tags.pipeline.tag_movies import TagMovies, TagSettings  # noqa: E402
from movie_tags.transforms.bundle import BundleError, ModelBundle, read_bundle  # noqa: E402
from movie_tags.transforms.storage import plainly  # noqa: E402
from movie_tags.transforms.tagging import UNIT, load_saved_model, predict, top_tags  # noqa: E402

ALL_TAGGED, RUN_FAILED, WRONG_USAGE, SOME_FAILED = 0, 1, 2, 3
SHOWN_ROWS = 50
VERSIONS = ("movie-tags", "apache-beam", "tensorflow", "av", "opencv-python-headless", "numpy")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status."""
    args, beam_words = parse(sys.argv[1:] if argv is None else list(argv))
    logging.basicConfig(level=logging.INFO if args.verbose else logging.CRITICAL, force=True)
    try:
        if args.command == "frame":
            return tag_pictures(args)
        if args.command == "tag":
            return tag(args, beam_words)
        return learn(args, beam_words)
    except (InputError, OutputError, BundleError) as error:
        print(f"movie-tags: {error}", file=sys.stderr)
        return WRONG_USAGE
    except KeyboardInterrupt:
        kept = "the same command goes on from what is done" if args.command == "train" else "no results were written"
        print(f"movie-tags: interrupted; {kept}", file=sys.stderr)
        return RUN_FAILED


def learn(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    """`movie-tags dataset`, `train` and `evaluate`."""
    try:
        from movie_tags.pipeline import training_commands as commands  # TensorFlow and more: only those who train pay
    except ModuleNotFoundError as error:
        print(f"movie-tags: training needs the package {error.name}: pip install 'movie-tags[train]'", file=sys.stderr)
        return WRONG_USAGE
    command = {"dataset": commands.make_dataset, "train": commands.train_model, "evaluate": commands.evaluate}
    try:
        return command[args.command](args, beam_words)
    except commands.USER_ERRORS as error:
        print(f"movie-tags: {error}", file=sys.stderr)
        return WRONG_USAGE
    except BundleError:
        raise
    except Exception as error:
        if args.verbose:
            traceback.print_exc()
        print(f"movie-tags: the run failed: {last_line(error)} (--verbose shows more)", file=sys.stderr)
        return RUN_FAILED


def tag(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    """`movie-tags tag`: everything that can be checked first is, then one pipeline runs."""
    begun = time.time()
    bundle = read_bundle(args.model)
    for uri in args.inputs:
        check_input(uri)
    try:
        options, workers = local_options(beam_words)
    except ValueError as error:
        raise InputError(str(error)) from error
    staging = prepare(args.output, args.overwrite)
    settings = TagSettings(
        threads=max(1, cores() // workers) if workers else 1,
        **{f.name: getattr(args, f.name) for f in dataclasses.fields(TagSettings) if f.name != "threads"},
    )
    console = Console(stderr=True)
    progress = RunProgress(console)
    try:
        with watching(progress, args.verbose):
            pipeline = build(args.inputs, bundle, settings, options, staging, single_file=workers > 0)
            result = pipeline.run()
            result.wait_until_finish()
        # Beam's local runner raises on failure; remote ones say so in their state.
        if result.state not in (None, "DONE"):
            raise RuntimeError(f"the runner ended in the state {result.state}")
        counts = read_counters(result)
        summary = {
            "options": {**vars(args), "beam": list(beam_words)},
            "settings": dataclasses.asdict(settings),
            "model": {"uri": bundle.uri, "fingerprint": bundle.fingerprint, "vocabulary": bundle.vocabulary},
            "versions": {**{name: version(name) for name in VERSIONS}, "python": platform.python_version()},
            "counts": counts,
            "wall_s": round(time.time() - begun, 3),
        }
        publish(staging, args.output, summary)
    except KeyboardInterrupt:
        discard(staging)
        raise
    except Exception as error:
        discard(staging)
        if args.verbose:
            traceback.print_exc()
        print(f"movie-tags: the run failed: {last_line(error)} (--verbose shows more)", file=sys.stderr)
        return RUN_FAILED
    console.print(progress.text(), highlight=False, soft_wrap=True)
    shown = list(itertools.islice(read_table(args.output, "tags"), SHOWN_ROWS))
    print_tags(Console(), shown)
    failed = sum(1 for _ in read_table(args.output, "errors"))
    if counts.get("videos_tagged", 0) > len(shown):
        console.print(f"… and more, in {args.output}")
    if failed:
        print(f"movie-tags: {failed} failed; the reasons are in {args.output}/errors.jsonl", file=sys.stderr)
        return SOME_FAILED
    return ALL_TAGGED


def last_line(error: Exception) -> str:
    """The line of an error that says most: of a worker's traceback the last."""
    if isinstance(error, OSError):
        return plainly(error)
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)


def build(
    inputs: Sequence[str],
    bundle: ModelBundle,
    settings: TagSettings,
    options,
    staging: str,
    single_file: bool,
    publishing: PublishTables | None = None,
) -> beam.Pipeline:
    """The whole run as a pipeline, not yet started; with `publishing` the job puts its results in place itself."""
    pipeline = beam.Pipeline(options=options)
    read = pipeline | "ReadInputs" >> ReadInputs(inputs)
    tables = read.videos | "TagMovies" >> TagMovies(bundle, settings)
    tables["errors"] = [tables["errors"], read[ReadInputs.FAILED]] | "AllErrors" >> beam.Flatten()
    written = tables | "WriteTables" >> WriteTables(staging, single_file)
    if publishing:
        {**tables, "written": written} | "PublishTables" >> publishing
    return pipeline


def check_input(uri: str) -> None:
    """Refuse an input that names nothing before any work is done.

    Raises:
        InputError: there is no such file, or nothing to tag in it.
    """
    if next(iter(expand(uri)), None) is None:
        what = "the catalogue has no rows" if is_catalogue(uri) else "nothing to tag"
        raise InputError(f"{uri}: {what}")


def read_counters(result: beam.runners.runner.PipelineResult) -> dict[str, int]:
    """The run's counters by name."""
    totals: dict[str, int] = {}
    for counter in result.metrics().query()["counters"]:  # a step that stands twice in the graph counts twice over
        if counter.key.metric.namespace in COUNTER_NAMESPACES:
            name = counter.key.metric.name
            totals[name] = totals.get(name, 0) + counter.result
    return totals


COUNTER_NAMESPACES = frozenset({"catalogue", "sampling", "shots", "entropy", "tagging", "results"})


def read_table(output: str, name: str) -> Iterator[dict]:
    """The rows of a table of results, of one file or several."""
    entries = FileSystems.match([FileSystems.join(output, f"{name}*.jsonl")])[0].metadata_list
    for entry in sorted(entries, key=lambda entry: entry.path):
        with FileSystems.open(entry.path, "text/plain", "uncompressed") as stream:
            yield from (json.loads(line) for line in stream)


def tag_pictures(args: argparse.Namespace) -> int:
    """`movie-tags frame`: the top tags of single pictures, as in the paper's Table 2."""
    bundle = read_bundle(args.model)
    model = load_saved_model(bundle.saved_model_uri, bundle.fingerprint, cores())
    failed = 0
    for path in args.images:
        picture = cv2.imread(path, cv2.IMREAD_COLOR)
        result = "no picture that can be read" if picture is None else None
        if picture is not None:
            (result,) = predict(model, [cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)], bundle.input_size)
        if isinstance(result, str):
            failed += 1
            print(f"movie-tags: {path}: {result}", file=sys.stderr)
            continue
        tags = top_tags(result, bundle.vocabulary, args.top_k)
        print(f"{path}: " + ", ".join(f"{name} {millionths / UNIT:.3f}" for name, millionths in tags))
    return SOME_FAILED if failed else ALL_TAGGED


def run() -> None:
    """The console command."""
    if "--verbose" not in sys.argv:
        threading.excepthook = lambda _: None  # an interrupted runner's threads have nothing to tell a user
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Beam's Flink runner ends its job server, a process of Java, in an exit handler.
    if sys.argv[1:2] in (["tag"], ["dataset"]):  # not after tensorflow-transform, which may crash there
        atexit._run_exitfuncs()
    # TensorFlow and Beam may crash while the interpreter takes them down; the status must not depend on that.
    os._exit(status)


if __name__ == "__main__":
    run()
