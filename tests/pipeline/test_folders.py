"""What in a folder is a film; nothing of a folder is lost without a word."""

import os
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.pipeline.folders import LINKS, SPECIAL, SYSTEM, NotLookedAt, films_in, why_file_is_left_out
from movie_tags.pipeline.inputs import InputError, Inputs
from movie_tags.storage.suffixes import VIDEO_SUFFIXES


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def listed(folder: Path, all_videos: bool = False) -> tuple[list[str], NotLookedAt]:
    skipped = NotLookedAt()
    found = [os.path.relpath(one.path, folder) for one in films_in(str(folder), skipped, all_videos)]
    return found, skipped


FILMS = ("film.mp4", "b/a.MKV", "video.m2v", "clip.h264", "clip.hevc", "x.y4m", "x.nut", "tv.wtv", "jvc.mod", "s.tod")
MORE_FILMS = (
    "tv.trp",
    "x.m2t",
    "3d.mk3d",
    "x.mpv",
    "tv.dvr-ms",
    "race.f1.mp4",
    "P.part1.mkv",
    "a.temperature.mp4",
)


def test_every_container_that_people_use_is_a_film(tmp_path):
    put(tmp_path, *FILMS, *MORE_FILMS)
    found, skipped = listed(tmp_path)
    assert sorted(found) == sorted([*FILMS, *MORE_FILMS]) and not skipped.files


LEFT_OUT = {
    "#recycle/deleted.mp4": "in recycle bins",
    "$RECYCLE.BIN/S-1-5/$RABC123.mp4": "in recycle bins",
    "deep/@Recycle/a.mkv": "in recycle bins",
    "RECYCLER/a.avi": "in recycle bins",
    ".Trash-1000/files/a.mp4": "in recycle bins",
    "@eaDir/film.MOV/SYNOPHOTO_FILM_M.mp4": "previews and snapshots of a NAS",
    "b/.@__thumb/film.mp4": "previews and snapshots of a NAS",
    "#snapshot/daily/film.mp4": "previews and snapshots of a NAS",
    "lost+found/a.mp4": "of the file system",
    "System Volume Information/a.mp4": "of the file system",
    "__MACOSX/._film.mp4": "of the file system",
    "dl.temp.mp4": "half-downloaded",
    "a.mp4.part": "half-downloaded",
    "a.mp4.part-Frag12": "half-downloaded",
    "Unconfirmed 1.crdownload": "half-downloaded",
    "b.mkv.!qB": "half-downloaded",
    "c.mkv.aria2": "half-downloaded",
    "Safari.mp4.download/Safari.mp4": "half-downloaded",
    "dl.f401.mp4": "separate streams of a downloader",
    "dl.f251-drc.webm": "separate streams of a downloader",
    "dl.fhls-1080.mp4": "separate streams of a downloader",
    ".hidden.mp4": "hidden",
    "._film.mp4": "hidden",
    ".cache/film.mp4": "hidden",
    "film.srt": ".srt",
    "poster.JPG": ".jpg",
    "README": "without a suffix",
    "Mr. Smith and his dog": "without a suffix",
}


@pytest.mark.parametrize("name,why", LEFT_OUT.items())
def test_what_is_left_out_is_counted_by_its_reason(tmp_path, name, why):
    put(tmp_path, "film.mp4", name)
    if name == "c.mkv.aria2":  # which says that the film beside it is not whole
        put(tmp_path, "c.mkv")
    found, skipped = listed(tmp_path)
    assert skipped.files[why] >= 1 and name not in found
    assert len(found) + skipped.total() == sum(len(names) for _, _, names in os.walk(tmp_path))


def test_all_videos_takes_them(tmp_path):
    put(tmp_path, *LEFT_OUT)
    found, skipped = listed(tmp_path, all_videos=True)
    assert set(LEFT_OUT) - set(found) == {
        "._film.mp4",  # notes of macOS on a film
        "__MACOSX/._film.mp4",
        "Unconfirmed 1.crdownload",
        "a.mp4.part-Frag12",
        "film.srt",
        "poster.JPG",
        "README",
        "Mr. Smith and his dog",
        "c.mkv.aria2",
    }
    assert skipped.total() == 9


