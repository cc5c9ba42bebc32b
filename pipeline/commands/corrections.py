"""`movie-tags corrections`: what people have said of tags: listed, added, exported and imported."""

from __future__ import annotations

import argparse
import getpass
import json
import os
from collections.abc import Iterator, Sequence

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.pipeline.commands.common import DONE, not_negative
from movie_tags.records import Film
from movie_tags.report.exports import Options, listed_spans
from movie_tags.report.phrases import number, timecode
from movie_tags.results.corrections import (
    APPLIES,
    REJECTED,
    WITHDRAWN,
    Correction,
    CorrectionError,
    Corrections,
    Place,
    correction_of,
)
from movie_tags.results.film_tables import Results
from movie_tags.results.marked import corrections_of

OPTIONS = {
    "description": "List what people have said of the tags of films, add to it, or carry it elsewhere. Corrections\n"
    "hold from then on in pages, searches and exports, whatever later runs say.\n\n"
    "  movie-tags corrections results/                                          list them\n"
    "  movie-tags corrections results/ --film trailer.mp4 --rejected Beach/Sea\n"
    "  movie-tags corrections results/ --film trailer.mp4 --applies Temple --start 4 --end 9\n"
    "  movie-tags corrections results/ --export FILE.jsonl\n"
    "  movie-tags corrections results/ --import FILE.jsonl",
}
VERDICTS = {"applies": APPLIES, "rejected": REJECTED, "withdraw": WITHDRAWN}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", metavar="DIR", help="folder of results, local or gs://")
    parser.add_argument("--json", action="store_true", help="list them as lines of JSON")
    parser.add_argument("--export", metavar="FILE", help="write them as lines of JSON, local or gs://")
    parser.add_argument("--import", dest="source", metavar="FILE", help="add those of such lines")
    said = parser.add_argument_group("say something of a film")
    said.add_argument("--film", metavar="ID", help="the film's id, or its title where only one film has it")
    verdict = said.add_mutually_exclusive_group()
    verdict.add_argument("--applies", metavar="TAG", help="the tag applies; any word will do")
    verdict.add_argument("--rejected", metavar="TAG", help="the tag does not apply")
    verdict.add_argument("--withdraw", metavar="TAG", help="take back what was said of the tag")
    said.add_argument("--start", type=not_negative, metavar="SECONDS", help="from here [of the whole film]")
    said.add_argument("--end", type=not_negative, metavar="SECONDS", help="until here")
    said.add_argument("--by", metavar="NAME", help="who says so [the name of the user]")


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    store = Corrections(args.results)
    chosen = [name for name in VERDICTS if getattr(args, name) is not None]
    if bool(chosen) != (args.film is not None):
        raise UserError("--film goes with one of --applies, --rejected and --withdraw")
    try:
        if args.source:
            return take(store, args.source)
        if chosen:
            return say(args, store, chosen[0])
        if args.export:
            return hand_on(store, args.export)
        return show(store, args.json)
    except OSError as error:
        raise UserError(f"{args.results}: {storage.plainly(error)}") from error


def user_name() -> str:
    """Who is at the keyboard."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user that has no name
        return str(os.getuid())


def say(args: argparse.Namespace, store: Corrections, verdict: str) -> int:
    """Add a correction of a film; returns the exit status."""
    with Results(args.results) as results:
        film = results.film(args.film)
    row = {
        "film": film.id,
        "tag": getattr(args, verdict),
        "verdict": VERDICTS[verdict],
        "content": film.content,
        "by": args.by or user_name(),
        "start_s": args.start,
        "end_s": args.end,
    }
    (said,) = store.append([correction_of(row)])
    print(line_of(said))
    return DONE


def take(store: Corrections, source: str) -> int:
    """Add the corrections of a file; returns the exit status."""
    found = list(read(source))
    known = {one.key for one in store if one.key}
    new = [one for one in found if one.key not in known]
    store.append(new)
    print(f"{number(len(new), 'correction')} added, {len(found) - len(new)} were there already")
    return DONE


def read(source: str) -> Iterator[Correction]:
    """The corrections of a file of lines of JSON.

    Raises:
        CorrectionError: a line is none; the message names it.
        OSError: it cannot be read.
    """
    for number_of, line in enumerate(storage.read_text(source).split("\n"), 1):
        if line.strip():
            try:
                yield correction_of(json.loads(line))
            except (ValueError, CorrectionError) as error:
                raise CorrectionError(f"{source}, line {number_of}: {error}") from error


def take_marked(folder: str, marked: dict[str, list[tuple[str, Place]]], by: str) -> list[Correction]:
    """Add what annotations of what is listed say of films, by their addresses; returns what was added.

    Raises:
        UserError: an annotation is of a film that is not among the results.
    """
    with Results(folder) as results:
        films: dict[str, Film] = {storage.identity(film.uri): film for film in results.films()}
        unknown = [uri for uri in marked if storage.identity(uri) not in films]
        if unknown:
            raise UserError(f"{unknown[0]}: is not among the films of {folder}")
        found = []
        for uri, stretches in marked.items():
            film = films[storage.identity(uri)]
            found += corrections_of(film, listed_spans(results, film, Options()), stretches, by)
    return Corrections(folder).append(found)


def hand_on(store: Corrections, target: str) -> int:
    """Write all corrections to a file; returns the exit status."""
    said = list(store)
    storage.write_text(target, "".join(json.dumps(one.row(), ensure_ascii=False) + "\n" for one in said))
    print(f"{target}: {number(len(said), 'correction')}")
    return DONE


def show(store: Corrections, as_json: bool) -> int:
    """Print all corrections in order of time; returns the exit status."""
    said = list(store)
    for one in said:
        print(json.dumps(one.row()) if as_json else line_of(one))
    if not said and not as_json:
        print("nobody has corrected anything yet; `movie-tags review` shows a page to do it on")
    return DONE


def line_of(one: Correction) -> str:
    """A correction for people."""
    where = ""
    if one.place.start_s is not None and one.place.end_s is not None:
        where = f" from {timecode(one.place.start_s)} to {timecode(one.place.end_s)}"
    return f"{one.at[:19]}  {one.by or '?'}: {one.tag} {one.verdict} in {one.film}{where}"
