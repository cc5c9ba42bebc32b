"""NFO beside films, in the folders that people have."""

import contextlib
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from result_folders import film, tag, write_tables

from movie_tags.pipeline.commands import main
from movie_tags.report.exports.nfo_beside import is_episode, place_of
from movie_tags.report.exports.nfo_text import NfoError
from movie_tags.storage.in_place import backup_of

MOVIE = "<movie>\n  <title>mine</title>\n</movie>\n"


@pytest.fixture
def exported(tmp_path, capsys):
    """A function: films (by their names, made where they are not there) -> status, what was printed."""

    def run(*names, tags=("Animal",), more=(), **rows):
        listed = []
        for name in names:
            path = tmp_path / "films" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            listed.append(film(str(path), [tag(t, 1.0) for t in tags], **rows))
        write_tables(tmp_path / "results", tags=listed)
        status = main(["export", str(tmp_path / "results"), "--to", "nfo", *more])
        return status, "".join(capsys.readouterr())

    (tmp_path / "films").mkdir()
    return run


def put(folder, name, data=MOVIE):
    path = folder / "films" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def tags_of(path):
    return [element.text for element in etree.fromstring(path.read_bytes()).findall("tag")]


def names_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_tags_go_into_the_nfo_of_the_film_once(exported, tmp_path):
    mine = put(tmp_path, "a.nfo")
    status, said = exported("a.mp4", tags=("Animal", "War"))
    assert status == 0 and "1 file" in said and tags_of(mine) == ["Animal", "War"]
    before = mine.stat().st_mtime_ns
    assert exported("a.mp4", tags=("Animal",))[0] == 0  # tags are never removed
    assert tags_of(mine) == ["Animal", "War"] and mine.stat().st_mtime_ns == before


def test_a_film_without_an_nfo_gets_one_only_when_asked(exported, tmp_path):
    status, said = exported("a.mp4", "S01E02.mkv")
    assert status == 0 and "2 films without an NFO" in said and "--create" in said
    assert names_in(tmp_path / "films") == ["S01E02.mkv", "a.mp4"]
    assert exported("a.mp4", "S01E02.mkv", more=["--create"])[0] == 0
    made = {name: etree.parse(tmp_path / "films" / name).getroot() for name in ("a.nfo", "S01E02.nfo")}
    assert [root.tag for root in made.values()] == ["movie", "episodedetails"]
    assert all(root.find("title") is None for root in made.values())
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((tmp_path / "films/a.nfo").stat().st_mode) == 0o666 & ~umask


def test_a_dry_run_names_the_files_and_writes_none(exported, tmp_path):
    mine = put(tmp_path, "a.nfo")
    put(tmp_path, "has.nfo", "<movie><tag>Animal</tag></movie>")
    status, said = exported("a.mp4", "b.mp4", "has.mp4", more=["--dry-run", "--create"])
    assert status == 0 and str(mine) in said and str(tmp_path / "films/b.nfo") in said and "has.nfo" not in said
    assert mine.read_text() == MOVIE and names_in(tmp_path / "films") == sorted(
        ["a.mp4", "a.nfo", "b.mp4", "has.mp4", "has.nfo"]
    )


def test_a_dry_run_says_what_the_run_does(exported, tmp_path):
    """Read-only and interrupted ones are left out, unchanged ones and trailers need nothing: neither run names them."""
    put(tmp_path, "a.nfo")
    put(tmp_path, "has.nfo", "<movie><tag>Animal</tag></movie>")
    put(tmp_path, "locked.nfo").chmod(0o444)
    put(tmp_path, "torn.nfo")
    put(tmp_path, os.path.basename(backup_of("torn.nfo")))
    names = ["a.mp4", "has.mp4", "locked.mp4", "torn.mp4", "new.mp4", "new-trailer.mp4", "F/F.mkv", "F/trailer.mkv"]
    names += ["clip1.mp4", "c" * 252 + ".ts"]
    before = names_in(tmp_path / "films")
    status, dry = exported(*names, more=["--dry-run", "--create"])
    assert status == 3 and names_in(tmp_path / "films") == sorted({*before, *names})
    listed = {line for line in dry.splitlines() if line.startswith("/")}
    state = {path: path.read_bytes() for path in (tmp_path / "films").rglob("*") if path.is_file()}
    status, said = exported(*names, more=["--create"])
    now = {path: path.read_bytes() for path in (tmp_path / "films").rglob("*") if path.is_file()}
    assert status == 3 and listed == {str(path) for path in now if now[path] != state.get(path)}
    assert {path.name for path in now if path not in state} == {"new.nfo", "F.nfo", "clip1.nfo"}
    for text in (dry, said):
        assert "4 files" in text and "1 NFO has all that is to be written" in text
        assert "2 trailers and the like without an NFO, and none is made" in text
        assert all(f"/{name}.nfo: " in text for name in ("locked", "torn", "c" * 252))


