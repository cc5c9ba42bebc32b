"""Waiting for remote storages: bounded, said, and with an exit status of its own."""

import json
import threading

import pytest
from films import picture, write_video

from movie_tags.errors import UnreachableError
from movie_tags.pipeline.commands import main
from movie_tags.pipeline.inputs import Inputs
from movie_tags.pipeline.plan import make_plan
from movie_tags.records import FAILED, QUARANTINED, TAGGED, Entry
from movie_tags.results.manifest import SAID_ANEW, Rules, entry_of, read_due
from movie_tags.results.parts import Part
from movie_tags.results.run_records import PartRecord
from movie_tags.results.schema import MANIFEST, to_line
from movie_tags.results.sort import lines_of
from movie_tags.storage import Buckets, StorageError, reach, remote


@pytest.fixture
def nobody(monkeypatch):
    """A machine without credentials, whose network answers nothing."""
    monkeypatch.setattr(reach, "has_credentials", lambda: False)
    monkeypatch.setattr(reach, "is_public", lambda bucket, wait_s: False)


@pytest.mark.parametrize(
    "words", [["status", "gs://b/r"], ["tag", "gs://b/a.mp4"], ["tag", __file__, "--output", "gs://b/r"]]
)
def test_without_credentials_it_is_said_what_is_missing(nobody, words, capsys):
    assert main(words) == 4
    said = capsys.readouterr().err
    assert said.startswith("movie-tags: gs://b: no Google credentials were found") and "gcloud auth" in said
    assert len(said.splitlines()) == 1


def test_a_public_bucket_needs_no_credentials(nobody, monkeypatch):
    monkeypatch.setattr(reach, "is_public", lambda bucket, wait_s: True)
    reach.await_storages(["gs://b/a.mp4"], 1, print)


def test_a_storage_that_does_not_answer_is_waited_for_as_long_as_is_asked_for(monkeypatch):
    over, said = threading.Event(), []
    monkeypatch.setattr(reach, "SILENT_S", 0.0)
    monkeypatch.setattr(reach, "has_credentials", lambda: True)
    monkeypatch.setattr(reach, "ask", lambda bucket, wait_s: over.wait(60) and None)
    with pytest.raises(UnreachableError, match=r"gs://b: has not answered in 0\.2 s; .*--storage-wait"):
        reach.await_storages(["gs://b/a", "/here"], 0.2, said.append)
    over.set()
    assert said == ["waiting for gs://b, up to 0.2 s (--storage-wait)"]


