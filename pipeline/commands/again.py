"""The command line by which a folder of results is tagged, now and every night."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import asdict, fields

from movie_tags.pipeline.commands import tag
from movie_tags.pipeline.method import Method
from movie_tags.results.reading import FORMATS
from movie_tags.results.run_records import RunRecord


def tag_command(done: RunRecord, results: str, models: Sequence[str]) -> str:
    """The command that tags as a run did, by other models.

    Args:
        done: the run.
        results: the folder of results.
        models: names or folders of bundles.
    """
    words = [*(done.inputs or ["CATALOGUE"]), "--output", results, *method_words(done.method)]
    for model in models:
        words += ["--model", model]
    if done.format != FORMATS[0]:
        words += ["--format", done.format]
    if done.work.get("all_videos"):
        words.append("--all-videos")
    kept, expected = done.work.get("thumbnails") is not None, bool(done.work.get("workers", 1))
    if kept != expected:
        words.append("--thumbnails" if kept else "--no-thumbnails")
    return shlex.join(["movie-tags", "tag", *words, *done.work.get("beam", [])])


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
