"""NFO text: where new <tag> elements go among the bytes of an NFO of any encoding; every other byte of it stays.

XML libraries write a document anew: quotes, declaration and spacing change, and what follows the root (an address, in
Kodi's combination NFO; another episode) is no XML at all. So expat only tells where each root and its tags end.
"""

from __future__ import annotations

import codecs
import contextlib
import re
import unicodedata
import xml.parsers.expat as expat
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from movie_tags.report.exports import FilmError, one_line

Edit = tuple[int, int, str]
"""A stretch of the UTF-8 text, its first byte and the first that is no longer in it, and what replaces it."""
ROOTS = ("movie", "episodedetails", "musicvideo")
SCRAPE = "<!-- Kodi looks the rest up because of this line: [scrape url] -->"
"""Without these two words Kodi takes an NFO for all that there is to know (CNfoFile::SearchNfoForScraperUrls)."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, with whose mark it begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FIRST = ((b"<\0\0\0", "utf-32-le"), (b"\0\0\0<", "utf-32-be"), (b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))
"""How a file without a mark begins in encodings that are no superset of ASCII (XML 1.0, appendix F)."""
_DECLARED = re.compile(rb"\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']([A-Za-z][\w.:-]*)[\"']")
_WIDER = {"gb2312": "gbk", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "big5": "cp950"}
"""Encodings that files often are in while they declare the narrower one."""
_NEXT_ROOT = re.compile(rb"(?:\s|<!--.*?-->|<\?.*?\?>)*(?=<(?:%s|tvshow)[\s/>])" % "|".join(ROOTS).encode(), re.S)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class NfoError(FilmError):
    """An NFO that nothing can be put into; the message says why."""


@dataclass(frozen=True)
class Decoded:
    """An NFO's bytes as text.

    Attributes:
        mark: the byte order mark; empty where there is none.
        text: everything behind it.
        codec: Python's name of the encoding that gives back the bytes.
    """

    mark: bytes
    text: str
    codec: str


def decode(data: bytes) -> Decoded:
    """Decode an NFO by its byte order mark, its first bytes, its declaration, or else as UTF-8.

    Raises:
        NfoError: it is not in the encoding that these say, or begins with no tag.
    """
    declared = _DECLARED.match(data)
    name = declared.group(1).decode() if declared else "utf-8"
    guesses = [(b"", codec) for codec in _spellings(name)]
    guesses[:0] = [(mark, codec) for mark, codec in _BOMS if data.startswith(mark)]
    guesses[:0] = [(b"", codec) for first, codec in _FIRST if data.startswith(first)]
    for mark, codec in guesses:
        try:
            text = data[len(mark) :].decode(codec)
        except (UnicodeDecodeError, LookupError):
            continue
        if declared and not text.lstrip().startswith("<"):
            continue  # plain bytes that are declared to be UTF-16 become anything at all
        return Decoded(mark, text, codec)
    said = f"says that it is {name}" if declared else "does not say in what encoding it is, so it should be UTF-8"
    raise NfoError(f"{said}, but it is not; save it as UTF-8")


def _spellings(name: str) -> Iterator[str]:
    """Python's names of a declared encoding of text, and of the wider ones that are often meant by it."""
    found = _codec(name)
    while found:
        yield found
        found = _WIDER.get(found)


def _codec(name: str) -> str | None:
    """Python's name of an encoding of text; None where it has none."""
    for spelled in (name, name.lower().removeprefix("x-"), name.lower().replace("windows-", "cp")):
        with contextlib.suppress(LookupError):
            return codecs.lookup(spelled).name
    return None


@dataclass
class TagElement:
    """A <tag> element: its text, where it stands in the UTF-8 text, and whether it has nothing but text in it."""

    start: int
    plain: bool
    text: str = ""
    end: int | None = None


@dataclass
class Root:
    """A root of an NFO and what is known of it: offsets in its UTF-8 text.

    Attributes:
        name: of the element.
        tags: its <tag> elements.
        end: before its end tag; behind a root that has none.
    """

    name: str = ""
    tags: list[TagElement] = field(default_factory=list)
    end: int = -1


