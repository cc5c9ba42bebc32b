"""NFO of any encoding and form: only tags are put in, read back by lxml."""

from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree

from movie_tags.report.exports.nfo_text import NfoError, merge, new_nfo

OLD = """<?xml version='1.0' encoding="UTF-8"  standalone='yes' ?>\r
<!-- <tag>not one</tag> --><movie>\r
\t<title>A &amp; B</title>\r
\t<genre>Drama / Crime</genre><plot><![CDATA[<tag>no</tag>]]></plot>\r
\t<tag>beach/sea</tag>\r
\t<tag >mine</tag ><set><tag>of a set</tag></set>\r
\t<empty   a='1'/>\r
</movie>\r
https://www.themoviedb.org/movie/1 <- not XML & more
"""


def assert_only_inserted(old, new):
    """New bytes are the old ones with one piece put in."""
    more = len(new) - len(old)
    same = next((k for k, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(old))
    assert more >= 0
    assert old[same:] == new[same + more :]


def tags_of(data):
    return [element.text for element in etree.fromstring(data).findall("tag")]


def test_an_nfo_keeps_every_byte_and_gains_only_tags_that_it_lacks():
    old = OLD.encode()
    new = merge(old, ["Beach/Sea", "Car chase", "a / b", "<x> & y", "MINE", "Car chase"])
    assert_only_inserted(old, new)
    head = new[: new.rindex(b"</movie>") + len(b"</movie>")]
    root = etree.fromstring(head)
    assert [element.text for element in root.findall("tag")] == ["beach/sea", "mine", "Car chase", "a/b", "<x> & y"]
    assert [element.text for element in root.findall("genre")] == ["Drama / Crime"]
    assert b"\t<tag>Car chase</tag>\r\n" in new.replace(b"<set>", b"\r\n<set>") and b"\n\n" not in new
    assert merge(new, ["Beach/Sea", "Car chase", "a / b"]) == new


@pytest.mark.parametrize(
    ("encoding", "title"),
    [
        *((name, "Été «x»") for name in ("utf-8", "utf-8-sig", "utf-16", "utf-32", "windows-1252", "macroman")),
        *((name, "Ete") for name in ("us-ascii", "iso-8859-1", "utf-16-le", "utf-16-be")),
        ("koi8-r", "Война"),
        *((name, "我的虎妞") for name in ("gbk", "gb2312", "gb18030")),
        *((name, "許功蓋\u3000一") for name in ("big5", "big5-hkscs")),  # whose last bytes are backslashes
        *((name, "表示ソ十") for name in ("shift_jis", "x-sjis", "cp932", "euc-jp", "iso-2022-jp")),
        *((name, "한국의 호랑이") for name in ("euc-kr", "cp949", "windows-949")),
    ],
)
def test_an_nfo_keeps_its_encoding(encoding, title):
    declared = encoding.removesuffix("-sig")
    text = (
        f'<?xml version="1.0" encoding="{declared}"?>\n<movie>\n  <title>{title}</title><tag>{title}</tag>\n</movie>\n'
    )
    encoding = {"windows-949": "cp949", "x-sjis": "shift_jis"}.get(encoding, encoding)
    old = text.encode(encoding)
    new = merge(old, ["Café", "漢字", title])
    assert_only_inserted(old, new)
    # Python's codec and its own parser, which is told nothing of the encoding, are not those that put it in.
    root = ElementTree.fromstring(new.decode(encoding).split("?>", 1)[1])
    assert [element.text for element in root.findall("tag")] == [title, "Café", "漢字"]
    assert merge(new, ["Café", "漢字", title]) == new


def test_bytes_that_an_encoding_writes_in_two_ways_stay_as_they_are():
    """NEC's and IBM's Roman numerals: both are read as one character, and Python writes the first."""
    old = b'<?xml version="1.0" encoding="Shift_JIS"?><movie><title>@</title></movie>'
    old = old.replace(b"@", b"\x87\x54\xfa\x4a")
    assert_only_inserted(old, merge(old, ["Animal"]))


@pytest.mark.parametrize(
    "old",
    [
        "<movie></movie>",
        "<movie/>",
        "<movie />\n",
        "<movie a='/'/>",
        "\n\n<?xml version='1.0'?>\n<movie><tag>a</tag></movie>",
        "<movie><tag/></movie>",
        "<movie>\n</movie>",
        "<movie>\n  <tag>a</tag><!-- c -->\n</movie>",
        "<episodedetails><title>x</title>\n</episodedetails>",
        "<!DOCTYPE movie><movie>\n</movie>",
    ],
)
def test_an_nfo_of_any_form_takes_tags(old):
    new = merge(old.encode(), ["New one"])
    before, after = ElementTree.fromstring(old.strip()), ElementTree.fromstring(new.strip())
    assert [t.text for t in after.findall("tag")] == [t.text for t in before.findall("tag")] + ["New one"]
    assert after.tag == before.tag


def test_every_episode_of_a_file_gains_the_tags():
    one = "<episodedetails>\n  <episode>{}</episode>{}\n</episodedetails>\n"
    old = (
        '<?xml version="1.0"?>\n' + one.format(1, "<tag>Animal</tag>") + "<!-- x -->\n" + one.format(2, "") + "http://y"
    )
    new = merge(old.encode(), ["Animal", "War"])
    roots = etree.fromstring(b"<all>" + new.split(b"?>")[1].rsplit(b"http", 1)[0] + b"</all>")
    assert [[tag.text for tag in root.findall("tag")] for root in roots.findall("episodedetails")] == [
        ["Animal", "War"]
    ] * 2
    assert new.endswith(b"http://y") and merge(new, ["War", "Animal"]) == new


@pytest.mark.parametrize(
    ("old", "reason"),
    [
        (b"https://www.themoviedb.org/movie/1", "no XML"),
        (b"", "no XML"),
        (b"<html></html>", "root is <html>"),
        (b"<movie><title>", "no XML that can be added to"),
        (b"\0\1", "no XML"),
        (b"<tvshow></tvshow>", "whole series"),
        (b"<episodedetails/><episodedetails><x>", "no XML that can be added to"),
        (b'<?xml version="1.0" encoding="utf-16"?><movie></movie>', "says that it is utf-16, but it is not"),
        (b'<?xml version="1.0" encoding="klingon"?><movie></movie>', "says that it is klingon"),
        ("<movie><title>Été</title></movie>".encode("cp1252"), "should be UTF-8"),
    ],
)
def test_what_is_no_nfo_of_a_film_is_left_alone(old, reason):
    with pytest.raises(NfoError, match=reason):
        merge(old, ["a"])


RETRACTED = """<movie>
  <title>War</title>
  <tag>war</tag>
  <tag>mine</tag>
  <tag>Animal</tag> <tag>Beach / Sea</tag><tag by="me">War</tag>
  <set><tag>War</tag></set>
  <tag>WAR</tag>
</movie>
"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_retracted_tags_go_and_nothing_else(line_end):
    """Whole lines where the element stands alone; elements with attributes, and those of other elements, stay."""
    old = RETRACTED.replace("\n", line_end)
    known = ["War", "Animal", "Beach/Sea", "Food"]
    new = merge(old.encode(), ["Animal", "Food"], known)
    wanted = old.replace(f"{line_end}  <tag>war</tag>", "").replace("<tag>Beach / Sea</tag>", "")
    assert new.decode() == wanted.replace("<tag>WAR</tag>", "<tag>Food</tag>")
    assert merge(new, ["Animal", "Food"], known) == new


@given(
    st.lists(st.sampled_from("abc"), max_size=3),
    st.sampled_from(["<movie>\n</movie>", "<movie>\r\n\t<tag>x</tag>\r\n</movie>", " <movie>\n  <set/>\n </movie>\n"]),
    st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]),
)
def test_what_was_put_in_is_taken_out_to_the_byte(tags, text, encoding):
    old = text.encode(encoding)
    assert merge(merge(old, tags), [], "abc") == old


@given(st.lists(st.text(max_size=12), max_size=4), st.lists(st.text(max_size=12), max_size=4))
@example([], ["a\0b", "]]>", "</tag>"])
def test_any_text_becomes_tags_and_only_once(first, second):
    once = merge(new_nfo(first, title="t"), second)
    assert merge(once, [*first, *second]) == once
    assert all(" / " not in text for text in tags_of(once))


def test_a_new_nfo_lets_kodi_look_the_film_up_and_has_no_title_that_nobody_gave():
    """Kodi takes an NFO for all there is to know, but where these words stand in it (CNfoFile.cpp)."""
    new = new_nfo(["Animal"], "episodedetails")
    root = etree.fromstring(new)
    assert (root.tag, root.find("title"), tags_of(new)) == ("episodedetails", None, ["Animal"])
    assert b"[scrape url]" in new
    assert etree.fromstring(new_nfo(["a"], title="A & B")).findtext("title") == "A & B"
