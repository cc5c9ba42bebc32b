"""Films, catalogues, model bundles and results on gs://, against an emulator on loopback."""

import io
import json
import math
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from films import picture, write_video
from google.api_core.retry import retry_unary
from tiny_pairs import write_pair

from movie_tags.models import resolve
from movie_tags.models.bundle import read_bundle
from movie_tags.models.clip.clip_bundle import import_pair
from movie_tags.models.clip.words import load_words
from movie_tags.models.loading import load_model, load_saved_model
from movie_tags.models.runtimes.saved_model import CANVAS, PROBABILITIES
from movie_tags.pipeline.commands import main
from movie_tags.results import lease, lock
from movie_tags.results.folder import ResultsFolder
from movie_tags.storage import StorageError, create_new, open_seekable, replace_version
from movie_tags.storage.range_reader import LEAST_FETCH, MOST_AHEAD, RangeReader
from movie_tags.transforms.video.reader import Access
from movie_tags.transforms.video.samples import SegmentReader
from movie_tags.transforms.video.segments import plan_segments

HERE = ["--direct_num_workers", "1"]
HEAD = 4096
"""Bytes of a file's beginning and of its boxes that are read twice, and fetched once."""
TABLES = ("tags", "key_frames", "spans", "errors")
FRONT = ("errors.jsonl", "key_frames.jsonl", "manifest.jsonl", "spans.jsonl", "tags.jsonl")


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    write_video(folder / "a.mp4", [picture(k // 40) for k in range(300)])
    write_video(folder / "b.mkv", [picture(90 + k // 30) for k in range(120)])
    return folder


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Films of 24 s and 33 MB each, as MP4 (its index at the end) and Matroska."""
    folder = tmp_path_factory.mktemp("noise")
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (240, 320, 3), np.uint8) for _ in range(10)]
    for suffix in ("mp4", "mkv"):
        path = folder / f"noise.{suffix}"
        write_video(path, [pictures[k % 10] for k in range(600)], options={"preset": "ultrafast", "crf": "18"})
    return folder


def rows(text):
    """A table's rows without the videos' addresses, which are what differs, in the order of their texts."""
    found = [json.loads(line) for line in text.splitlines()]
    return sorted(json.dumps({key: row[key] for key in row if key != "uri"}, sort_keys=True) for row in found)


def catalogue(path, addresses):
    path.write_text("uri,id\n" + "".join(f"{address},{i}\n" for i, address in enumerate(addresses)))
    return path


def tagged(gs, name):
    return {json.loads(line)["id"] for line in gs.text(f"{name}/tags.jsonl").splitlines()}


def test_a_run_on_gs_gives_the_records_of_a_local_run(gs, films, tmp_path):
    names = ("a.mp4", "b.mkv", "absent.mp4")
    here = catalogue(tmp_path / "here.csv", [films / name for name in names])
    there = catalogue(tmp_path / "there.csv", [f"{gs.put(films, 'same')}/{name}" for name in names])
    local, cut = str(tmp_path / "out"), ["--segment-length", "3"]
    assert main(["tag", str(here), "--output", local, "--model", resolve("compact"), *HERE, *cut]) == 3
    remote = [gs.put(there, "there.csv"), "--output", f"{gs.put(films, 'same')}-out"]
    two = ["--direct_num_workers", "2", "--model", gs.put(Path(resolve("compact")), "bundle"), *cut]
    assert main(["tag", *remote, *two]) == 3
    for name in ("tags", "key_frames"):
        with open(os.path.join(local, f"{name}.jsonl")) as stream:
            assert rows(gs.text(f"same-out/{name}.jsonl")) == rows(stream.read())
    (error,) = map(json.loads, gs.text("same-out/errors.jsonl").splitlines())
    assert (error["id"], error["stage"]) == ("2", "opening")
    listed = [json.loads(line)["thumbnail"] for line in gs.text("same-out/key_frames.jsonl").splitlines()]
    kept = [name for name in gs.names("same-out/") if "thumbnails" in name]
    assert kept == sorted(f"same-out/{name}" for name in set(listed))
    front = [name for name in gs.names("same-out/") if name.count("/") == 1]
    assert front == sorted(f"same-out/{name}" for name in [*FRONT, "latest.json", "run.json"])
    # Each worker process fetched its model once, the driver to check and to try it; the SavedModel only to check.
    assert 3 <= len(gs.served("bundle/model.tflite")) <= 4
    assert len(gs.served("bundle/saved_model/variables/variables.data")) == 1


def test_a_second_night_on_gs(gs, films, tmp_path, capsys):
    addresses = [f"{gs.put(films, 'nights')}/{name}" for name in ("a.mp4", "b.mkv")]
    listed = gs.put(catalogue(tmp_path / "c.csv", addresses), "nights.csv")
    output = listed.replace("nights.csv", "nights-out")
    words = ["tag", listed, "--output", output, *HERE]
    assert main(words) == 0
    first = {name: gs.text(f"nights-out/{name}") for name in FRONT}
    films_read = sum(gs.served("nights/"))
    assert main(words) == 0
    assert "nothing is due" in capsys.readouterr().err and sum(gs.served("nights/")) == films_read
    assert {name: gs.text(f"nights-out/{name}") for name in FRONT} == first
    gs.put(films / "b.mkv", "nights/a.mp4")  # another film under the same name: another generation
    assert main(words) == 0
    due = json.loads(gs.text("nights-out/run.json"))["due"]
    assert due == {"changed": 1}
    rows_now = [json.loads(line) for line in gs.text("nights-out/tags.jsonl").splitlines()]
    assert [row["frames_sampled"] for row in rows_now] == [rows_now[1]["frames_sampled"]] * 2
    view = json.loads(gs.text("nights-out/latest.json"))["view"]
    assert [gs.text(f"nights-out/{view}/{name}") for name in FRONT] == [gs.text(f"nights-out/{n}") for n in FRONT]
    capsys.readouterr()
    assert main(["status", output, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["videos"]["tagged"] == 2
    gs.put(catalogue(tmp_path / "c.csv", addresses[1:]), "nights.csv")
    assert main(["prune", output, "--catalogue", listed]) == 0
    assert len(gs.text("nights-out/tags.jsonl").splitlines()) == 1


def test_locks_on_gs(gs, films, capsys):
    uri = gs.put(films / "b.mkv", "locked.mkv")
    output = uri.replace("locked.mkv", "locked-out")
    words = ["tag", uri, "--output", output, *HERE]
    with ResultsFolder(output).locked("other"):
        assert main(words) == 2
        assert "is writing to it" in capsys.readouterr().err
    assert lease.held(output) is None
    other = lock.Owner.here("other")
    assert create_new(f"{output}/{lock.NAME}", other.data)
    assert not create_new(f"{output}/{lock.NAME}", b"")
    assert main(words) == 2
    assert "--break-lock" in capsys.readouterr().err
    _, generation = lease.read(output)
    assert not replace_version(f"{output}/{lock.NAME}", None, "generation:1")
    assert lease.read(output)[1] == generation
    lease.release(output, "another")
    assert lease.held(output).owner == other
    assert main([*words, "--break-lock"]) == 0
    assert lease.held(output) is None
    assert lease.acquire(output, "other", job=True).pid == 0
    with pytest.raises(lock.LockError, match=r"a job on a cluster, begun .*--break-lock"):
        lease.acquire(output, "mine")
    lease.release(output, "other")  # as the job does at its end
    assert lease.held(output) is None


def test_a_lease_lapses_when_nobody_renews_it_but_a_jobs_does_not(gs, films, monkeypatch):
    output = gs.put(films / "b.mkv", "lapsing.mkv").replace(".mkv", "-out")
    lease.acquire(output, "died")
    monkeypatch.setattr(lease, "LAPSES_S", -1.0)
    assert lease.acquire(output, "next").run_id == "next"
    lease.release(output, "next")
    lease.acquire(output, "job", job=True)
    with pytest.raises(lock.LockError):
        lease.acquire(output, "next")
    lease.release(output, "job")


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("seconds", [2, 9])
def test_a_segment_fetches_little_more_than_the_decoder_reads(gs, noise, suffix, seconds):
    path = noise / f"noise.{suffix}"
    uri = gs.put(path, path.name)

    def asked(work, *args):
        """What a piece of work on the plain file gives, and the bytes that it reads of it."""
        total = 0

        class Counting(io.FileIO):
            def read(self, size=-1):
                nonlocal total
                data = super().read(size)
                total += len(data)
                return data

        return work(str(path), *args, access=Access(Counting)), total

    def served(work, *args):
        """What a piece of work on the object gives, and the bytes that are served of it."""
        gs.reset()
        return work(uri, *args), sum(gs.served(path.name))

    def samples(uri, segment, access=Access()):
        return [(frame.index, frame.pixels.mean()) for frame in SegmentReader(uri, segment, access)]

    segments, plain = asked(plan_segments, 1, seconds)
    assert len(segments) == math.ceil(24 / seconds)
    found, remote = served(plan_segments, 1, seconds)
    assert found == segments and remote <= 2 * plain
    for segment in {segments[0], segments[1], segments[-1]}:
        expected, plain = asked(samples, segment)
        found, remote = served(samples, segment)
        assert found == expected
        assert remote <= 2 * plain
        assert plain <= remote + HEAD < path.stat().st_size / 2  # the object was read, and not whole


def test_the_further_one_reads_the_fewer_requests_it_takes():
    data = np.random.default_rng(0).bytes(40 * MOST_AHEAD)
    fetched = []

    def fetch(start, end):
        fetched.append(end - start)
        return data[start:end]

    stream = io.BufferedReader(RangeReader(fetch, len(data)))
    assert stream.read(10) == data[:10]
    assert stream.seek(0) == 0 and stream.read(1000) == data[:1000]
    assert fetched == [LEAST_FETCH]
    assert stream.seek(-7, io.SEEK_END) == len(data) - 7 and stream.read() == data[-7:] and stream.read(1) == b""
    assert stream.seek(5_000_000) == 5_000_000
    read = io.BytesIO()
    del fetched[:]
    while read.tell() < 100_000_000:
        read.write(stream.read(LEAST_FETCH))
        assert sum(fetched) <= 1.5 * read.tell() + LEAST_FETCH
    assert read.getvalue() == data[5_000_000 : 5_000_000 + read.tell()]
    assert len(fetched) < 30


def test_an_object_cut_short_is_an_error_and_no_end():
    with pytest.raises(StorageError, match="ends at byte 0 of 5"):
        io.BufferedReader(RangeReader(lambda start, end: b"", 5)).read()


def test_a_model_is_fetched_once_a_process_and_its_copy_removed(gs, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    bundle = read_bundle(gs.put(Path(resolve("compact")), "once"))
    gs.reset()
    models = [load_model(bundle) for _ in range(3)]
    assert len(gs.served("once/model.tflite")) == 1
    assert os.listdir(tmp_path) == []
    here = load_model(read_bundle(resolve("compact")))
    pictures = np.full((1, *bundle.input_size, 3), 40, np.uint8)
    np.testing.assert_array_equal(models.pop()(pictures), here(pictures))


def test_a_pair_of_models_is_opened_there(gs, tmp_path, monkeypatch):
    pytest.importorskip("tokenizers")
    write_pair(tmp_path / "hub", "clip")
    import_pair(str(tmp_path / "hub"), {"dress": ("a dress",)}, str(tmp_path / "bundle"), "tiny")
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    here, there = read_bundle(str(tmp_path / "bundle")), read_bundle(gs.put(tmp_path / "bundle", "pair"))
    pictures = np.full((1, *here.input_size, 3), 40, np.uint8)
    np.testing.assert_array_equal(load_model(there)(pictures), load_model(here)(pictures))
    words = [load_words(bundle.uri, bundle.card) for bundle in (here, there)]
    np.testing.assert_array_equal(*(one.head({"sea": ("the sea",)}).kernel for one in words))
    assert os.listdir(tmp_path / "scratch") == []


def test_a_model_with_a_vocabulary_file_inside_outlives_its_copy(gs, tmp_path):
    import tensorflow as tf

    class Model(tf.Module):
        def __init__(self, path):
            super().__init__()
            words = tf.lookup.TextFileInitializer(path, tf.string, 0, tf.int64, 1, delimiter=",")
            self.table = tf.lookup.StaticHashTable(words, -1)

        @tf.function(input_signature=[tf.TensorSpec([None, 2, 2, 3], tf.uint8)])
        def serve(self, canvas):
            return {PROBABILITIES: tf.cast(self.table.lookup(tf.as_string(canvas[:, 0, 0, :2])), tf.float32)}

    (tmp_path / "words.csv").write_text("7,1\n8,2\n")
    model = Model(str(tmp_path / "words.csv"))
    tf.saved_model.save(model, str(tmp_path / "model"), signatures={CANVAS: model.serve})
    loaded = load_saved_model(gs.put(tmp_path / "model", "tables"))
    assert loaded(np.full((1, 2, 2, 3), 8, np.uint8)).tolist() == [[2, 2]]


def test_passing_errors_of_the_storage_are_retried(gs, films, monkeypatch):
    uri, model = gs.put(films / "b.mkv", "passing.mkv"), gs.put(Path(resolve("compact")), "passing")
    seen, waits = Counter(), []

    def first_two_of_a_kind(request):
        kind = (request.method, request.media, request.what.split("/")[1])
        seen[kind] += 1
        return 503 if seen[kind] <= 2 else None

    gs.fault = first_two_of_a_kind
    # The client library's own back-off, without the waiting.
    clock = SimpleNamespace(sleep=waits.append, monotonic=time.monotonic)
    monkeypatch.setattr(retry_unary, "time", clock)
    assert main(["tag", uri, "--output", uri.replace("passing.mkv", "patient"), "--model", model, *HERE]) == 0
    assert set(seen) >= {
        ("GET", False, "storage"),  # listing, and what is said of an object
        ("GET", True, "download"),
        ("POST", False, "upload"),
        ("POST", False, "storage"),  # copying
        ("DELETE", False, "storage"),
    }
    assert len(waits) == 2 * len(seen)
    assert len(gs.text("patient/tags.jsonl").splitlines()) == 1


@pytest.mark.parametrize(
    "status,from_byte,reason",
    [(404, 0, "there is no such object"), (403, 0, "permission refused"), (403, 20_000_000, "permission refused")],
)
def test_a_refused_object_costs_only_itself(gs, films, noise, tmp_path, status, from_byte, reason):
    addresses = [gs.put(noise / "noise.mp4", "refused/x.mp4"), gs.put(films / "b.mkv", "refused/b.mkv")]
    listing = gs.put(catalogue(tmp_path / "c.csv", addresses), "refused/c.csv")
    gs.fault = lambda request: (
        status
        if "x.mp4" in request.what
        and from_byte <= request.first_byte < 30_000_000
        and request.method == "GET"
        and (request.media or not from_byte)
        else None
    )
    out = f"refused/{status}-{from_byte}"
    words = ["--output", listing.replace("refused/c.csv", out), "--model", resolve("compact"), *HERE]
    assert main(["tag", listing, *words, "--segment-length", "5"]) == 3
    gs.fault = lambda request: None
    assert tagged(gs, out) == {"1"}
    (error,) = map(json.loads, gs.text(f"{out}/errors.jsonl").splitlines())
    assert error["id"] == "0" and reason in error["reason"]


@pytest.mark.parametrize(
    "change,message",
    [
        ({"--model": "gs://films-of-tests/nowhere"}, "cannot read model.json (there is no such object)"),
        ({"--model": "gs://no-such-bucket/m"}, "cannot read model.json (there is no such object)"),
        ({"--output": "gs://no-such-bucket/o"}, "cannot be listed: there is no such object"),
        ({"": "gs://films-of-tests/nowhere.csv"}, "the catalogue cannot be read: there is no such object"),
        ({"": "gs://films-of-tests/nowhere.mp4"}, "no such file"),
        ({"": "gs://no-such-bucket/x.mp4"}, "cannot be listed: there is no such object"),
    ],
)
def test_addresses_that_lead_nowhere_are_refused_before_any_work(gs, films, capsys, change, message):
    given = {
        "": gs.put(films / "b.mkv", "here.mkv"),
        "--output": "gs://films-of-tests/o",
        "--model": resolve("compact"),
    }
    words = [word for pair in (given | change).items() for word in pair if word]
    assert main(["tag", *words, *HERE]) == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said and len(said.splitlines()) == 1


def test_a_run_that_fails_leaves_nothing_on_gs(gs, films, tmp_path):
    uri = gs.put(films / "b.mkv", "failing.mkv")
    gs.fault = lambda request: 403 if "part-00000" in request.what and "errors" in request.what else None
    words = ["--output", uri.replace("failing.mkv", "o-failed"), "--model", resolve("compact"), *HERE]
    assert main(["tag", uri, *words]) == 1
    gs.fault = lambda request: None
    assert gs.names("o-failed/") == []


def test_a_storage_that_has_failed_is_not_asked_again():
    asked = []

    def fetch(start, end):
        asked.append(start)
        raise StorageError("permission refused")

    stream = io.BufferedReader(RangeReader(fetch, 5))
    for _ in range(3):
        with pytest.raises(StorageError, match="permission refused"):
            stream.read(1)
    assert len(asked) == 1


def test_the_generation_that_was_opened_is_the_one_that_is_read(gs, tmp_path):
    path = tmp_path / "x.bin"
    path.write_bytes(bytes(1_000_000))
    queries = []
    gs.fault = lambda request: queries.append(request.query) if request.media else None
    with open_seekable(gs.put(path, "x.bin")) as stream:
        assert stream.read() == bytes(1_000_000)
    assert queries and all("generation=" in query for query in queries)
