"""Files of this machine, and what needs no storage to answer."""

import os

import pytest

from movie_tags import storage
from movie_tags.storage import verbs


@pytest.mark.parametrize("name", ["gs://bucket/model/../../../x", "gs://bucket/model/a/../../x"])
def test_what_is_fetched_stays_in_its_folder(tmp_path, monkeypatch, name):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(verbs, "list_files", lambda uri: ["gs://bucket/model/ok", name])
    monkeypatch.setattr(verbs, "read_bytes", lambda uri: b"")
    with pytest.raises(storage.StorageError, match="leads out of the folder"), storage.fetch("gs://bucket/model"):
        pass
    assert os.listdir(tmp_path) == []
