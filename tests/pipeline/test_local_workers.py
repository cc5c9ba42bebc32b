"""Worker processes forked from a warm parent: their environment, and how they share work."""

import json
import os
import time

import apache_beam as beam
import pytest
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions

from movie_tags.pipeline.local_workers import forking_runner

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
    """(key, seconds) -> (key, process): waits so long."""

    def __init__(self):
        self.bundles, self.elements = Metrics.counter("test", "bundles"), Metrics.counter("test", "elements")

    def start_bundle(self):
        self.bundles.inc()

    def process(self, element):
        key, seconds = element
        if seconds is None:
            raise ValueError("bad element")
        self.elements.inc()
        time.sleep(seconds)
        yield key, os.getpid()


def shared_out(elements, path, name):
    options = PipelineOptions(["--direct_num_workers", "2"])
    pipeline = beam.Pipeline(runner=forking_runner(options), options=options)
    done = pipeline | beam.Create(elements) | name >> beam.Reshuffle() | beam.ParDo(Work())
    _ = done | beam.Map(json.dumps) | beam.io.WriteToText(str(path), shard_name_template="")
    result = pipeline.run()
    counted = {
        c.key.metric.name: c.committed for c in result.metrics().query()["counters"] if c.key.metric.namespace == "test"
    }
    return [json.loads(line) for line in path.read_text().splitlines()], counted


def test_who_is_done_takes_the_next_small_bundle(tmp_path):
    elements = [("long", 3.0), *((f"short {i}", 0.01) for i in range(60))]
    done, counted = shared_out(elements, tmp_path / "done", "Spread")
    assert sorted(key for key, _ in done) == sorted(key for key, _ in elements)
    assert counted == {"elements": 61, "bundles": 32}
    # Whoever has the long one does nothing beside it but what is in its bundle and in some that came before.
    assert 1 <= sum(process == dict(done)["long"] for _, process in done) < 20
    halves, counted = shared_out([("a", 0.0), ("b", 0.0), ("c", 0.0)], tmp_path / "halves", "Other")
    assert len(halves) == 3 and counted == {"elements": 3, "bundles": 2}


def test_a_bundle_that_fails_fails_the_run(tmp_path):
    with pytest.raises(RuntimeError, match="bad element"):
        shared_out([*((i, 0.0) for i in range(40)), (40, None)], tmp_path / "done", "Spread")
