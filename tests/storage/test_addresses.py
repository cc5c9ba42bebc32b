"""One film, one address: every spelling of a film's name leads to the same canonical address and identity."""

import os
from unicodedata import normalize

import pytest

from movie_tags import storage

NFC, NFD = normalize("NFC", "Café für Ängste.mp4"), normalize("NFD", "Café für Ängste.mp4")


@pytest.fixture
def film(tmp_path, monkeypatch):
    (tmp_path / "films").mkdir()
    path = tmp_path / "films" / "100% cat & dog.mp4"
    path.touch()
    (tmp_path / "link").symlink_to(tmp_path / "films")
    (tmp_path / "alias.mp4").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return path


@pytest.mark.parametrize(
    "typed",
    [
        "films/100% cat & dog.mp4",
        "./films//100% cat & dog.mp4",
        "films/../films/./100% cat & dog.mp4",
        "~/films/100% cat & dog.mp4",
        "file://{}/films/100%25%20cat%20%26%20dog.mp4",
        "file://localhost{}/films/100%25 cat & dog.mp4",
        "file:{}/films/100%25%20cat%20%26%20dog.mp4",
        "FILE://{}/films/100% cat & dog.mp4",
        "link/100% cat & dog.mp4",
        "alias.mp4",
        "{}/link/../alias.mp4",
    ],
)
def test_every_spelling_of_a_film_is_the_same_film(film, typed, tmp_path):
    address = storage.canonical(typed.format(tmp_path))
    assert os.path.isabs(address) and ".." not in address and os.path.samefile(address, film)
    assert storage.identity(address) == str(film) and storage.same_file(address, str(film))


def test_the_address_stays_the_same_file_wherever_a_command_is_started(film, tmp_path, monkeypatch):
    address = storage.canonical("films/100% cat & dog.mp4")
    monkeypatch.chdir(tmp_path / "films")
    assert storage.canonical(address) == address == str(film)
    assert storage.canonical("films/x.mp4", str(tmp_path)) == str(tmp_path / "films" / "x.mp4")


def test_dots_after_a_link_go_up_from_where_the_link_leads(tmp_path, monkeypatch):
    (tmp_path / "store" / "deep").mkdir(parents=True)
    (tmp_path / "store" / "a.mp4").touch()
    (tmp_path / "link").symlink_to(tmp_path / "store" / "deep")
    monkeypatch.chdir(tmp_path)
    assert storage.canonical("link/../a.mp4") == str(tmp_path / "store" / "a.mp4")


@pytest.mark.parametrize("kept,typed", [(NFD, NFC), (NFC, NFD)])
def test_names_are_compared_in_one_normal_form_and_opened_as_they_are(tmp_path, kept, typed):
    folder = tmp_path / normalize("NFD", "Größe")
    folder.mkdir()
    (folder / kept).touch()
    address = storage.canonical(f"{tmp_path}/{normalize('NFC', 'Größe')}/{typed}")
    assert os.path.exists(address) and os.path.basename(address) == kept
    assert storage.identity(address) == f"{tmp_path}/{normalize('NFC', 'Größe')}/{NFC}"


def test_two_files_whose_names_look_the_same_are_two_films(tmp_path):
    for name in (NFC, NFD):
        (tmp_path / name).touch()
    if len(os.listdir(tmp_path)) == 2:  # not on file systems that take the names for one
        assert storage.identity(str(tmp_path / NFC)) != storage.identity(str(tmp_path / NFD))
        assert os.path.basename(storage.canonical(str(tmp_path / NFD))) == NFD


@pytest.mark.parametrize(
    "typed,reason",
    [
        ("https://example.org/a.mp4", "https:// is not supported"),
        ("RTSP://camera/1", "rtsp:// is not supported"),
        ("ftp://example.org/a.mp4", "ftp:// is not supported"),
        ("file://server/share/a.mp4", "names a file of another machine, server"),
        (r"C:\films\a.mp4", "is a path of Windows"),
        (r"\\server\films\a.mp4", "is a path of Windows"),
    ],
)
def test_what_can_never_be_opened_is_refused_with_the_reason(typed, reason):
    with pytest.raises(storage.AddressError, match=reason):
        storage.canonical(typed)


def test_remote_addresses_stay_but_for_the_case_of_the_scheme():
    assert storage.canonical("GS://Bucket/Ä %20/x.mp4") == "gs://Bucket/Ä %20/x.mp4"
    assert storage.identity("gs://b/x.mp4") == "gs://b/x.mp4"


def test_a_storage_without_a_file_system_is_refused_without_asking_it():
    with pytest.raises(storage.AddressError, match="https:// is not supported"):
        storage.exists("https://example.org/a.mp4")
