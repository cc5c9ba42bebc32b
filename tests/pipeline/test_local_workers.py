"""Worker processes forked from a warm parent: their environment, and how they share work."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions

from movie_tags.pipeline.beam import local_workers
from movie_tags.pipeline.beam.local_workers import forking_runner
from movie_tags.pipeline.beam.options import local_options

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


@pytest.fixture
def other_beam(monkeypatch, caplog):
    local_workers._forked.cache_clear()
    monkeypatch.setattr(local_workers, "version", lambda name: "2.99.0")
    yield caplog
    local_workers._forked.cache_clear()


def test_with_another_version_of_beam_its_own_workers_do_the_work_with_one_warning(other_beam, tmp_path):
    options = local_options(["--direct_num_workers=2"])[0]
    assert local_workers.forking_runner(options) is None
    with beam.Pipeline(runner=local_workers.forking_runner(options), options=options) as pipeline:
        pids = pipeline | beam.Create(range(4)) | beam.Map(lambda _: str(os.getpid()))
        _ = pids | beam.io.WriteToText(str(tmp_path / "pids"), shard_name_template="")
    assert str(os.getpid()) not in (tmp_path / "pids").read_text().split()
    local_workers.warm_up()
    local_workers.end_workers()
    (warning,) = [record.getMessage() for record in other_beam.records if record.name == "movie_tags"]
    assert "apache-beam 2.99.0 is not 2.77" in warning


def test_a_beam_that_lacks_the_private_parts_is_another(other_beam, monkeypatch):
    def lacking(name):
        raise ImportError("cannot import name 'worker_handlers'")

    monkeypatch.setattr(local_workers, "version", lambda name: "2.77.3")
    monkeypatch.setattr(local_workers.importlib, "import_module", lacking)
    assert local_workers.forking_runner(PipelineOptions()) is None
    assert "lacks what they need (cannot import name 'worker_handlers')" in other_beam.text


BLOCKED = """
import signal
from multiprocessing import forkserver
from movie_tags.pipeline.beam.forked_workers import warm_up
warm_up()
status = open(f"/proc/{forkserver._forkserver._forkserver_pid}/status").read().splitlines()
(mask,) = [int(line.split()[1], 16) for line in status if line.startswith("SigBlk")]
assert all(mask >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGTERM)), hex(mask)
assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the system does not say what is blocked")
def test_a_terminals_signals_do_not_reach_the_workers_parent_from_its_first_moment_on():
    subprocess.run([sys.executable, "-c", BLOCKED], check=True)
