"""Worker processes forked from a warm parent: their environment, and how they share work."""

import json
import os
import time
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions

from movie_tags.pipeline.beam.local_workers import forking_runner

NAME, OTHER = "MOVIE_TAGS_TEST_OF_WORKERS", "MOVIE_TAGS_TEST_GONE"


def environment_of_a_worker(path):
    options = PipelineOptions(["--direct_num_workers", "2"])
    with beam.Pipeline(runner=forking_runner(options), options=options) as pipeline:
        found = (
            pipeline
            | beam.Create([None])
            | beam.Map(lambda _: (os.getpid(), os.environ.get(NAME), OTHER in os.environ))
        )
        _ = found | beam.Map(json.dumps) | beam.io.WriteToText(str(path), shard_name_template="")
    return json.loads(path.read_text())


def test_workers_have_the_environment_of_today(monkeypatch, tmp_path):
    monkeypatch.setenv(OTHER, "here")
    first = environment_of_a_worker(tmp_path / "first")
    assert first[1:] == [None, True]
    # By now there is a fork server, with the environment of then.
    monkeypatch.setenv(NAME, "today")
    monkeypatch.delenv(OTHER)
    second = environment_of_a_worker(tmp_path / "second")
    assert second[1:] == ["today", False]
    assert os.getpid() not in (first[0], second[0])


class Work(beam.DoFn):
    """Number -> number, written to a folder; 0 first waits until as many others as that are there."""

    def __init__(self, folder: str, others: int):
        self.folder, self.others = Path(folder), others
        self.bundles, self.elements = Metrics.counter("test", "bundles"), Metrics.counter("test", "elements")

    def start_bundle(self):
        self.bundles.inc()

    def process(self, number):
        if number is None:
            raise ValueError("bad element")
        self.elements.inc()
        give_up = time.monotonic() + 60
        while number == 0 and len(os.listdir(self.folder)) < self.others:
            if time.monotonic() > give_up:
                raise TimeoutError(f"only {len(os.listdir(self.folder))} others are done")
            time.sleep(0.01)
        (self.folder / str(number)).touch()
        yield number


def shared_out(numbers, others, tmp_path, name):
    """Two workers at it; returns the numbers that came back, and what was counted."""
    folder = tmp_path / f"{name} done"
    folder.mkdir()
    options = PipelineOptions(["--direct_num_workers", "2"])
    pipeline = beam.Pipeline(runner=forking_runner(options), options=options)
    done = pipeline | beam.Create(numbers) | name >> beam.Reshuffle() | beam.ParDo(Work(str(folder), others))
    _ = done | beam.Map(json.dumps) | beam.io.WriteToText(str(tmp_path / name), shard_name_template="")
    found = pipeline.run().metrics().query()["counters"]
    counted = {c.key.metric.name: c.committed for c in found if c.key.metric.namespace == "test"}
    return sorted(json.loads(line) for line in (tmp_path / name).read_text().splitlines()), counted


def test_who_is_done_takes_the_next_small_bundle(tmp_path):
    # One is not done before all others are, but for the one that is in its bundle: the other worker must do them.
    done, counted = shared_out(range(61), 59, tmp_path, "Spread")
    assert done == list(range(61)) and counted == {"elements": 61, "bundles": 32}
    few, counted = shared_out(range(1, 4), 0, tmp_path, "Other")
    assert few == [1, 2, 3] and counted == {"elements": 3, "bundles": 2}


def test_a_bundle_that_fails_fails_the_run(tmp_path):
    with pytest.raises(RuntimeError, match="bad element"):
        shared_out([*range(1, 40), None], 0, tmp_path, "Spread")
