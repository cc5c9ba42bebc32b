"""`movie-tags summary`: a film in N pictures, as a contact sheet and as a list."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.pipeline.commands.common import DONE, count
from movie_tags.report.summary import PICTURES, as_json, contact_sheet, summarise
from movie_tags.results.film_tables import Results, slug

OPTIONS = {
    "description": "Sum a film up in a few of its key frames: those that cover its tags, its length and its looks,\n"
    "without near-repeats. Writes a contact sheet, NAME.jpg, and the list, NAME.json.\n\n"
    "  movie-tags summary results/ trailer.mp4\n"
    "  movie-tags summary results/ films/trailer.mp4 --pictures 6 --json",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", metavar="DIR", help="folder of results, local or gs://")
    parser.add_argument("film", metavar="ID", help="the film's id, or its title where only one film has it")
    parser.add_argument("--pictures", type=count, default=PICTURES, metavar="N", help=f"how many at most [{PICTURES}]")
    parser.add_argument("--output", metavar="DIR2", help="folder for both files, local or gs:// [DIR/summaries]")
    parser.add_argument("--json", action="store_true", help="print the list instead of the names of the files")


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    with Results(args.results) as results:
        film = results.film(args.film)
        choice, pictures = summarise(results, film, args.pictures)
        if not choice.frames:
            raise UserError(
                f"{film.title}: has no key frames among the results, so that there is nothing to choose from"
            )
        if not pictures:
            raise UserError(
                f"{film.title}: {args.results} has no pictures of its key frames; tag it with --thumbnails to keep them"
            )
        listed = as_json(film, choice)
        folder = args.output or storage.join(args.results, "summaries")
        sheet, listing = (storage.join(folder, f"{slug(film)}.{kind}") for kind in ("jpg", "json"))
        text = json.dumps(listed, indent=2)  # as ASCII: a file's name may be no text
        try:
            storage.make_folder(folder)
            storage.write_bytes(sheet, contact_sheet(film, choice, pictures))
            storage.write_text(listing, text + "\n")
        except OSError as error:
            raise UserError(f"{folder}: the summary cannot be written: {storage.plainly(error)}") from error
    print(text if args.json else f"{sheet}\n{listing}")
    return DONE
