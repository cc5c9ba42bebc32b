"""`movie-tags review`: pages on which people say which tags are right, live over the tables."""

from __future__ import annotations

import argparse
import getpass
import webbrowser
from collections.abc import Sequence

from movie_tags.pipeline.commands.common import DONE
from movie_tags.report.review.serve import prepare

OPTIONS = {
    "description": "Look through the films of a folder of results and say which tags are right: confirm, reject or\n"
    "add tags of a film, of a stretch or of a picture. What is said is kept at once and holds from then on in\n"
    "pages, searches and exports, whatever later runs say (see `movie-tags corrections`).\n\n"
    "  movie-tags review results/                 prints the link to open; Ctrl-C ends it\n"
    "  movie-tags review results/ --open --by Ada",
    "epilog": "It answers on this machine alone, and only to whoever has the link.",
}
INTERRUPTED = "what was said is kept"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", metavar="DIR", help="folder of results, local or gs://")
    parser.add_argument("--by", metavar="NAME", help="who corrects, where the page is given no other name [the user]")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port to listen on [any that is free]")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    served = prepare(args.results, args.by or _user(), args.port)
    print(served.link, flush=True)
    if args.open:
        webbrowser.open(served.link)
    served.run()
    return DONE


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return ""
