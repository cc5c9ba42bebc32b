"""The recipe of the default model on a backbone that a user brings: a CLIP or SigLIP, or any that `train` takes."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import numpy as np

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.machine import cores
from movie_tags.models.backbones.specs import Backbone, load_backbone, make_spec
from movie_tags.models.bundle import MODEL_JSON
from movie_tags.models.heads import PLAIN, LinearHead
from movie_tags.models.sources import CONCAT
from movie_tags.pipeline.beam.options import local_options
from movie_tags.training.data.dataset import Dataset
from movie_tags.training.export import write_bundle_of
from movie_tags.training.extracting import ExtractFeatures, cache_folder, cached_keys, read_features
from movie_tags.training.train import described


def brought(name: str, output: Path) -> Backbone:
    """A backbone, as `movie-tags train --backbone` names it.

    Raises:
        UserError: there is none of that name, or it cannot be loaded, or `output` holds a model.
    """
    if (output / MODEL_JSON).exists():
        raise UserError(f"{output}: holds a model already; choose another folder")
    return load_backbone(make_spec(name), cores())


def spec_of(backbone: Backbone) -> dict:
    """As an entry of `default_model.FEATURES`: which features the head takes."""
    views = [
        {"backbone": backbone.spec.slug, "view": view.cut, "size": list(view.size)} for view in backbone.spec.views
    ]
    return {"views": views, "combine": CONCAT, "scales": [PLAIN]}


def card_of(backbone: Backbone) -> dict:
    """What `model.json` says of it."""
    name = storage.base_name(backbone.spec.name)
    return {"name": f"movie-tags, a head on {name}", "backbone": described(backbone)}


def features_on(dataset: Dataset, backbone: Backbone, work: Path) -> np.ndarray:
    """The features of every picture, float32 [N, width], in the order of the entries; kept in `work`."""
    parts, keys = cache_folder(str(work), backbone), [entry.key for entry in dataset.entries]
    storage.make_folder(parts)
    if set(keys) - cached_keys(parts):
        with beam.Pipeline(options=local_options([])[0]) as pipeline:
            pipeline | "Features" >> ExtractFeatures(dataset.uri, backbone.spec, parts)
    return read_features(parts, keys)


def write_brought(
    folder: Path, backbone: Backbone, kernel: np.ndarray, bias: np.ndarray, vocabulary: tuple[str, ...], card: dict
) -> None:
    """Write the bundle of a head, kernel [width, tags] and bias [tags], on a backbone."""
    head = LinearHead(kernel.astype(np.float32), bias.astype(np.float32), (backbone.width,))
    write_bundle_of(folder, backbone, head, vocabulary, card)
