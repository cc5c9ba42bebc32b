"""NFO of Kodi and Jellyfin: <tag> elements, put into the file that is there; every other byte of it stays.

XML libraries write a document anew: quotes, declaration and spacing change, and what follows the root (an address, in
Kodi's combination NFO) is no XML at all. So expat only tells where the root and its tags end, and what is new is put in
between.
"""

from __future__ import annotations

import re
import xml.parsers.expat as expat
from collections.abc import Iterable
from xml.sax.saxutils import escape

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.report.exports import Written, one_line
from movie_tags.results.tables import Results, slug

ROOTS = frozenset({"movie", "tvshow", "episodedetails", "musicvideo"})
TEMPLATE = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<movie>\n  <title>{}</title>\n</movie>\n'
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class NfoError(UserError):
    """An NFO that nothing can be put into; the message says why."""


class _Places:
    """Where things stand in an NFO: byte offsets in the file."""

    def __init__(self, data: bytes):
        self.data = data
        self.depth = 0
        self.root = ""
        self.last_tag_end: int | None = None  # right behind the last <tag> of the root
        self.root_end: int | None = None  # before the root's end tag; behind a root that has none
        self.tags: list[str] = []
        self.encoding = "utf-8"
        self._text: list[str] | None = None
        self._behind_tag = False
        parser = self.parser = expat.ParserCreate()
        parser.XmlDeclHandler = self._declared
        parser.StartElementHandler = self._begin
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.CommentHandler = parser.DefaultHandler = lambda _: self._mark()
        try:
            parser.Parse(data, True)
        except (expat.ExpatError, LookupError) as error:
            if self.root_end is None:  # what follows the root does not matter
                raise NfoError(f"no XML that can be added to ({error})") from error
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            self.encoding = "utf-16-le" if data.startswith(b"\xff\xfe") else "utf-16-be"

    def _mark(self) -> None:
        if self._behind_tag:
            self.last_tag_end = self.parser.CurrentByteIndex
            self._behind_tag = False

    def _declared(self, version: str, encoding: str | None, standalone: int) -> None:
        self.encoding = encoding or self.encoding

    def _begin(self, name: str, attributes: dict) -> None:
        self._mark()
        self.depth += 1
        if self.depth == 1:
            self.root = name
        elif self.depth == 2 and name == "tag":
            self._text = []

    def _characters(self, text: str) -> None:
        self._mark()
        if self._text is not None:
            self._text.append(text)

    def _end(self, name: str) -> None:
        self._mark()
        self.depth -= 1
        if self.depth == 1 and name == "tag" and self._text is not None:
            self.tags.append("".join(self._text).strip())
            self._text, self._behind_tag = None, True
        elif self.depth == 0:
            self.root_end = self.parser.CurrentByteIndex


def tag_text(tag: str) -> str:
    """A tag as an NFO has it. Kodi splits at " / ", so no space stands beside a slash: one tag stays one."""
    return re.sub(r"\s*/\s*", "/", one_line(_NOT_XML.sub(" ", tag)))


def merge(data: bytes, tags: Iterable[str]) -> bytes:
    """An NFO with the tags that it lacks, one <tag> each, behind those it has; every byte of it is kept.

    Raises:
        NfoError: it is no XML of a film.
    """
    found = _Places(data)
    if found.root not in ROOTS:
        raise NfoError(f"its root is <{found.root}>, not <movie>")
    have = {tag.casefold() for tag in found.tags}
    new = [text for text in dict.fromkeys(map(tag_text, tags)) if text and text.casefold() not in have]
    if not new:
        return data
    elements = [f"<tag>{escape(text)}</tag>" for text in new]
    at = found.last_tag_end if found.last_tag_end is not None else found.root_end

    def encoded(text: str) -> bytes:
        return text.encode(found.encoding, "xmlcharrefreplace")

    if found.last_tag_end is None and data[at : at + len(encoded("</"))] != encoded("</"):  # <movie/>: no end tag
        slash = data.rindex(encoded("/"), 0, at)
        inside = "".join(f"  {element}\n" for element in elements)
        return data[:slash] + encoded(f">\n{inside}</{found.root}>") + data[at:]
    before = data[:at].decode(found.encoding, "replace")
    line_end = "\r\n" if "\r\n" in before else "\n"
    if found.last_tag_end is not None:
        indent = re.search(r"([ \t]*)<tag\b[^\n]*\Z", before)
        margin = line_end + (indent.group(1) if indent and "\n" in before else "")
        return data[:at] + encoded("".join(margin + element for element in elements)) + data[at:]
    # Before the end tag, and before its own margin if it stands on a line by itself.
    own = re.search(r"[ \t]*\Z", before).group()
    alone = before[: len(before) - len(own)].endswith("\n")
    at -= len(encoded(own)) if alone else 0
    lines = "".join(f"{own}  {element}{line_end}" for element in elements)
    return data[:at] + encoded(lines if alone else line_end + lines) + data[at:]


def new_nfo(title: str, tags: Iterable[str]) -> bytes:
    """An NFO of a film that has none."""
    return merge(TEMPLATE.format(escape(one_line(_NOT_XML.sub(" ", title)))).encode(), tags)


def write(results: Results, out: str | None) -> Written:
    """An NFO a film: beside the film, or, where `out` is given, in that folder and the one beside the film stays as is.

    Raises:
        OSError: the folder may not be written to.
        OutputError: a table cannot be read.
    """
    written = Written()
    for film in results.films():
        beside = _stem(film.uri) + ".nfo"
        path = beside if out is None else storage.join(out, f"{slug(film)}.nfo")
        if out is None and not storage.exists(film.uri):
            written.left_out.append(
                (film.title, f"{film.uri} is not there any more; --output DIR2 writes its NFO elsewhere")
            )
            continue
        source = None
        try:
            source = next((p for p in (path, beside) if storage.exists(p)), None)
            tags = [tag.tag for tag in film.tags]
            old = None if source is None else storage.read_bytes(source)
            data = new_nfo(_stem(film.title), tags) if old is None else merge(old, tags)
            if source != path or data != old:
                storage.write_bytes(path, data)
        except (NfoError, OSError) as error:
            written.left_out.append((film.title, f"{source or path}: {storage.plainly(error)}; left as it is"))
            continue
        written.files.append(path)
    return written


def _stem(uri: str) -> str:
    name = storage.base_name(uri)
    stem = name.rpartition(".")[0] or name
    return uri[: len(uri) - len(name)] + stem if uri.endswith(name) else stem
