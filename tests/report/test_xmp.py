"""XMP sidecars, read by the library that digiKam and darktable read them with, and by a parser of RDF's own rules."""

import pyexiv2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree
from result_folders import film, tag, write_tables

from movie_tags.pipeline.commands import main
from movie_tags.report.exports.xmp import as_xmp


@pytest.fixture
def results(tmp_path):
    for name in ("a.mp4", "b.mkv", "c.mp4"):
        (tmp_path / name).touch()
    listed = [tag("Beach/Sea", 1.0, confidence=0.9), tag("Children", 0.4, confidence=0.3)]
    rows = [film(str(tmp_path / name), listed, [tag("War", 0.1, confidence=0.1)]) for name in ("a.mp4", "b.mkv")]
    return write_tables(tmp_path / "results", tags=[*rows, film(str(tmp_path / "c.mp4"))])


def keywords(path):
    """A sidecar's keywords by exiv2: of Dublin Core, and of Lightroom."""
    image = pyexiv2.Image(str(path))
    found = image.read_xmp()
    image.close()
    return found["Xmp.dc.subject"], found["Xmp.lr.hierarchicalSubject"]


def test_exiv2_reads_the_tags(results, tmp_path):
    assert main(["export", str(results), "--to", "xmp"]) == 0
    out = results / "exports" / "xmp"
    assert sorted(path.name for path in out.iterdir()) == ["a.mp4.xmp", "b.mkv.xmp"]
    assert keywords(out / "a.mp4.xmp") == (["Beach/Sea", "Children"], ["Beach/Sea", "Children"])
    assert not list(tmp_path.glob("*.xmp"))


def test_only_tags_that_are_sure_enough(results, tmp_path):
    assert (
        main(["export", str(results), "--to", "xmp", "--output", str(tmp_path / "o"), "--min-confidence", "0.5"]) == 0
    )
    assert keywords(tmp_path / "o" / "a.mp4.xmp")[0] == ["Beach/Sea"]


def test_beside_the_films_only_where_asked_and_none_is_replaced(results, tmp_path, capsys):
    (tmp_path / "b.xmp").write_text("mine")
    assert main(["export", str(results), "--to", "xmp", "--create", "--dry-run"]) == 0
    assert str(tmp_path / "a.mp4.xmp") in capsys.readouterr().out and not (tmp_path / "a.mp4.xmp").exists()
    assert main(["export", str(results), "--to", "xmp", "--create"]) == 0
    assert keywords(tmp_path / "a.mp4.xmp")[0] == ["Beach/Sea", "Children"]
    assert sorted(path.name for path in tmp_path.glob("*.xmp")) == ["a.mp4.xmp", "b.xmp"]
    assert (tmp_path / "b.xmp").read_text() == "mine"


@given(st.lists(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=12), min_size=1, max_size=4))
@example(["<x> & 'y'", "]]>", "a|b"])
def test_any_tag_comes_out_as_it_is(tags):
    root = etree.fromstring(as_xmp(tags))
    names = {"rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "dc": "http://purl.org/dc/elements/1.1/"}
    assert [item.text for item in root.findall(".//dc:subject/rdf:Bag/rdf:li", names)] == tags