def test_a_folder_named_by_itself_is_searched_whatever_its_name(tmp_path):
    put(tmp_path, "#recycle/deleted.mp4", "dl.temp.mp4")
    (item,) = Inputs.of([str(tmp_path / "#recycle")]).listed()
    assert item.video.title == "deleted.mp4"
    (item,) = Inputs.of([str(tmp_path / "dl.temp.mp4")]).listed()
    assert item.video.title == "dl.temp.mp4"


def test_the_line_names_the_suffixes_and_the_reasons(tmp_path):
    put(tmp_path, *(f"{i}.srt" for i in range(12)), *(f"{i}.jpg" for i in range(3)), "#recycle/a.mp4", "#recycle/b.txt")
    assert listed(tmp_path)[1].text() == "not looked at: 12 .srt, 3 .jpg, 2 in recycle bins"
    with pytest.raises(InputError, match=r"no video below it.*not looked at: 12 \.srt.*--all-videos"):
        Inputs.of([str(tmp_path)]).check()
    assert NotLookedAt().text() == ""
    counted = Counter({LINKS: 1, SPECIAL: 2, SYSTEM: 0, ".srt": 0})
    assert NotLookedAt(counted).text() == "not looked at: 1 link that leads nowhere, 2 no regular files"


def test_wildcards_leave_out_what_folders_do_and_take_the_suffix_that_is_spelled_out(tmp_path):
    put(tmp_path, "a.mp4", "b/#recycle/c.mp4", "b/dl.f401.mp4", "b/d.mp4", "tape.dat", "b/e.srt")

    def titles(pattern):
        return [item.video.title for item in Inputs.of([f"{tmp_path}/{pattern}"]).listed()]

    assert titles("**/*.mp4") == ["a.mp4", "d.mp4"]
    assert titles("b/*") == ["d.mp4"]
    assert titles("*.dat") == ["tape.dat"]
    assert titles("b/#recycle/*") == ["c.mp4"]


def test_links_and_pipes_are_not_opened_and_places_that_are_not_known_are_told(tmp_path):
    put(tmp_path, "films/a.mp4")
    os.mkfifo(tmp_path / "films" / "pipe.mp4")
    (tmp_path / "films" / "disk1").symlink_to("/nonexistent/disk1")
    (tmp_path / "films" / "b.mp4").symlink_to("/nonexistent/b.mp4")
    found, skipped = listed(tmp_path / "films")
    assert found == ["a.mp4", "b.mp4"]  # the latter fails by its name
    assert skipped.files == {"no regular files": 1, "links that lead nowhere": 1}
    assert skipped.places == [str(tmp_path / "films" / "disk1")]


SUFFIXES = [*sorted(VIDEO_SUFFIXES)[::3], ".srt", ".jpg", ".part", ".crdownload", ".!qB", ".temp.mp4", ".f401.mp4", ""]
FOLDERS = [
    "",
    "a/",
    "a/b.mp4/",
    "#recycle/",
    "@eaDir/x.MOV/",
    "$RECYCLE.BIN/",
    ".hidden/",
    "lost+found/",
    "x.download/",
]


def test_films_and_what_is_not_looked_at_are_all_files_of_a_folder_of_odd_names(tmp_path):
    chance = random.Random(7)
    letters = "aZ0 ._-#$@~%[]*?'\"\\;,😀é\u0301ß漢\n\t"
    names = set()
    while len(names) < 200:
        stem = "".join(chance.choices(letters, k=chance.randint(1, 12))).strip("/") or "x"
        names.add(chance.choice(FOLDERS) + stem + chance.choice(SUFFIXES))
    for name in sorted(names):
        if Path(name).name not in ("", ".", "..") and not (tmp_path / name).exists():
            put(tmp_path, name)
    files = [os.path.join(inside, name) for inside, _, names in os.walk(tmp_path) for name in names]
    for all_videos in (False, True):
        skipped = NotLookedAt()
        found = [item.video.uri for item in Inputs.of([str(tmp_path)], all_videos).listed(skipped)]
        assert len(found) == len(set(found)) and set(found) <= set(files)
        assert len(found) + skipped.total() == len(files) > 190
        assert len({item.video.id for item in Inputs.of([str(tmp_path)], all_videos).listed()}) == len(found)


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1), st.sampled_from(SUFFIXES), st.booleans())
def test_any_name_is_a_film_or_has_a_reason(name, suffix, all_videos):
    why = why_file_is_left_out(name + suffix, set(), all_videos)
    assert why is None or 0 < len(why) < 60
