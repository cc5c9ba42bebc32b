"""`movie-tags search`: films, or their scenes, by a boolean expression of tags; or shots by looks or by words."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from movie_tags.errors import UserError
from movie_tags.pipeline.commands.common import DONE, SOME_FAILED, count, share
from movie_tags.pipeline.commands.export import show
from movie_tags.records import Film
from movie_tags.report.alike import Alike
from movie_tags.report.exports.scenes import SCENE_FORMATS, Scene, write_scenes
from movie_tags.report.phrases import clock, percent, seen, strength, sureness, timecode
from movie_tags.results.expressions import parse, resolve, terms_of
from movie_tags.results.film_tables import Results
from movie_tags.results.search import Found, Search
from movie_tags.results.synonyms import words_of
from movie_tags.results.unjoined import unjoined
from movie_tags.storage import plainly

if TYPE_CHECKING:
    from movie_tags.report.by_words import Described

OPTIONS = {
    "description": "Search the films of a folder of results by their tags.\n\n"
    "  movie-tags search results/ 'beach and children and not violence'\n"
    "  movie-tags search results/ '(forest or desert) and \"sword fight\"' --scenes\n"
    "  movie-tags search results/ 'sword fight' --scenes --to clips --output fights/\n"
    "  movie-tags search results/ --like trailer.mp4@1:12     the shots that look most like that one\n"
    "  movie-tags search results/ --like photo.jpg\n"
    "  movie-tags search results/ --words 'lighthouse at dusk and not fog'     with a CLIP or SigLIP that you bring",
    "epilog": "A tag is named by itself, by words of it or by synonyms in English, German, French, Spanish and Hindi:\n"
    "beach and boat are Beach/Sea. Words side by side are one tag, or else several, all of which are wanted;\n"
    "-violence is not violence. A film has the tags of its short list; with --min, those of which the model is so\n"
    "sure. It comes as high as the least sure of the tags joined by and, the surest of those joined by or; of a\n"
    "scene, the mean probability counts.",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", metavar="DIR", help="folder of results, local or gs://")
    parser.add_argument(
        "expression", nargs="*", metavar="EXPRESSION", help="tags; and, or, not, parentheses; -TAG is not TAG"
    )
    parser.add_argument(
        "--like",
        metavar="FILM@TIME|FILE",
        help="instead of tags: the shots whose key frames look most like the one of a film (its id, title or file) at "
        "a time, such as 12:34 or 75.5, or like a picture",
    )
    parser.add_argument(
        "--words",
        metavar="TEXT",
        help="instead of tags: the shots whose key frames fit any words, joined by and, or, not (-WORDS), of results "
        "that a CLIP or SigLIP has tagged; in quotes, and is a word like others",
    )
    parser.add_argument(
        "--scenes", action="store_true", help="the stretches throughout which the expression holds, not whole films"
    )
    parser.add_argument(
        "--min",
        type=share,
        metavar="C",
        help="a film has a tag of which the model is so sure, 0 to 1; where it does not say, by relative strength [as "
        "the run listed]; of --words, the probability from which a shot fits",
    )
    parser.add_argument(
        "--unjoined", action="store_true", help="the shots of scenes one by one, without gaps between them (--scenes)"
    )
    parser.add_argument(
        "--to",
        choices=SCENE_FORMATS,
        help="write the scenes for an editor: a clip of each, copied where the codec's key frames allow and re-encoded "
        "elsewhere; or one OpenTimelineIO timeline or EDL of all (needs --output, and --scenes, --like or --words)",
    )
    parser.add_argument("--output", metavar="DIR", help="the folder that --to writes into")
    parser.add_argument("--limit", type=count, default=50, metavar="N", help="so many at most [50]")
    parser.add_argument("--json", action="store_true", help="print an object a line: what a program reads")


def as_typed(words: Sequence[str]) -> list[str]:
    """The words of a command line, in which `-violence` is no option but `not violence`."""
    return [f"!{word[1:]}" if re.match(r"-[^\W\d_]{2}", word) else word for word in words]


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    _check(args)
    if args.like or args.words is not None:
        return by_features(args)
    with Search(args.results) as search:
        expression = resolve(parse(" ".join(args.expression)), search.vocabulary())
        for term in terms_of(expression):
            if not set(words_of(term.text)) & {word for tag in term.tags for word in words_of(tag)}:
                print(f"movie-tags: {term.text}: taken for {' or '.join(term.tags)}", file=sys.stderr)
        find = search.scenes if args.scenes else search.films
        found = find(expression, args.min, args.limit + 1)  # one more tells whether there are more
    shown, more = found[: args.limit], len(found) > args.limit
    if args.unjoined:
        with Results(args.results) as results:
            shown = unjoined(results, shown, expression, args.min)
    if args.to:
        return write(shown, args, more)
    if args.json:
        for one in shown:
            row = dataclasses.asdict(one)
            if one.start_s is not None and one.end_s is not None:
                row |= {"start": clock(one.start_s), "end": clock(one.end_s)}
            print(json.dumps({name: value for name, value in row.items() if value is not None}))
        return DONE
    console = Console()
    console.print(_table(shown), soft_wrap=True) if shown else print("nothing was found")
    if more:
        print("… and more; --limit shows them")
    return DONE


def _check(args: argparse.Namespace) -> None:
    """Raises: UserError: options that do not go together."""
    if [bool(args.like), args.words is not None, bool(args.expression)].count(True) != 1:
        raise UserError(
            "give either an expression of tags, such as 'beach and children', or --like FILM@12:34, or --words TEXT"
        )
    if args.like and (args.min is not None or args.unjoined):
        raise UserError("--min and --unjoined go by tags: leave them out with --like")
    if args.words is not None and (args.scenes or args.unjoined):
        raise UserError("--scenes and --unjoined go by tags: leave them out with --words, which finds shots")
    if args.to and not ((args.scenes or args.like or args.words) and args.output):
        raise UserError("--to writes scenes into a folder: give --output DIR, and --scenes, --like or --words, with it")
    if args.output and not args.to:
        raise UserError(f"--output is where --to writes: give one of --to {', '.join(SCENE_FORMATS)} with it")
    if args.unjoined and not args.scenes:
        raise UserError("--unjoined parts scenes into their shots: give --scenes with it")


def by_features(args: argparse.Namespace) -> int:
    """Search by looks or by words; returns the exit status."""
    from movie_tags.pipeline.commands.like import as_line, find_alike, find_by_words, table_of  # models' libraries

    found: Sequence[Alike | Described]
    if args.like:
        found = find_alike(args.results, args.like, args.limit)
    else:
        found = find_by_words(args.results, args.words, args.limit, args.min)
    if args.to:
        return write(found, args, more=False)
    if args.json:
        for one in found:
            print(as_line(one))
    else:
        Console().print(table_of(found), soft_wrap=True) if found else print("nothing was found")
    return DONE


def write(found: Sequence[Found | Alike | Described], args: argparse.Namespace, more: bool) -> int:
    """Write the scenes found as --to says; returns the exit status.

    Raises:
        UserError: nothing can be written there, or a library is missing.
    """
    scenes = [
        Scene(
            Film(id=one.id, uri=one.uri, title=one.title, duration_s=one.duration_s),
            one.start_s or 0.0,
            one.end_s or 0.0,
        )
        for one in found
    ]
    try:
        written = write_scenes(scenes, args.to, args.output, args.like or args.words or " ".join(args.expression))
    except OSError as error:
        raise UserError(f"{args.output}: cannot be written to: {plainly(error)}") from error
    show(written, args.output)
    if more:
        print("… and more; --limit takes them, too")
    return SOME_FAILED if written.left_out else DONE


def _table(found: Sequence[Found]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for one in found:
        if one.start_s is not None and one.end_s is not None:
            sure = "" if one.sure is None else f"probability {percent(one.sure)}"
            much = f"{timecode(one.start_s)} to {timecode(one.end_s)}"
        else:
            sure = "" if one.sure is None else sureness(one.sure) if one.confident else strength(one.sure)
            much = "" if one.seconds is None else seen(one.seconds, one.duration_s)
        table.add_row(*map(Text, (sure, much, one.title)))
    return table