def test_a_film_without_tags_gets_nothing(exported, tmp_path):
    put(tmp_path, "a.nfo")
    status, said = exported("a.mp4", "b.mp4", tags=(), more=["--create"])
    assert status == 0 and "2 films without a tag" in said
    assert (tmp_path / "films/a.nfo").read_text() == MOVIE and not (tmp_path / "films/b.nfo").exists()


def test_tags_that_a_film_no_longer_has_are_taken_out_only_when_asked(exported, tmp_path):
    mine, other = put(tmp_path, "a.nfo", "<movie>\n  <tag>mine</tag>\n</movie>\n"), put(tmp_path, "b.nfo")
    exported("a.mp4", "b.mp4", tags=("Animal", "War"))
    exported("a.mp4", "b.mp4", tags=("Food",))
    assert tags_of(mine) == ["mine", "Animal", "War", "Food"]
    assert exported("a.mp4", "b.mp4", tags=("War",), more=["--retract"])[0] == 0
    assert (tags_of(mine), tags_of(other)) == (["mine", "War"], ["War"])
    status, _ = exported("a.mp4", "b.mp4", "c.mp4", tags=(), more=["--retract", "--create"])
    assert status == 0 and (tags_of(mine), other.read_text()) == (["mine"], MOVIE)
    assert not (tmp_path / "films/c.nfo").exists()


BAD = {
    "wrong.nfo": b'<?xml version="1.0" encoding="utf-16"?><movie></movie>',
    "cut.nfo": b"<movie><title>",
    "address.nfo": b"https://www.themoviedb.org/movie/1\n",
    "series.nfo": b"<tvshow></tvshow>",
}


def test_one_bad_nfo_costs_itself_alone(exported, tmp_path):
    bad = [put(tmp_path, name, data) for name, data in BAD.items()]
    locked = put(tmp_path, "locked.nfo")
    locked.chmod(0o444)
    (tmp_path / "films" / "gone.nfo").symlink_to("nowhere")
    os.mkfifo(tmp_path / "films" / "pipe.nfo")
    good = put(tmp_path, "z.nfo")
    gbk = put(tmp_path, "gbk.nfo", '<?xml version="1.0" encoding="gbk"?><movie><tag>我的</tag></movie>'.encode("gbk"))
    names = [*(path.stem for path in bad), "gbk", "locked", "gone", "pipe", "z"]
    status, said = exported(*(f"{name}.mp4" for name in names))
    assert status == 3 and tags_of(good) == ["Animal"] and tags_of(gbk) == ["我的", "Animal"]
    assert {path.name: path.read_bytes() for path in bad} == BAD and locked.read_text() == MOVIE
    assert stat.S_IMODE(locked.stat().st_mode) == 0o444
    for name in [*BAD, "locked.nfo", "gone.nfo", "pipe.nfo"]:
        assert f"/{name}: " in said


def test_links_are_written_through(exported, tmp_path):
    store = put(tmp_path, "store/film.nfo")
    (tmp_path / "films/a.nfo").symlink_to("store/film.nfo")
    hard = put(tmp_path, "store/hard.nfo")
    os.link(hard, tmp_path / "films/b.nfo")
    exported("a.mp4", "b.mp4")
    assert (tmp_path / "films/a.nfo").is_symlink() and tags_of(store) == ["Animal"]
    assert hard.samefile(tmp_path / "films/b.nfo") and tags_of(hard) == ["Animal"]


def test_the_film_of_another_folder_is_never_written_to(exported, tmp_path, monkeypatch):
    """Results with relative addresses, as they stood in tables of old."""
    for disk in "AB":
        put(tmp_path, f"{disk}/1.mp4", "")
        put(tmp_path, f"{disk}/1.nfo")
    write_tables(tmp_path / "results", tags=[film("1.mp4", [tag("Animal", 1.0)])])
    monkeypatch.chdir(tmp_path / "films" / "B")
    assert main(["export", str(tmp_path / "results"), "--to", "nfo"]) == 3
    assert (tmp_path / "films/A/1.nfo").read_text() == (tmp_path / "films/B/1.nfo").read_text() == MOVIE