def test_credentials_that_are_looked_for_too_long_are_none(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(reach, "CREDENTIALS_S", 0.1)
    monkeypatch.setattr(reach, "has_credentials", lambda: over.wait(60))
    monkeypatch.setattr(reach, "is_public", lambda bucket, wait_s: over.wait(60))
    with pytest.raises(UnreachableError, match="no Google credentials were found"):
        reach.await_storages(["gs://b/a"], 30, print)
    over.set()


def test_local_addresses_are_not_waited_for(monkeypatch):
    monkeypatch.setattr(reach, "has_credentials", lambda: pytest.fail("asked"))
    reach.await_storages(["/films/a.mp4", "films", "s3://b/a"], 1, print)


def test_any_answer_of_a_bucket_is_an_answer(gs):
    for status in (None, 403, 404):
        gs.fault = lambda request, status=status: status
        reach.await_storages(["gs://films-of-tests/a", "gs://films-of-tests/b"], 20, print)
        assert gs.seen


def test_a_network_that_is_down_is_not_a_wrong_address(gs, monkeypatch):
    def refuse(client, bucket, wait_s, retry):
        raise ConnectionError("Connection refused")

    monkeypatch.setattr(reach, "_list_one", refuse)
    with pytest.raises(UnreachableError, match="gs://b: cannot be reached: Connection refused"):
        reach.await_storages(["gs://b/a"], 5, print)


def rows(folder, table):
    return [json.loads(line) for line in (folder / f"{table}.jsonl").read_text().splitlines()]


def test_rows_of_a_catalogue_that_lie_out_of_reach_fail_and_the_others_are_tagged(
    tmp_path, monkeypatch, capsys, small_bundle
):
    asked, over = [], threading.Event()

    def ask(bucket, wait_s):
        asked.append(bucket)
        return None if bucket == "gs://here" else over.wait(60) and None

    def about(uri):
        if not uri.startswith("gs://here"):
            pytest.fail(f"{uri}: asked for, though its bucket does not answer")
        raise StorageError("there is no such object")

    monkeypatch.setattr(reach, "has_credentials", lambda: True)
    monkeypatch.setattr(reach, "ask", ask)
    monkeypatch.setattr(remote, "about", about)
    monkeypatch.setattr(remote, "open_seekable", about)
    film = write_video(tmp_path / "a.mp4", [picture(k // 20) for k in range(40)])
    addresses = [film, "gs://away/a.mp4", "gs://here/a.mp4", "gs://away/b.mp4", "gs://away-too/a.mp4"]
    listed = tmp_path / "c.csv"
    listed.write_text("uri\n" + "".join(f"{address}\n" for address in addresses))
    words = ["tag", str(listed), "--model", small_bundle, "--output", str(tmp_path / "out"), "--storage-wait", "0.3"]
    assert main([*words, "--dry-run"]) == 0
    assert "2 videos are due: 2 new; 3 inputs fail before any work" in capsys.readouterr().err
    assert sorted(asked) == ["gs://away", "gs://away-too", "gs://here"]
    assert main([*words, "--in-process", "--direct_num_workers", "1"]) == 3
    over.set()
    assert [row["uri"] for row in rows(tmp_path / "out", "tags")] == [str(film)]
    errors = {row["uri"]: row for row in rows(tmp_path / "out", "errors")}
    assert set(errors) == set(addresses[1:]) and all(row["retryable"] for row in errors.values())
    reason = "gs://away: has not answered in 0.3 s; is the network up? --storage-wait SECONDS waits longer"
    assert [errors[f"gs://away/{name}.mp4"]["reason"] for name in "ab"] == [reason] * 2


G = "generation:1"
KEPT = {"features": "runs/r0/p", "seen_key": "s"}


@pytest.mark.parametrize(
    "done,rules,due,failed",
    [
        ({"source": G}, {}, None, False),
        ({"source": G, "uri": "gs://c/a.mp4"}, {}, None, True),  # which the catalogue has moved
        ({"source": G}, {"force": True}, None, True),
        ({"source": G}, {"method_key": "n"}, None, True),
        ({"source": G, **KEPT}, {"method_key": "n", "seen_key": "s"}, SAID_ANEW, False),
        ({"source": G, **KEPT, "features": "gone"}, {"method_key": "n", "seen_key": "s"}, None, True),
        ({"status": FAILED, "source": G}, {}, None, False),
        ({"status": FAILED, "source": G}, {"retry": "failed"}, None, True),
        ({"status": FAILED, "retryable": True, "attempts": 1}, {}, None, True),
        ({"status": QUARANTINED, "retryable": True, "attempts": 3}, {}, None, False),
        (None, {}, None, True),
    ],
)
def test_of_films_whose_storage_is_away_only_what_must_be_opened_fails(tmp_path, nobody, done, rules, due, failed):
    """A bucket that does not answer says nothing of changed files, and keeps nobody from what is kept."""
    uri, part = "gs://b/a.mp4", Part(str(tmp_path / "runs/r1/plan"))
    features = tmp_path / KEPT["features"] / "features.parquet"
    features.parent.mkdir(parents=True)
    features.touch()
    (tmp_path / "c.csv").write_text(f"uri,id\n{uri},a\n")
    entries = [] if done is None else [Entry(**{"id": "a", "uri": uri, "method_key": "m", "status": TAGGED, **done})]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_bytes(b"".join(map(to_line, entries)))
    record, inputs = PartRecord("r1", "m", "t"), Inputs.of([str(tmp_path / "c.csv")])
    asked = Rules(**{"method_key": "m", **rules})
    plan = make_plan(inputs, str(manifest), asked, part, record, str(tmp_path), Buckets(1, print))
    assert [(item.why, item.video.version, item.video.seen) for item in read_due(plan.due)] == (
        [(due, G, KEPT["features"])] if due else []
    )
    found = list(map(entry_of, lines_of(part.raw_files(MANIFEST))))
    assert [(entry.status, entry.retryable, entry.stage) for entry in found] == [(FAILED, True, "opening")] * failed
    assert all("no Google credentials were found" in entry.reason for entry in found)


@pytest.mark.parametrize("words", [["status", "https://x.org/r"], ["tag", "ftp://x.org/a.mp4"]])
def test_other_schemes_are_wrong_usage(words, capsys):
    assert main(words) == 2
    assert ":// is not supported" in capsys.readouterr().err


def test_file_addresses_are_folders_of_this_machine(tmp_path, capsys):
    assert main(["status", f"file://{tmp_path}/no%20results"]) == 2
    assert f"{tmp_path}/no results: there is no such folder" in capsys.readouterr().err
