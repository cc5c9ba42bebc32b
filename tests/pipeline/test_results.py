import contextlib
import json
import time

import pytest

from movie_tags import storage
from movie_tags.pipeline import results
from movie_tags.pipeline.reading import OutputError, read_run, read_table
from movie_tags.pipeline.results import prepare, publish


def staged(output, run_id, name):
    """A staging folder with one film, as a pipeline leaves it."""
    staging = output / f".staging-{run_id}"
    staging.mkdir(parents=True)
    for table in results.TABLES:
        (staging / f"{table}.jsonl").write_text(json.dumps({"id": name, "reason": name}) + "\n")
    counts = {"inputs_read": 1, "videos_tagged": 1}
    (staging / "counts.jsonl").write_text("".join(json.dumps({"name": k, "n": n}) + "\n" for k, n in counts.items()))
    return str(staging)


def summary(run_id):
    return {"run_id": run_id, "begun": time.time()}


class BrokenOff:
    """Lets so many operations on files through, then none."""

    def __init__(self, operations):
        self.left = operations

    def wrap(self, operation):
        def wrapped(*args):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return operation(*args)

        return wrapped


@pytest.mark.parametrize("operations", range(12))
def test_tables_and_run_json_are_always_of_one_run(tmp_path, monkeypatch, operations):
    """Publishing over an earlier run, broken off after so many of its file operations."""
    output = str(tmp_path)
    publish(staged(tmp_path, "old", "old"), output, summary("old"))
    staging = staged(tmp_path, "new", "new")
    written = [storage.join(staging, f"{name}.jsonl") for name in results.TABLES]
    breaking = BrokenOff(operations)
    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        for name in ("move", "remove", "write_text", "remove_folder"):
            patch.setattr(storage, name, breaking.wrap(getattr(storage, name)))
        publish(staging, output, summary("new"), written)
    assert (breaking.left < 0) == (operations < 8)
    said = read_run(output)
    if said is not None:
        assert {row["id"] for name in results.TABLES for row in read_table(output, name)} == {said["run_id"]}
    publish(staging, output, summary("new"), written)  # the next attempt of the same run sets it right
    assert read_run(output)["run_id"] == "new"
    assert {row["id"] for name in results.TABLES for row in read_table(output, name)} == {"new"}


def test_tables_of_one_file_and_of_shards_are_read_alike(tmp_path):
    (tmp_path / "tags-00000-of-00002.jsonl").write_text('{"id": "a"}\n')
    (tmp_path / "tags-00001-of-00002.jsonl").write_text('{"id": "b"}\n')
    (tmp_path / "tagsoup.jsonl").write_text("other people's\n")
    assert [row["id"] for row in read_table(str(tmp_path), "tags")] == ["a", "b"]
    (tmp_path / "errors.jsonl").write_text('{"id": "a"}\nnot a row\n')
    with pytest.raises(OutputError, match=r"errors\.jsonl, line 2"):
        list(read_table(str(tmp_path), "errors"))


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/out: cannot be"):
        prepare(str(tmp_path / "file" / "out"), "x", False)
