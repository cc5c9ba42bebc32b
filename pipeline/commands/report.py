"""`movie-tags report`: a page a film and the catalogue, made of the tables of results."""

from __future__ import annotations

import argparse
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.pipeline.commands.common import DONE
from movie_tags.report.phrases import number
from movie_tags.report.write import write_report

OPTIONS = {
    "description": "Make pages to look at of the results of `movie-tags tag`: a page a film, which opens without a\n"
    "network, and the catalogue of all, index.html.\n\n"
    "  movie-tags report results/ --open                   make them and look at them\n"
    "  movie-tags report results/ --watch violence,weapon,nudity,smoking   and a queue of stills to look through\n"
    "  movie-tags report gs://bucket/results --output www  read there, write here",
}
INTERRUPTED = "the pages written so far are whole"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", metavar="DIR", help="folder of results, local or gs://")
    parser.add_argument("--output", metavar="DIR2", help="folder for the pages, local or gs:// [DIR/report]")
    parser.add_argument(
        "--watch",
        type=lambda text: text.split(","),
        default=(),
        metavar="TAGS",
        help="also a queue of all stills that may show one of these tags (parted by commas), for a person to look at",
    )
    parser.add_argument("--open", action="store_true", help="open the catalogue in the browser")


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    with Console(stderr=True).status("reading the results") as status:
        report = write_report(
            args.results, args.output, lambda done: status.update(f"{number(done, 'film')} done"), args.watch
        )
    print(report.index)
    if report.watch:
        print(report.watch)
    if args.open:
        if storage.is_remote(report.index):
            raise UserError(
                f"{report.index} is written; it is not on this machine, so that it cannot be opened from here"
            )
        if not webbrowser.open(Path(report.index).absolute().as_uri()):
            raise UserError(f"{report.index} is written; no browser was found to open it with")
    return DONE