def test_a_name_as_long_as_file_systems_take(exported, tmp_path):
    name = "名" * 83 + "ab"  # 251 bytes
    mine = put(tmp_path, name + ".nfo")
    assert exported(name + ".mp4", "b" * 251 + ".mp4", more=["--create"])[0] == 0
    assert tags_of(mine) == ["Animal"] and tags_of(tmp_path / "films" / ("b" * 251 + ".nfo")) == ["Animal"]
    status, said = exported("c" * 252 + ".ts", more=["--create"])
    assert status == 3 and "name too long" in said.lower()


def test_copies_elsewhere_leave_the_film_s_own_alone(exported, tmp_path):
    mine = put(tmp_path, "a.NFO")
    assert exported("a.mp4", "b.mp4", more=["--output", str(tmp_path / "out")])[0] == 0
    assert mine.read_text() == MOVIE and names_in(tmp_path / "out") == ["a.nfo", "b.nfo"]
    root = etree.parse(tmp_path / "out" / "a.nfo").getroot()
    assert (root.findtext("title"), root.findtext("tag")) == ("mine", "Animal")


def test_options_that_a_format_does_not_take_are_refused(tmp_path, capsys):
    write_tables(tmp_path / "results", tags=[film("/a.mp4")])
    assert main(["export", str(tmp_path / "results"), "--to", "csv", "--create"]) == 2
    assert "--create is not for --to csv" in capsys.readouterr().err


def test_a_film_that_is_gone_is_named(exported, tmp_path):
    exported("a.mp4")
    (tmp_path / "films/a.mp4").unlink()
    put(tmp_path, "a.nfo")
    assert main(["export", str(tmp_path / "results"), "--to", "nfo"]) == 3
    assert (tmp_path / "films/a.nfo").read_text() == MOVIE


# Which NFO it is. Each line: the files, the film, the NFO that gain tags, what --create would make.

PLACES = [
    (["a.mp4"], "a.mp4", [], "a.nfo"),
    (["a.mp4", "a.nfo", "b.mp4"], "a.mp4", ["a.nfo"], "a.nfo"),
    (["a.mp4", "a.NFO"], "a.mp4", ["a.NFO"], "a.nfo"),
    (["A.mp4", "a.nfo"], "A.mp4", ["a.nfo"], "A.nfo"),
    (["A.mp4", "a.mkv", "a.nfo"], "A.mp4", [], "A.nfo"),  # it is that of a.mkv
    (["A.mp4", "A.nfo", "a.nfo"], "A.mp4", ["A.nfo"], "A.nfo"),
    (["Cafe\u0301.mp4", "Café.nfo"], "Cafe\u0301.mp4", ["Café.nfo"], "Cafe\u0301.nfo"),
    # A film in a folder of its own: movie.nfo, and its own if there is one.
    (["F/F.mkv", "F/movie.nfo"], "F/F.mkv", ["F/movie.nfo"], "F/F.nfo"),
    (["F/F.mkv", "F/F.nfo", "F/movie.nfo"], "F/F.mkv", ["F/F.nfo", "F/movie.nfo"], "F/F.nfo"),
    (["F/F.mkv", "F/F-trailer.mp4", "F/movie.nfo"], "F/F.mkv", ["F/movie.nfo"], "F/F.nfo"),
    (["F/F.mkv", "F/F-trailer.mp4", "F/movie.nfo"], "F/F-trailer.mp4", [], "F/F-trailer.nfo"),
    (["F/x cd1.avi", "F/x cd2.avi", "F/movie.nfo"], "F/x cd2.avi", ["F/movie.nfo"], "F/x cd2.nfo"),
    (["F/x cd1.avi", "F/x cd2.avi", "F/x.nfo"], "F/x cd2.avi", ["F/x.nfo"], "F/x cd2.nfo"),
    (["F/F - 4K.mkv", "F/F - HD.mkv", "F/movie.nfo"], "F/F - HD.mkv", ["F/movie.nfo"], "F/F - HD.nfo"),
    (["F/a.mkv", "F/b.mkv", "F/movie.nfo"], "F/a.mkv", [], "F/a.nfo"),
    (["F/a.mkv", "F/b.WM", "F/movie.nfo"], "F/a.mkv", [], "F/a.nfo"),
    (["F/a.mkv", "F/b.srt", "F/._b.mp4", "F/movie.nfo"], "F/a.mkv", ["F/movie.nfo"], "F/a.nfo"),
    (
        ["F/a.mkv", "F/a.f401.mp4", "F/a.f251.webm", "F/a.temp.mp4", "F/a.mkv.part", "F/movie.nfo"],
        "F/a.mkv",
        ["F/movie.nfo"],
        "F/a.nfo",
    ),
    (["F/a.mkv", "F/tvshow.nfo", "F/season.nfo"], "F/a.mkv", [], "F/a.nfo"),
    (["F/S01E02.mkv", "F/movie.nfo"], "F/S01E02.mkv", [], "F/S01E02.nfo"),
    # Discs.
    (
        ["F/VIDEO_TS/VTS_01_1.VOB", "F/VIDEO_TS/VIDEO_TS.nfo"],
        "F/VIDEO_TS/VTS_01_1.VOB",
        ["F/VIDEO_TS/VIDEO_TS.nfo"],
        "F/movie.nfo",
    ),
    (["F/VIDEO_TS/VTS_01_1.VOB", "F/movie.nfo"], "F/VIDEO_TS/VTS_01_1.VOB", ["F/movie.nfo"], "F/movie.nfo"),
    (["F/VIDEO_TS/VTS_01_1.VOB", "F/F.nfo"], "F/VIDEO_TS/VTS_01_1.VOB", ["F/F.nfo"], "F/movie.nfo"),
    (["F/VIDEO_TS/VTS_01_1.VOB", "F/b.mkv", "F/movie.nfo"], "F/VIDEO_TS/VTS_01_1.VOB", [], "F/VIDEO_TS/VIDEO_TS.nfo"),
    (["F/BDMV/STREAM/00001.m2ts", "F/BDMV/index.nfo"], "F/BDMV/STREAM/00001.m2ts", ["F/BDMV/index.nfo"], "F/movie.nfo"),
]


