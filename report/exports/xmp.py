"""XMP: a sidecar a film with its tags as keywords, which Lightroom, digiKam, darktable and Immich read.

Sidecars are named FILM.SUFFIX.xmp. The tags are `dc:subject` and `lr:hierarchicalSubject`, of which each of them reads
one at least; a slash is no level in either (Beach/Sea stays one tag), as it would be in digiKam's own `TagsList`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from xml.etree import ElementTree

from movie_tags import storage
from movie_tags.records import Film
from movie_tags.report.exports import FilmError, Options, Written, film_address, in_folder, listed_tags, one_line
from movie_tags.report.phrases import number
from movie_tags.results.film_tables import Results
from movie_tags.storage import in_place

TAKES = frozenset({"create", "dry_run"})
X, RDF = "adobe:ns:meta/", "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC, LR = "http://purl.org/dc/elements/1.1/", "http://ns.adobe.com/lightroom/1.0/"


def is_beside(options: Options) -> bool:
    """Whether the files are written beside the films: only where that is asked for."""
    return options.create


def write(results: Results, out: str | None, options: Options) -> Written:
    """A sidecar for each film that has tags, into a folder, or beside each film that has none.

    Raises:
        OSError: the folder may not be written to.
        OutputError: a table cannot be read.
    """
    written, there = Written(), 0
    for film, name in in_folder(results):
        tags = [one_line(tag.tag) for tag in listed_tags(film, options)]
        if not tags:
            continue
        try:
            path = _beside(film) if out is None else storage.join(out, f"{_with_suffix(name, film)}.xmp")
            if out is None and _has_sidecar(path):
                there += 1
                continue
            if not options.dry_run:
                _put(path, as_xmp(tags), new=out is None)
            written.files.append(path)
        except (FilmError, OSError) as error:
            written.left_out.append((film.title, storage.plainly(error)))
    if there:
        written.notes.append(f"{number(there, 'film')} with a sidecar, which stays as it is")
    return written


def as_xmp(tags: Sequence[str]) -> str:
    """The text of a sidecar."""
    for prefix, uri in {"x": X, "rdf": RDF, "dc": DC, "lr": LR}.items():
        ElementTree.register_namespace(prefix, uri)
    root = ElementTree.Element(f"{{{X}}}xmpmeta")
    rdf = ElementTree.SubElement(root, f"{{{RDF}}}RDF")
    film = ElementTree.SubElement(rdf, f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""})
    for name, texts in (
        (f"{{{DC}}}subject", tags),
        (f"{{{LR}}}hierarchicalSubject", [t.replace("|", "/") for t in tags]),
    ):
        bag = ElementTree.SubElement(ElementTree.SubElement(film, name), f"{{{RDF}}}Bag")
        for text in texts:
            ElementTree.SubElement(bag, f"{{{RDF}}}li").text = text
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _with_suffix(name: str, film: Film) -> str:
    suffix = os.path.splitext(one_line(storage.base_name(film.uri)))[1]
    return f"{name.removesuffix(suffix)}{suffix}"


def _beside(film: Film) -> str:
    uri = film_address(film)
    if not storage.exists(uri):
        raise FilmError(f"{uri} is not there any more")
    return f"{uri}.xmp"


def _has_sidecar(path: str) -> bool:
    """Whether there is one by either name that these programs know: film.mp4.xmp, film.xmp."""
    plain = f"{os.path.splitext(path.removesuffix('.xmp'))[0]}.xmp"
    return storage.exists(path) or storage.exists(plain)


def _put(path: str, text: str, new: bool) -> None:
    if new and not storage.is_remote(path):
        in_place.create(path, text.encode())
    else:
        storage.write_text(path, text)
