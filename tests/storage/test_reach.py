"""Waiting for remote storages: bounded, said, and with an exit status of its own."""

import threading

import pytest

from movie_tags.errors import UnreachableError
from movie_tags.pipeline.commands import main
from movie_tags.storage import reach


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


@pytest.mark.parametrize("words", [["status", "https://x.org/r"], ["tag", "ftp://x.org/a.mp4"]])
def test_other_schemes_are_wrong_usage(words, capsys):
    assert main(words) == 2
    assert ":// is not supported" in capsys.readouterr().err


def test_file_addresses_are_folders_of_this_machine(tmp_path, capsys):
    assert main(["status", f"file://{tmp_path}/no%20results"]) == 2
    assert f"{tmp_path}/no results: no folder of results" in capsys.readouterr().err
