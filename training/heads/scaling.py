"""What must be the same in training and in serving, by tensorflow-transform: feature scaling and the tag vocabulary."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.options.pipeline_options import PipelineOptions
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from movie_tags.training.data.dataset import INDEX, read_index
from movie_tags.training.extracting import list_parts, read_part

FEATURES, TAGS = "features", "tags"
VOCABULARY = "tags"


def preprocessing_fn(inputs: dict[str, tf.Tensor], min_pictures: int = 1) -> dict[str, tf.Tensor]:
    """Features to zero mean and unit variance each; the vocabulary of tags with their frequencies on the side."""
    tft.vocabulary(inputs[TAGS], vocab_filename=VOCABULARY, frequency_threshold=min_pictures, store_frequency=True)
    return {FEATURES: tft.scale_to_z_score(inputs[FEATURES], elementwise=True)}


def raw_metadata(width: int) -> dataset_metadata.DatasetMetadata:
    """What goes in: features float32 [width], and any number of tags."""
    spec = {FEATURES: tf.io.FixedLenFeature([width], tf.float32), TAGS: tf.io.VarLenFeature(tf.string)}
    return dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))


def analyse(
    dataset: str, parts: str, width: int, min_pictures: int, output: Path, options: PipelineOptions | None = None
) -> None:
    """Analyse the training split and write the transform graph.

    Args:
        dataset: the data set; only its split `train` is looked at.
        parts: the folder of its cached features.
        width: features a picture.
        min_pictures: tags with fewer training pictures are left out of the vocabulary.
        output: a local folder for the graph.
        options: of the Beam run.
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        tft_beam.Context(temp_dir=scratch),
        beam.Pipeline(options=options) as pipeline,
    ):
        rows = (
            pipeline
            | "Parts" >> beam.Create(list_parts(parts))
            | "TrainingRows" >> beam.ParDo(_TrainingRows(os.path.join(dataset, INDEX)))
        )
        (
            (rows, raw_metadata(width))
            | "Analyse" >> tft_beam.AnalyzeDataset(lambda inputs: preprocessing_fn(inputs, min_pictures))
            | "WriteGraph" >> tft_beam.WriteTransformFn(str(output))
        )


class _TrainingRows(beam.DoFn):
    def __init__(self, index: str):
        self.index = index

    def setup(self) -> None:
        self.tags = {entry.key: list(entry.tags) for entry in read_index(self.index) if entry.split == "train"}

    def process(self, path: str) -> Iterator[dict]:
        for key, row in zip(*read_part(path), strict=True):
            if str(key) in self.tags:
                yield {FEATURES: row, TAGS: self.tags[str(key)]}


def found_tags(graph: Path) -> dict[str, int]:
    """The tags that the analysis found, with their numbers of training pictures."""
    found = tft.TFTransformOutput(str(graph))
    rows = [line.split(b" ", 1) for line in Path(found.vocabulary_file_by_name(VOCABULARY)).read_bytes().splitlines()]
    return {tag.decode(): int(count) for count, tag in rows}


def load_scaling(graph: Path) -> tuple[Callable[[tf.Tensor], tf.Tensor], object]:
    """The graph's scaling, features [N, width] -> [N, width], and what must be kept (and saved) with it."""
    layer = tft.TFTransformOutput(str(graph)).transform_features_layer()

    def scale(features: tf.Tensor) -> tf.Tensor:
        return layer({FEATURES: features})[FEATURES]

    return scale, layer


def scale_all(graph: Path, features: np.ndarray) -> np.ndarray:
    """Scale many pictures' features: float32 [N, width]."""
    scale, _ = load_scaling(graph)
    return np.concatenate(
        [scale(tf.constant(rows)).numpy() for rows in np.array_split(features, -(-len(features) // 4096))]
    )
