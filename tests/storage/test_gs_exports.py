"""Exports of films on gs://, against an emulator on loopback."""

from pathlib import Path
from xml.etree import ElementTree

from exported import write_film
from result_folders import film, span, tag, write_tables

from movie_tags import storage
from movie_tags.pipeline.commands import main


def test_nfo_beside_films_on_gs(gs, tmp_path, capsys):
    folder = tmp_path / "films" / "Tiger"
    folder.mkdir(parents=True)
    write_film(folder / "tiger.mp4", 25, 8)
    (folder / "movie.nfo").write_text("<movie>\n  <title>mine</title>\n</movie>\n")
    at = gs.put(tmp_path / "films", "films")
    uri = storage.join(at, "Tiger", "tiger.mp4")
    tables = {"tags": [film(uri, [tag("Animal", 1.0)])], "spans": [span(uri, "Animal", 2, 7)]}
    results = str(write_tables(tmp_path / "results", **tables))
    assert main(["export", results, "--to", "nfo"]) == 0
    root = ElementTree.fromstring(storage.read_bytes(storage.join(at, "Tiger", "movie.nfo")))
    assert (root.findtext("title"), root.findtext("tag")) == ("mine", "Animal")
    assert main(["export", results, "--to", "xmp", "--create"]) == 0
    assert storage.exists(f"{uri}.xmp")
    assert main(["export", results, "--to", "otio", "--output", str(tmp_path / "out")]) == 0
    assert "00:00:00:00 00:00:08:00" in Path(tmp_path / "out" / "tiger.edl").read_text()
    assert main(["export", results, "--to", "fiftyone"]) == 3
    assert "opens files of this machine only" in capsys.readouterr().err
