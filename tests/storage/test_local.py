"""Files of this machine, and what needs no storage to answer."""

import os

import pytest

from movie_tags import storage
from movie_tags.storage import verbs


def test_of_two_who_create_a_file_one_does_on_any_file_system(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    for name in ("with links", "without"):
        path = tmp_path / name
        assert storage.create_new(str(path), b"first") and not storage.create_new(str(path), b"second")
        assert path.read_bytes() == b"first"
        monkeypatch.setattr(os, "link", refuse)
    assert len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize("name", ["gs://bucket/model/../../../x", "gs://bucket/model/a/../../x"])
def test_what_is_fetched_stays_in_its_folder(tmp_path, monkeypatch, name):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(verbs, "list_files", lambda uri: ["gs://bucket/model/ok", name])
    monkeypatch.setattr(verbs, "read_bytes", lambda uri: b"")
    with pytest.raises(storage.StorageError, match="leads out of the folder"), storage.fetch("gs://bucket/model"):
        pass
    assert os.listdir(tmp_path) == []