class _Finder:
    """Finds one root, whatever follows it."""

    def __init__(self, text: bytes, begin: int):
        self.root = Root()
        self._begin, self._depth = begin, 0
        self._text: list[str] | None = None
        self._behind_tag = False
        parser = self._parser = expat.ParserCreate("utf-8")  # whatever its declaration says
        parser.StartElementHandler = self._started
        parser.EndElementHandler = self._ended
        parser.CharacterDataHandler = self._characters
        parser.CommentHandler = parser.DefaultHandler = lambda _: self._mark()
        try:
            parser.Parse(text[begin:], True)
        except expat.ExpatError as error:
            if self.root.end < 0:  # what follows the root does not matter
                raise NfoError(f"no XML that can be added to ({error})") from error

    def _at(self) -> int:
        return self._begin + self._parser.CurrentByteIndex

    def _mark(self) -> None:
        if self._behind_tag:
            self.root.tags[-1].end = self._at()
            self._behind_tag = False

    def _started(self, name: str, attributes: dict) -> None:
        self._mark()
        self._depth += 1
        if self._depth == 1:
            self.root.name = name
        elif self._depth == 2 and name == "tag":
            self.root.tags.append(TagElement(self._at(), not attributes))
            self._text = []
        elif self._text is not None:
            self.root.tags[-1].plain = False

    def _characters(self, text: str) -> None:
        self._mark()
        if self._text is not None:
            self._text.append(text)

    def _ended(self, name: str) -> None:
        self._mark()
        self._depth -= 1
        if self._depth == 1 and name == "tag" and self._text is not None:
            self.root.tags[-1].text = "".join(self._text).strip()
            self._text, self._behind_tag = None, True
        elif self._depth == 0:
            self.root.end = self._at()


def roots_of(text: bytes) -> list[Root]:
    """The roots of an NFO, one after the other: a file of several episodes has several.

    Args:
        text: UTF-8.

    Raises:
        NfoError: it is no XML, or a root is of something else than a film or an episode.
    """
    found: list[Root] = []
    begin = len(text) - len(text.lstrip())
    if text[begin : begin + 1] != b"<":
        raise NfoError("no XML (it does not begin with <)")
    while begin >= 0:
        root = _Finder(text, begin).root
        if root.name == "tvshow":
            raise NfoError("is of a whole series (<tvshow>), not of this film")
        if root.name not in ROOTS:
            raise NfoError(f"its root is <{root.name}>, not <movie>")
        found.append(root)
        following = _NEXT_ROOT.match(text, text.index(b">", root.end) + 1 if has_end_tag(root, text) else root.end)
        begin = following.end() if following else -1
    return found


def has_end_tag(root: Root, text: bytes) -> bool:
    """Whether a root ends with a tag of its own, as <movie/> does not."""
    return text[root.end : root.end + 2] == b"</"


def tag_text(tag: str) -> str:
    """A tag as an NFO has it. Kodi splits at " / ", so no space stands beside a slash: one tag stays one."""
    return re.sub(r"\s*/\s*", "/", one_line(_NOT_XML.sub(" ", tag)))


def same(tag: str) -> str:
    """What is equal of two spellings of a tag."""
    return unicodedata.normalize("NFC", tag_text(tag)).casefold()


def merge(data: bytes, tags: Iterable[str], retracted: Iterable[str] = ()) -> bytes:
    """An NFO whose every root has the tags that it lacked, one <tag> each, behind those it had; idempotent.

    Args:
        data: the file.
        tags: what it shall have.
        retracted: what it shall not have, where it is not among `tags`: such elements go, those with attributes aside.

    Raises:
        NfoError: it is no XML of a film, or its encoding does not let anything be put in.
    """
    found = decode(data)
    text = found.text.encode()
    wanted = [tag for tag in dict.fromkeys(map(tag_text, tags)) if tag]
    unwanted = set(map(same, retracted)) - set(map(same, wanted))
    edits: list[Edit] = []
    for root in roots_of(text):
        edits += [*_removals(root, text, unwanted), *_additions(root, text, wanted)]
    for start, end, inserted in sorted(edits, reverse=True):
        data = _put_in(data, found, text, start, end, inserted)
        text = text[:start] + inserted.encode() + text[end:]
    return data


