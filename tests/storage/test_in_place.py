"""Files of others, rewritten where they lie."""

import errno
import os

import pytest

from movie_tags.storage import in_place


def test_links_mode_and_inode_stay(tmp_path):
    store, hard, soft = tmp_path / "store", tmp_path / "hard", tmp_path / "soft"
    store.write_bytes(b"<movie></movie>")
    store.chmod(0o664)
    os.link(store, hard)
    soft.symlink_to("store")
    before = store.stat()
    in_place.rewrite(str(soft), b"<movie></movie>", b"<movie>x</movie>")
    in_place.rewrite(str(hard), b"<movie>x</movie>", b"<movie>xy</movie>")
    after = store.stat()
    assert store.read_bytes() == b"<movie>xy</movie>" and soft.is_symlink()
    assert (after.st_ino, after.st_mode, after.st_uid, after.st_gid, after.st_nlink) == (
        before.st_ino,
        before.st_mode,
        before.st_uid,
        before.st_gid,
        2,
    )
    assert sorted(os.listdir(tmp_path)) == ["hard", "soft", "store"]


def test_a_name_of_the_length_that_file_systems_take(tmp_path):
    path = tmp_path / ("x" * 251 + ".nfo")
    in_place.create(str(path), b"a")
    in_place.rewrite(str(path), b"a", b"ab")
    assert path.read_bytes() == b"ab" and os.listdir(tmp_path) == [path.name]
    with pytest.raises(FileExistsError):
        in_place.create(str(path), b"b")


@pytest.mark.parametrize("full", ["the backup", "the file"])
def test_a_full_disk_leaves_a_file_as_it_was(tmp_path, monkeypatch, full):
    path, put, calls = tmp_path / "a.nfo", in_place._put, []
    path.write_bytes(b"<movie></movie>")

    def failing(file, at, data):
        calls.append(at)
        if len(calls) == (1 if full == "the backup" else 2):
            put(file, at, data[:3])
            raise OSError(errno.ENOSPC, "No space left on device")
        put(file, at, data)

    monkeypatch.setattr(in_place, "_put", failing)
    with pytest.raises(OSError, match="No space left"):
        in_place.rewrite(str(path), b"<movie></movie>", b"<movie><tag>Animal</tag></movie>")
    assert path.read_bytes() == b"<movie></movie>" and os.listdir(tmp_path) == ["a.nfo"]


def test_a_backup_that_an_interrupted_run_left_is_named_and_nothing_is_written(tmp_path):
    path = tmp_path / "a.nfo"
    path.write_bytes(b"torn")
    backup = tmp_path / os.path.basename(in_place.backup_of(str(path)))
    backup.write_bytes(b"whole")
    with pytest.raises(OSError, match="interrupted while it wrote this file"):
        in_place.rewrite(str(path), b"torn", b"torn, too")
    assert path.read_bytes() == b"torn" and backup.read_bytes() == b"whole"


def test_a_file_that_somebody_else_has_changed_or_made_read_only_is_left(tmp_path):
    path = tmp_path / "a.nfo"
    path.write_bytes(b"theirs")
    with pytest.raises(OSError, match="changed by somebody else"):
        in_place.rewrite(str(path), b"read before", b"ours")
    path.chmod(0o444)  # root could write it
    with pytest.raises(PermissionError, match="read-only"):
        in_place.rewrite(str(path), b"theirs", b"ours")
    assert path.read_bytes() == b"theirs"


def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        in_place.read(str(tmp_path / "pipe"))