@pytest.mark.parametrize(("files", "name", "wanted", "new"), PLACES)
def test_which_nfo_is_a_film_s(files, name, wanted, new):
    def names(folder):
        inside = [f"/lib/{file}"[len(folder) + 1 :] for file in files if f"/lib/{file}".startswith(folder + "/")]
        return {path.split("/")[0] for path in inside}

    place = place_of(f"/lib/{name}", names)
    assert list(place.files) == [f"/lib/{file}" for file in wanted]
    assert place.new == f"/lib/{new}"


STEMS = ["a", "A", "b", "a.b", "Caf\u00e9", "Cafe\u0301", "movie", "tvshow", "F", "S01E02", "a-trailer"]


@given(st.sets(st.tuples(st.sampled_from(STEMS), st.sampled_from([".mp4", ".mkv", ".nfo", ".NFO"])), max_size=9))
def test_no_nfo_is_ever_that_of_two_films(found):
    """Of any folder: each NFO goes to one film at most (a trailer is none of its own), and is one that is there."""
    names = {stem + suffix for stem, suffix in found}
    taken = []
    for name in sorted(names):
        if name.lower().endswith((".mp4", ".mkv")):
            with contextlib.suppress(NfoError):
                taken += place_of(f"/lib/F/{name}", lambda folder: names if folder == "/lib/F" else set()).files
    assert len(taken) == len(set(taken)) and {path.removeprefix("/lib/F/") for path in taken} <= names
    own = {name.rpartition(".")[0] for name in names if name.endswith((".mp4", ".mkv"))}
    assert "tvshow" in own or not any(path.lower().endswith("/tvshow.nfo") for path in taken)


def test_an_nfo_of_two_films_is_left(exported, tmp_path):
    mine = put(tmp_path, "1.nfo")
    put(tmp_path, "1.mkv", "")
    status, said = exported("1.mp4")
    assert status == 3 and "1.mkv" in said and mine.read_text() == MOVIE


@pytest.mark.parametrize(
    ("name", "folder", "wanted"),
    [
        ("Show.S01E02.mkv", "x", True),
        ("show s1e2.mkv", "x", True),
        ("Show 1x02.mkv", "x", True),
        ("02 - name.mkv", "Season 1", True),
        ("a.mkv", "Specials", True),
        ("Film 1920x1080.mkv", "x", False),
        ("Film x264.mkv", "x", False),
        ("Les 4x4.mkv", "x", False),
        ("Ocean's 8.mkv", "Series", False),
    ],
)
def test_what_is_an_episode(name, folder, wanted):
    assert is_episode(f"/lib/{folder}", name, lambda _: set()) == wanted
