"""Features: the pictures of a data set -> what a frozen backbone says of each, computed once and kept.

The cache is a folder of parts, CACHE/BACKBONE/part-*.npz, each with the keys of some pictures and their features. A
part is written as soon as it is full, so an interrupted run loses no more than the pictures in hand.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference

from movie_tags import storage
from movie_tags.models.backbones.specs import Backbone, BackboneSpec, load_backbone
from movie_tags.models.views import View, lay_out
from movie_tags.progress import report_progress
from movie_tags.training.data.dataset import SPLITS, Dataset
from movie_tags.training.data.examples import from_example
from movie_tags.training.data.frames import pixels_of

PART = 64
READERS = 32


def cache_folder(cache: str, backbone: Backbone) -> str:
    """Where a backbone's features are kept: other weights or another size have another folder."""
    spec = backbone.spec
    return storage.join(cache, f"{spec.slug}-{'x'.join(map(str, spec.size))}-{backbone.fingerprint[:16]}")


def list_parts(folder: str) -> list[str]:
    return storage.list_folder(folder, "part-*.npz")


def read_part(path: str) -> tuple[np.ndarray, np.ndarray]:
    """The keys (hex, [n]) and the features, float32 [n, width], of a part."""
    with storage.open_stream(path) as stream:
        part = np.load(io.BytesIO(stream.read()))
    return part["keys"], part["features"]


def cached_keys(folder: str) -> frozenset[str]:
    """The keys of the pictures whose features are kept already."""
    return frozenset(str(key) for path in list_parts(folder) for key in read_part(path)[0])


def read_features(folder: str, keys: Sequence[str]) -> np.ndarray:
    """The features of pictures, float32 [n, width], in the order of their keys.

    Raises:
        KeyError: the cache lacks one of them.
    """
    wanted, rows = set(keys), {}
    for path in list_parts(folder):
        for key, row in zip(*read_part(path), strict=True):
            if str(key) in wanted:
                rows[str(key)] = row
    return np.stack([rows[key] for key in keys])


class BackboneHandler(ModelHandler[np.ndarray, np.ndarray, Callable]):
    """Runs a backbone on canvases uint8 RGB [*size, 3]; a picture's result is float32 [width]."""

    def __init__(self, spec: BackboneSpec, batch_size: int = 32, threads: int = 1):
        """Args: the backbone; pictures a batch; TensorFlow's threads in a process."""
        super().__init__()
        self.spec = spec
        self.batch_size = batch_size
        self.threads = threads

    def load_model(self) -> Callable:
        backbone = load_backbone(self.spec, self.threads)
        compute = tf.function(
            lambda pictures: backbone.compute(tf.cast(pictures, tf.float32)),
            input_signature=[tf.TensorSpec([None, *self.spec.size, 3], tf.uint8)],
        )
        return lambda pictures: compute(pictures).numpy()

    def run_inference(
        self, batch: Sequence[np.ndarray], model: Callable, inference_args: dict[str, Any] | None = None
    ) -> Iterable[np.ndarray]:
        return list(model(np.stack(batch)))

    def batch_elements_kwargs(self) -> dict[str, int]:
        return {"min_batch_size": self.batch_size, "max_batch_size": self.batch_size}

    def get_metrics_namespace(self) -> str:
        return "features"