def _put_in(data: bytes, found: Decoded, text: bytes, start: int, end: int, inserted: str) -> bytes:
    """The file with a piece put in, which `start` and `end` bound in its UTF-8 text."""
    head, middle, tail = (piece.decode() for piece in (text[:start], text[start:end], text[end:]))
    piece = inserted.encode(found.codec, "xmlcharrefreplace")
    try:
        at = len(found.mark + head.encode(found.codec))
        new = data[:at] + piece + data[at + len(middle.encode(found.codec)) :]
        # Nothing but this may have changed: some encodings write one character in several ways, or have states.
        kept = new[len(found.mark) :].decode(found.codec) == head + piece.decode(found.codec) + tail
    except UnicodeError:
        kept = False
    if not kept:
        raise NfoError(f"its encoding {found.codec} does not let anything be put in")
    return new


def _removals(root: Root, text: bytes, unwanted: Set[str]) -> Iterator[Edit]:
    """What to take out of a root: elements with the line that they stand on by themselves."""
    for tag in root.tags:
        if tag.plain and tag.end is not None and same(tag.text) in unwanted:
            margin = re.search(rb"\r?\n[ \t]*\Z", text[: tag.start])
            alone = margin is not None and text[tag.end : tag.end + 1] in (b"\r", b"\n", b"")
            yield margin.start() if margin and alone else tag.start, tag.end, ""


def _additions(root: Root, text: bytes, wanted: list[str]) -> Iterator[Edit]:
    """What to put into a root so that it has all tags."""
    have = {same(tag.text) for tag in root.tags}
    elements = [f"<tag>{escape(tag)}</tag>" for tag in wanted if same(tag) not in have]
    if elements:
        yield _addition(root, text, elements)


def _addition(root: Root, text: bytes, elements: list[str]) -> Edit:
    line_end = "\r\n" if b"\r\n" in text else "\n"
    if root.tags and root.tags[-1].end is not None:
        return _behind_tags(text, root.tags[-1].end, elements, line_end)
    if has_end_tag(root, text):
        return _before_end(text, root.end, elements, line_end)
    lines = "".join(f"  {element}{line_end}" for element in elements)
    return text.rindex(b"/", 0, root.end), root.end, f">{line_end}{lines}</{root.name}>"


def _behind_tags(text: bytes, at: int, elements: list[str], line_end: str) -> Edit:
    indent = re.search(rb"([ \t]*)<tag\b[^\n]*\Z", text[:at])
    margin = line_end + (indent.group(1).decode() if indent and b"\n" in text[:at] else "")
    return at, at, "".join(margin + element for element in elements)


def _before_end(text: bytes, at: int, elements: list[str], line_end: str) -> Edit:
    """Before the end tag, and before its own margin if it stands on a line by itself."""
    own = text[len(text[:at].rstrip(b" \t")) : at]
    alone = text[: at - len(own)].endswith(b"\n")
    at -= len(own) if alone else 0
    lines = "".join(f"{own.decode()}  {element}{line_end}" for element in elements)
    return at, at, lines if alone else line_end + lines


def new_nfo(tags: Iterable[str], root: str = "movie", title: str = "") -> bytes:
    """An NFO of a film that has none; Kodi still looks the film up (SCRAPE)."""
    known = f"  <title>{escape(one_line(_NOT_XML.sub(' ', title)))}</title>\n" if title else ""
    empty = f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n{SCRAPE}\n<{root}>\n{known}</{root}>\n'
    return merge(empty.encode(), tags)
