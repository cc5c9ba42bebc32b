"""`movie-tags search --like` and `--words`: what is looked for among key frames, and what is printed of those found."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from collections.abc import Sequence

import numpy as np
from rich.table import Table
from rich.text import Text

from movie_tags.errors import UserError
from movie_tags.machine import cores
from movie_tags.models.ensemble import predict_with, read_models
from movie_tags.models.views import read_picture
from movie_tags.report.alike import Alike, Features, Looks
from movie_tags.report.by_words import Described, embeddings_of, find_words, texts_of
from movie_tags.report.phrases import clock, number, percent, timecode
from movie_tags.results.expressions import parse
from movie_tags.results.folder import ResultsFolder

_AT = re.compile(r"(?P<film>.+)@(?:(?:(?P<hours>\d+):)?(?P<minutes>\d+):)?(?P<seconds>\d+(?:\.\d+)?)\Z", re.DOTALL)


def place_of(like: str) -> tuple[str, float] | None:
    """A film's name and seconds of FILM@12:34, FILM@1:02:03.5 or FILM@83; None of what is no such place."""
    found = _AT.match(like)
    if found is None:
        return None
    hours, minutes, seconds = (float(found[name] or 0) for name in ("hours", "minutes", "seconds"))
    return found["film"], 3600 * hours + 60 * minutes + seconds


def find_alike(folder: str, like: str, limit: int) -> list[Alike]:
    """The key frames of a folder of results that look most like a place in a film, or a picture; the nearest first.

    Raises:
        UserError: there is no such film or picture, or its features or the catalogue's cannot be had.
    """
    features = Features(folder, _tell)
    looks = looks_of(features, like)
    _tell_others(features, looks.seen_key)
    return features.nearest(looks, limit)


def find_by_words(folder: str, text: str, limit: int, least: float | None = None) -> list[Described]:
    """The key frames of a folder of results that fit words; the most probable first. Args: as of `find_words`.

    Raises:
        UserError: the text cannot be understood, or the words or the catalogue's features cannot be had.
    """
    texts = texts_of(parse(text))  # a slip of the pen is told before anything is loaded
    of = embeddings_of(ResultsFolder(folder))
    features = Features(folder, _tell)
    _tell_others(features, of.seen_key)
    words = of.load()
    for one in words.encoder.too_long(texts):
        _tell(
            f"{one}: is longer than the model reads ({words.encoder.settings.context} tokens): its end is passed over"
        )
    return find_words(features, of, words, text, limit, least)


def _tell(text: str) -> None:
    print(f"movie-tags: {text}", file=sys.stderr)


def _tell_others(features: Features, seen_key: str) -> None:
    others = features.seen_otherwise(seen_key)
    if others:
        said = number(others, "film was", "films were")
        _tell(f"{said} seen by another model or method and cannot be compared: left out")


def looks_of(features: Features, like: str) -> Looks:
    """What a place in a film, or the picture of a file, looks like. Raises: as of `find_alike`."""
    place = place_of(like)
    if place is not None and not os.path.isfile(like):
        return features.looks_at(*place)
    picture = read_picture(like)
    if picture is None:
        raise UserError(
            f"{like}: is no picture that can be read, and no place in a film; give FILM@12:34 or the file of a picture"
        )
    return looks_of_picture(features.results, picture, like)


def looks_of_picture(results: ResultsFolder, picture: np.ndarray, name: str) -> Looks:
    """What a picture, uint8 RGB [H, W, 3], looks like to the model of the last run.

    Raises:
        UserError: the run kept no features, or its model is gone, another by now, or tells none.
    """
    run = results.last_run
    if run is None or not run.seen_key:
        raise UserError(
            f"{results}: the last run kept no features, by which a picture is compared; tag anew with --features, or "
            "give --like FILM@12:34 of a film whose features are kept"
        )
    models = read_models([bundle["uri"] for bundle in run.model.get("bundles", ())])
    if models.fingerprint != run.model.get("fingerprint"):
        raise UserError(f"{models.name}: is not the model that it was at the last run; tag anew, then search")
    (found,) = predict_with(models.load(cores()), [models.fitted(picture)])
    if found.reason or found.features is None:
        raise UserError(f"{name}: cannot be compared ({found.reason or f'the model {models.name} tells no features'})")
    return Looks(np.asarray(found.features, np.float32), run.seen_key)


def as_line(one: Alike | Described) -> str:
    """A line of JSON."""
    times = {name: clock(getattr(one, f"{name}_s")) for name in ("time", "start", "end")}
    said = dataclasses.asdict(one)
    rounded = {name: float(f"{said[name]:.6g}") for name in ("similarity", "probability") if name in said}
    return json.dumps({**said, **rounded, **times}, ensure_ascii=False)


def table_of(found: Sequence[Alike | Described]) -> Table:
    """A row each: how alike or how probable, its time and its shot, the film."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for one in found:
        much = (
            f"similarity {one.similarity:.3f}" if isinstance(one, Alike) else f"probability {percent(one.probability)}"
        )
        shot = f"shot {timecode(one.start_s)} to {timecode(one.end_s)}"
        table.add_row(*map(Text, (much, timecode(one.time_s), shot, one.title)))
    return table