class ExtractFeatures(beam.PTransform):
    """The pictures of a data set whose features are not kept yet -> parts in the cache, through RunInference."""

    def __init__(
        self,
        dataset: str,
        spec: BackboneSpec,
        folder: str,
        batch_size: int = 32,
        threads: int = 1,
        accelerator: str | None = None,
    ):
        super().__init__()
        self.dataset = dataset
        self.folder = folder
        self.handler = BackboneHandler(spec, batch_size, threads)
        self.accelerator = accelerator

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        shards = [path for split in SPLITS for path in storage.list_folder(self.dataset, f"{split}-*.tfrecord")]
        # Few shards would leave workers idle: several read the same one, and each takes some of its pictures.
        readers = max(1, -(-READERS // max(1, len(shards))))
        inference = RunInference(KeyedModelHandler(self.handler))
        if self.accelerator:
            inference = inference.with_resource_hints(accelerator=self.accelerator)
        return (
            root
            | "Shards" >> beam.Create([(path, i, readers) for path in shards for i in range(readers)], reshuffle=False)
            | "SpreadShards" >> beam.Reshuffle()
            | "ReadPictures" >> beam.ParDo(_ReadPictures(self.folder, self.handler.spec.views))
            | "RunInference" >> inference
            | "WriteParts" >> beam.ParDo(_WriteParts(self.folder))
        )


class _ReadPictures(beam.DoFn):
    """(shard, i, n) -> (key, canvas of views) of every n-th picture of the shard whose features are not kept."""

    def __init__(self, folder: str, views: Sequence[View]):
        self.folder = folder
        self.views = views
        self.cached = Metrics.counter("features", "pictures_cached")

    def setup(self) -> None:
        self.done = cached_keys(self.folder)

    def process(self, element: tuple[str, int, int]) -> Iterator[tuple[str, np.ndarray]]:
        path, first, step = element
        for number, data in enumerate(read_records(path)):
            if number % step != first:
                continue
            item = from_example(data)
            if item.key in self.done:
                self.cached.inc()
                report_progress(pictures=1)
                continue
            yield item.key, lay_out(pixels_of(item.image), self.views)


def read_records(path: str) -> Iterator[bytes]:
    """The records of a TFRecord file, local or remote."""
    from apache_beam.io.tfrecordio import _TFRecordUtil  # Beam's public transform cannot be given part of a file

    with storage.open_stream(path) as stream:
        while (record := _TFRecordUtil.read_record(stream)) is not None:
            yield record


def read_pictures(
    dataset: Dataset, wanted: Collection[str], batch: int
) -> Iterator[tuple[list[str], list[np.ndarray]]]:
    """Pictures of a data set, so many at a time: their keys, and uint8 RGB pixels [H, W, 3].

    Args:
        dataset: the data set.
        wanted: the keys of the pictures.
        batch: how many at a time.
    """
    keys: list[str] = []
    pictures: list[np.ndarray] = []
    for split in SPLITS:
        for path in storage.list_folder(dataset.uri, f"{split}-*.tfrecord"):
            for item in map(from_example, read_records(path)):
                if item.key in wanted:
                    keys.append(item.key)
                    pictures.append(pixels_of(item.image))
                if len(keys) == batch:
                    yield keys, pictures
                    keys, pictures = [], []
    if keys:
        yield keys, pictures


class _WriteParts(beam.DoFn):
    """(key, features) -> parts of up to PART pictures; gives the part's address and its number of pictures."""

    def __init__(self, folder: str):
        self.folder = folder
        self.computed = Metrics.counter("features", "pictures_computed")

    def start_bundle(self) -> None:
        self.rows: list[tuple[str, np.ndarray]] = []

    def process(self, element: tuple[str, np.ndarray]) -> Iterator[tuple[str, int]]:
        self.rows.append(element)
        if len(self.rows) == PART:
            yield self._write()

    def finish_bundle(self) -> Iterator:
        if self.rows:
            written = self._write()
            yield beam.utils.windowed_value.WindowedValue(written, 0, [beam.transforms.window.GlobalWindow()])

    def _write(self) -> tuple[str, int]:
        written = write_part(self.folder, [key for key, _ in self.rows], np.stack([row for _, row in self.rows]))
        self.computed.inc(len(self.rows))
        report_progress(pictures=len(self.rows))
        count, self.rows = len(self.rows), []
        return written, count


def write_part(folder: str, keys: Collection[str], features: np.ndarray) -> str:
    """Keep some pictures' features; written whole or not at all, under a name that depends on the keys alone."""
    name = hashlib.sha256("".join(keys).encode()).hexdigest()[:24]
    data = io.BytesIO()
    np.savez(data, keys=np.array(list(keys)), features=features.astype(np.float32))
    path = storage.join(folder, f"part-{name}.npz")
    storage.write_bytes(path, data.getvalue())
    return path
