"""The pipeline on a real Flink cluster of processes on this machine: `make test-flink`.

Two jobs are run: a plain one, of which several tests look at one thing each, and one that loses a task manager.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from films import VIDEOS

from movie_tags.models import resolve
from movie_tags.models.bundle import read_bundle
from movie_tags.pipeline.commands import main

ROOT = Path(__file__).parents[2]
REAL_FILMS = ("bear_catching_fish_240p_vp8.webm", "dog_eating_360p.mp4", "wildlife_beach_horses_seals_240p_30s.mp4")
SEGMENTS = ("--segment-length", "5")
LOCALLY = ("--direct_num_workers", "1")
SECONDS = 420


def load(path):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


local_cluster = load(ROOT / "deploy" / "flink" / "local_cluster.py")


@pytest.fixture(scope="module")
def cluster():
    lack = local_cluster.missing()
    if lack:
        # `make test-flink` asks for these tests, so that one that cannot run has failed.
        (pytest.fail if os.environ.get("MOVIE_TAGS_FLINK") else pytest.skip)(lack)
    cluster = local_cluster.start()
    yield cluster
    local_cluster.stop(cluster)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A few real films, or the demo's where there are none, and a file that is no film."""
    folder = tmp_path_factory.mktemp("films")
    if VIDEOS.is_dir():
        for name in REAL_FILMS:
            shutil.copy(VIDEOS / "clips" / name, folder)
    else:
        subprocess.run([sys.executable, ROOT / "demo" / "films.py", folder], check=True, timeout=300)
    whole = min(folder.iterdir(), key=lambda path: path.stat().st_size).read_bytes()
    (folder / "corrupt.mp4").write_bytes(whole[: len(whole) // 3][::-1])
    return folder


@pytest.fixture(scope="module")
def local(films, tmp_path_factory):
    """The run of this machine: (exit status, folder of its results)."""
    out = tmp_path_factory.mktemp("local")
    return main(["tag", str(films), "--output", str(out), *SEGMENTS, *LOCALLY]), out


@pytest.fixture(scope="module")
def remote(cluster, films, tmp_path_factory):
    """The cluster's run: (exit status, folder of its results, the job as Flink's REST interface tells of it)."""
    out = tmp_path_factory.mktemp("remote")
    status = local_cluster.submit(cluster, [str(films), "--output", str(out), *SEGMENTS]).wait(SECONDS)
    return status, out, local_cluster.jobs(cluster)[0]


def rows(folder, name):
    """A table, of one file or of shards, in order of id and time."""
    lines = [line for path in folder.glob(f"{name}*.jsonl") for line in path.read_text().splitlines()]
    return sorted(map(json.loads, lines), key=lambda row: (row["id"], row.get("time_s", 0)))


def nearly(row):
    """A row to compare with: probabilities and what is computed of them may differ by rounding; no thumbnails there."""
    if isinstance(row, dict):
        return {name: nearly(value) for name, value in row.items() if name != "thumbnail"}
    if isinstance(row, list):
        return [nearly(value) for value in row]
    return pytest.approx(row, abs=1e-5) if isinstance(row, float) else row


def progress(cluster, since):
    """What the workers have reported of segments, by way of the task managers' logs: (where, JSON object)."""
    found = []
    for number in range(1, local_cluster.TASK_MANAGERS + 1):
        name = local_cluster.task_manager(number)
        text = cluster.log(name).read_bytes()[since.get(name, 0) :].decode(errors="replace")
        found += [(number, json.loads(line)) for line in re.findall(r"movie-tags progress (\{.*\})\n", text)]
    return [(number, what) for number, what in found if "segments" in what]


def test_a_file_that_is_not_the_pinned_one_is_refused(tmp_path, monkeypatch):
    (tmp_path / "a.jar").write_bytes(b"something else")
    monkeypatch.setattr(local_cluster, "MAVEN_CENTRAL", tmp_path.as_uri())
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(local_cluster.ClusterError, match=r"a\.jar: its SHA-256"):
        local_cluster.fetch_part(target, "0" * 64, "a.jar")
    assert os.listdir(target) == []
    local_cluster.fetch_part(target, hashlib.sha256(b"something else").hexdigest(), "a.jar")
    assert os.listdir(target) == ["a.jar"]


def test_a_jar_names_its_parts_in_lines_that_java_reads():
    names = [f"job-server/part-{k}-{'x' * (k % 7)}.jar" for k in range(50)]
    text = local_cluster.manifest("org.example.Main", names)
    assert all(len(line) <= 70 for line in text.split("\r\n"))
    assert "Class-Path: " + " ".join(names) in text.replace("\r\n ", "").split("\r\n")


@pytest.mark.parametrize("line", ['openjdk version "1.8.0_392"', 'openjdk version "25" 2025-09-16'])
def test_a_java_that_will_not_do_is_refused(tmp_path, monkeypatch, line):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").write_text(f"#!/bin/sh\necho '{line}' >&2\n")
    (tmp_path / "bin" / "java").chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(local_cluster.ClusterError, match="Java 17 is needed"):
        local_cluster.java()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(local_cluster.ClusterError, match="openjdk-17"):
        local_cluster.java()


def test_the_cluster_gives_the_local_results(local, remote):
    _, here = local
    _, there, job = remote
    assert job["state"] == "FINISHED"
    for name in ("tags", "key_frames"):
        assert (there / f"{name}.jsonl").exists(), "one table, whatever shards the workers wrote"
        found = rows(there, name)
        assert found and found == nearly(rows(here, name))


def test_a_corrupt_file_costs_only_itself(films, local, remote):
    assert (local[0], remote[0]) == (3, 3)
    (error,) = rows(remote[1], "errors")
    assert [error] == rows(local[1], "errors")
    assert error["uri"].endswith("corrupt.mp4")
    assert {Path(row["uri"]).name for row in rows(remote[1], "tags")} == set(os.listdir(films)) - {"corrupt.mp4"}


def test_a_run_leaves_no_process_behind(cluster, remote):
    assert local_cluster.job_servers(cluster) == []


def test_pixels_do_not_cross_the_network(cluster, remote):
    """All that tasks handed to one another is less than the key frames alone would be, as small as the model's input.

    The frames that they were found among are at least ten times as many, and larger.
    """
    _, there, job = remote
    height, width = read_bundle(resolve()).input_size
    shuffled = local_cluster.shuffled_bytes(cluster, job["jid"])
    print(f"{shuffled:,} bytes for {sum(row['duration_s'] for row in rows(there, 'tags')):.0f} s of film")
    assert 0 < shuffled < sum(row["key_frames"] for row in rows(there, "tags")) * height * width * 3


def test_a_task_manager_dies_in_the_middle(cluster, films, local, tmp_path):
    names = sorted(set(os.listdir(films)) - {"corrupt.mp4"})
    copies = {f"{name}#{copy}": films / name for name in names for copy in range(8)}
    catalogue = tmp_path / "catalogue.jsonl"
    catalogue.write_text("".join(json.dumps({"id": id_, "uri": str(uri)}) + "\n" for id_, uri in copies.items()))
    logs = [cluster.log(local_cluster.task_manager(number)) for number in range(1, local_cluster.TASK_MANAGERS + 1)]
    since = {log.stem: log.stat().st_size for log in logs}
    out = tmp_path / "out"
    run = local_cluster.submit(cluster, [str(catalogue), "--output", str(out), *SEGMENTS])
    try:
        until = time.monotonic() + SECONDS
        while not any(number == 1 for number, _ in progress(cluster, since)):
            assert run.poll() is None and time.monotonic() < until, "the job ended before a task manager was killed"
            time.sleep(0.05)
        local_cluster.kill_task_manager(cluster, 1)
        done = len(progress(cluster, since))
        status = run.wait(SECONDS)
        segments = {what["video"]: what["segments"] for _, what in progress(cluster, since)}
        job = local_cluster.jobs(cluster)[0]
        restarted = local_cluster.get(cluster, f"jobs/{job['jid']}")["timestamps"]["RESTARTING"]
    finally:
        with contextlib.suppress(ProcessLookupError):
            run.kill()
        local_cluster.start_task_manager(cluster, 1)
        local_cluster.wait_until_ready(cluster)
    assert status == 0
    assert 0 < done < sum(segments.values()), "the task manager was to die between the first segment and the last"
    assert restarted > 0, "Flink did not notice"
    once = {name: {row["uri"]: [] for row in rows(local[1], "tags")} for name in ("tags", "key_frames")}
    uris = {row["id"]: row["uri"] for row in rows(local[1], "tags")}
    for name, by_uri in once.items():
        for row in rows(local[1], name):
            by_uri[uris[row["id"]]].append(row)
        expected = [
            {**row, "id": id_, **({"title": None} if name == "tags" else {})}
            for id_, uri in sorted(copies.items())
            for row in by_uri[str(uri)]
        ]
        found = [{**row, **({"title": None} if name == "tags" else {})} for row in rows(out, name)]
        for row in found:  # copies of one film under several ids, which each but the first is told
            row.pop("warnings", None)
        assert len(found) == len(expected)
        assert found == nearly(expected)


def test_the_cluster_tags_anew_from_what_it_kept(cluster, films, remote):
    """With another number of what is said no film is opened: the key frames are the same, with fewer tags each."""
    _, out, _ = remote
    first, tagged = rows(out, "key_frames"), len(rows(out, "tags"))
    anew = [str(films), "--output", str(out), *SEGMENTS, "--top-k", "2"]
    assert local_cluster.submit(cluster, anew).wait(SECONDS) == 3  # the corrupt one is still no film
    run = json.loads((out / "run.json").read_text())
    assert run["due"]["seen already, said anew"] == run["counts"]["videos_tagged"] == tagged
    again = rows(out, "key_frames")
    assert [(row["id"], row["time_s"]) for row in again] == [(row["id"], row["time_s"]) for row in first]
    for now, before in zip(again, first, strict=True):
        assert [one["tag"] for one in now["top_k"]] == [one["tag"] for one in before["top_k"][:2]]
        probabilities = [[one["probability"] for one in row["top_k"][:2]] for row in (now, before)]
        assert probabilities[0] == pytest.approx(probabilities[1], abs=5e-3)
