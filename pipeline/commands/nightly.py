"""The command for every night: the command line by which a folder of results was tagged, by other models."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import asdict, fields

from movie_tags.pipeline.commands import tag
from movie_tags.pipeline.method import Method, Work
from movie_tags.results.reading import FORMATS
from movie_tags.results.run_records import RunRecord
from movie_tags.transforms.video.limits import Limits

WORK_OPTIONS = {
    "segment_length": "--segment-length",
    "batch_size": "--batch-size",
    "accelerator": "--accelerator",
    "memory_gb": "--decoder-memory",
    "cpu_s": "--decoder-cpu",
    "wall_s": "--decoder-wait",
}
"""Of `Work` and `Limits`."""


def tag_command(done: RunRecord, results: str, models: Sequence[str]) -> str:
    """The command that tags as a run did, by other models.

    Options that no record has are not in it: --report, --metrics-file, --part-size, --max-attempts, --storage-wait.

    Args:
        done: the run; of one that tagged anew what is kept, the work is that of the last `movie-tags tag`.
        results: the folder of results.
        models: names or folders of bundles.
    """
    work = done.work_of_tag
    words = [*(done.inputs or ["CATALOGUE"]), "--output", results, *method_words(done.method)]
    for model in models:
        words += ["--model", model]
    if done.format != FORMATS[0]:
        words += ["--format", done.format]
    if work.get("all_videos"):
        words.append("--all-videos")
    kept, expected = work.get("thumbnails") is not None, bool(work.get("workers", 1))
    if kept != expected:
        words.append("--thumbnails" if kept else "--no-thumbnails")
    return shlex.join(["movie-tags", "tag", *words, *work_words(work), *work.get("beam", [])])


def work_words(work: dict) -> list[str]:
    """The options of `movie-tags tag` that ask for the work to be done in a way.

    Args:
        work: of a run, by names of `Work`; where it names none, that is as by default.
    """
    usual = {**asdict(Work()), **asdict(Limits())}
    limits = work.get("limits", {})
    given = {**usual, **work, **(limits or {})}
    words = ["--in-process"] if limits is None else []
    if not work.get("features", True):
        words.append("--no-features")
    for name, option in WORK_OPTIONS.items():
        if given[name] != usual[name]:
            words += [option, str(given[name]).removesuffix(".0")]
    return words


def method_words(numbers: dict) -> list[str]:
    """The options of `movie-tags tag` that ask for a method.

    Args:
        numbers: of a `Method`, by name.
    """
    parser = argparse.ArgumentParser()
    tag.add_options(parser)
    method = Method(**numbers)
    paper = method.min_confidence is None and method.min_probability is not None
    base = Method(
        detector=method.detector,
        **({"min_confidence": None, "min_probability": 0.0} if paper else {}),  # type: ignore[arg-type]
    )
    words = ["--preset", "paper"] if paper else []
    given, implied = asdict(method), asdict(base)
    options = {action.dest: action for action in parser._actions if action.option_strings}
    for field in fields(Method):
        value, action = given[field.name], options[field.name]
        if value is True and not implied[field.name]:
            words.append(action.option_strings[-1])
        elif value not in (implied[field.name], None) or (field.name == "detector" and value != tag.METHOD.detector):
            words += [action.option_strings[-1], str(value)]
    return words
