"""Worker processes forked from a warm parent: they have the driver's environment of the day."""

import json
import os

import apache_beam as beam
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
