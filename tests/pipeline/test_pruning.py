"""Nothing is removed while it is not known; what is gone is told by the films' one address."""

import shutil

import pytest

from movie_tags.pipeline import pruning
from movie_tags.pipeline.inputs import InputError, Inputs, video_at
from movie_tags.pipeline.pruning import gone, named_by, why_not_believed
from movie_tags.records import Entry


@pytest.fixture
def films(tmp_path, monkeypatch):
    for name in ("disk1/1.mp4", "disk1/2.mp4", "disk1/deep/3.mp4", "disk2/9.mp4"):
        (tmp_path / "films" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "films" / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "films"


def entries(*inputs):
    return [Entry(item.video.id, uri=item.video.uri) for item in Inputs.of(inputs).listed()]


def asked(before, *catalogue):
    """What would go, and why it is not believed."""
    named = named_by(Inputs.of(catalogue))
    removed = list(gone(before, named))
    return [entry.uri.rpartition("/")[2] for entry in removed], why_not_believed(removed, len(before), named)


SPELLINGS = ["./films", "films/", "{0}", "{0}/../films", "file://{0}", "link", "films/**/*.mp4"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_folder_keeps_its_films(films, spelling):
    (films.parent / "link").symlink_to(films)
    for typed in ("films", str(films), "link"):
        assert asked(entries(typed), spelling.format(films)) == ([], None)


def test_a_deleted_film_goes(films):
    before = entries("films")
    (films / "disk1" / "2.mp4").unlink()
    assert asked(before, "films") == (["2.mp4"], None)


def test_a_film_of_a_folder_that_still_has_other_things_goes(films):
    before = entries("films")
    shutil.rmtree(films / "disk2")
    assert asked(before, "films") == (["9.mp4"], None)
    (films / "disk1" / "deep" / "3.mp4").rename(films / "disk1" / "deep" / "3.srt")
    assert asked(before, "films")[1] is None


@pytest.mark.parametrize("catalogue", ["films", "films/**/*.mp4"])
@pytest.mark.parametrize("left", [None, "lost+found", ".hidden"])
def test_a_folder_that_is_empty_now_is_not_believed(films, left, catalogue):
    before = entries("films")
    (films / "disk1").rename(films.parent / "away")
    (films / "disk1").mkdir()
    if left:
        (films / "disk1" / left).mkdir()
    removed, why = asked(before, catalogue)
    assert len(removed) == 3 and f"{films}/disk1 is empty now" in why and "3 of these" in why


def test_a_link_that_leads_nowhere_is_not_believed(films):
    store = films.parent / "store"
    (films / "disk1").rename(store)
    (films / "disk1").symlink_to(store)
    before = entries("films")
    store.rename(films.parent / "away")
    removed, why = asked(before, "films")
    assert len(removed) == 3 and f"{films}/disk1 cannot be looked into" in why
    (films / "disk1").unlink()
    (films / "disk1").symlink_to("/nonexistent")
    assert "cannot be looked into" in asked(before, "films")[1]


def test_a_link_that_has_nothing_to_do_with_it_does_no_harm(films):
    before = entries("films")
    (films / "poster").symlink_to("/nonexistent")
    (films / "disk1" / "2.mp4").unlink()
    assert asked(before, "films") == (["2.mp4"], None)


def test_a_folder_that_may_not_be_read_is_not_known(films, monkeypatch):
    (films / "loop").symlink_to(films / "loop")
    with pytest.raises(InputError, match=r"cannot be looked into.*Nothing is removed"):
        named_by(Inputs.of(["films"]))


SHARES = [(100, 20, True), (100, 21, False), (20, 9, True), (20, 10, False), (1, 1, False)]


@pytest.mark.parametrize("total,removed,believed", SHARES)
def test_more_than_a_share_is_not_believed(total, removed, believed):
    before = [Entry(f"gs://b/{i}.mp4", uri=f"gs://b/{i}.mp4") for i in range(total)]
    named = named_by(Inputs(()))
    assert (why_not_believed(before[:removed], total, named) is None) == believed


def test_a_catalogue_that_no_longer_names_a_film_is_believed_wherever_the_film_is(films):
    (films.parent / "c.csv").write_text("uri,id\nfilms/disk1/1.mp4,one\nfilms/disk2/9.mp4,nine\n")
    before = entries("c.csv")
    assert asked(before, "films/disk2") == (["1.mp4"], None)  # under another id, but the same file
    (films.parent / "c.csv").write_text("uri,id\nfilms/disk2/9.mp4,nine\n")
    shutil.rmtree(films / "disk1")
    assert asked(before, "c.csv") == (["1.mp4"], None)
    assert video_at("films/disk2/9.mp4").id != "nine"


def test_ids_decide_where_both_catalogues_give_them_and_files_elsewhere(films):
    catalogue = films.parent / "c.csv"
    catalogue.write_text("uri,id\nfilms/disk1/1.mp4,0\nfilms/disk2/9.mp4,1\n")
    before = entries("c.csv")
    catalogue.write_text("uri,id\nfilms/disk2/9.mp4,0\n")
    assert asked(before, "c.csv")[0] == ["9.mp4"]  # which is 0 now, and no longer 1
    assert asked(entries("films"), "c.csv")[0] == ["1.mp4", "2.mp4", "3.mp4"]


def test_a_disk_of_the_machines_table_that_is_not_mounted_is_not_believed(films, monkeypatch):
    before = entries("films")
    table = films.parent / "fstab"
    table.write_text(
        f"# disks\nUUID=1 / ext4 defaults 0 1\nnas:/films {films}/disk1 nfs defaults 0 0\nUUID=2 none swap\n"
    )
    monkeypatch.setattr(pruning, "FSTAB", str(table))
    (films / "disk1" / "2.mp4").rename(films / "disk1" / "placeholder.txt")
    removed, why = asked(before, "films")
    assert removed == ["2.mp4"] and f"{films}/disk1" in why and "not mounted" in why
    monkeypatch.setattr(pruning, "FSTAB", str(films / "none"))
    assert asked(before, "films")[1] is None
