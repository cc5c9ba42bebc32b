"""Catalogues as spreadsheets and people write them: read, or answered by saying what was found."""

import json

import pytest

from movie_tags.pipeline.catalogues import InputError, read_rows

ROWS = [("/films/Café.mp4", "1", "Über, alles"), ("/films/b.mp4", "2", "")]


def rows(path):
    notes = []
    return [(row.uri, row.id, row.title) for row in read_rows(str(path), notes)], notes


def table(delimiter, header=("uri", "id", "title")):
    lines = [header, *ROWS]
    return "".join(delimiter.join(f'"{c}"' if delimiter in c else c for c in line) + "\r\n" for line in lines)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
@pytest.mark.parametrize("header", [("uri", "id", "title"), ("URI", "ID", "Title"), (" Path ", "Id", "TITLE")])
def test_what_spreadsheets_write_is_read(tmp_path, delimiter, encoding, header):
    path = tmp_path / "c.csv"
    path.write_bytes(table(delimiter, header).encode(encoding))
    found, notes = rows(path)
    assert found == ROWS
    assert bool(notes) == (encoding == "cp1252")


def test_a_character_late_in_the_file_decides_how_it_is_encoded(tmp_path):
    path = tmp_path / "c.csv"
    path.write_bytes(b"uri\n" + b"/a.mp4\n" * 300_000 + "/é.mp4\n".encode("cp1252"))
    found, _ = rows(path)
    assert len(found) == 300_001 and found[-1][0] == "/é.mp4"
    path.write_bytes(b"uri\n" + b"/a.mp4\n" * 200_000 + "/é.mp4\n".encode())
    assert rows(path)[0][-1][0] == "/é.mp4"


@pytest.mark.parametrize("name", ["file", "filename", "Url", "location"])
def test_other_names_of_the_column(tmp_path, name):
    (tmp_path / "c.csv").write_text(f"id,{name}\n1,/a.mp4\n")
    assert rows(tmp_path / "c.csv")[0] == [("/a.mp4", "1", "")]
    (tmp_path / "c.jsonl").write_text(json.dumps({"ID": 1, name: "/a.mp4"}) + "\n")
    assert rows(tmp_path / "c.jsonl")[0] == [("/a.mp4", "1", "")]


@pytest.mark.parametrize(
    "text,expected",
    [
        ("sep=;\nuri;id\n/a, b.mp4;1\n", [("/a, b.mp4", "1", "")]),
        ("\n\nuri,id\n\n/a.mp4,1\n,\n ,\n", [("/a.mp4", "1", "")]),
        ("uri\n/a.mp4\n/b.mp4", [("/a.mp4", "", ""), ("/b.mp4", "", "")]),
        ('uri,id\n"/He said ""cut"".mp4",1\n', [('/He said "cut".mp4', "1", "")]),
        ("uri,id,,\n/a.mp4,1,,\n", [("/a.mp4", "1", "")]),
        ("uri\n", []),
        ("", []),
    ],
)
def test_odd_forms_that_are_read(tmp_path, text, expected):
    (tmp_path / "c.csv").write_text(text)
    assert rows(tmp_path / "c.csv")[0] == expected


@pytest.mark.parametrize(
    "data,message",
    [
        (b"/films/a.mp4\n/films/b.mp4\n", r"first line, '/films/a.mp4', is a video and names no columns"),
        (b"name;size\na;3\n", r"names 'name', 'size', delimited by semicolons; name the column"),
        (b"name\na\n", r"first line names 'name'; name the column"),
        (b"uri\n/\x81\xff.mp4\n", r"neither UTF-8 nor UTF-16"),
        (b'uri,id\n/a.mp4,1\n"/b.mp4,2\n/c.mp4,3\n', r"c\.csv, line [34].*a quote may not be closed"),
    ],
)
def test_what_cannot_be_read_is_answered_by_what_was_found(tmp_path, data, message):
    (tmp_path / "c.csv").write_bytes(data)
    with pytest.raises(InputError, match=message):
        rows(tmp_path / "c.csv")


def test_rows_that_are_wrong_say_so_and_cost_themselves(tmp_path):
    (tmp_path / "c.csv").write_text('id,uri\n1,/films/One, two.mp4\n,/b.mp4\n3\n4,"/c\nd.mp4"\n')
    found = list(read_rows(str(tmp_path / "c.csv"), []))
    assert [bool(row.wrong) for row in found] == [True, False, True, True]
    assert "3 cells where the first line names 2" in found[0].wrong and found[0].where.endswith("line 2")
    assert "no 'uri'" in found[2].wrong and "line break" in found[3].wrong


def test_a_json_array_is_no_catalogue_and_the_remedy_is_said(tmp_path):
    (tmp_path / "c.jsonl").write_text('[{"uri": "/a.mp4"}]')
    with pytest.raises(InputError, match="is a JSON array"):
        rows(tmp_path / "c.jsonl")
