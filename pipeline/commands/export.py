"""`movie-tags export`: the tags of a folder of results in the formats of other tools, and corrected ones back."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.pipeline.commands.common import DONE, SOME_FAILED, share
from movie_tags.report.exports import FORMATS, Options, Written, load
from movie_tags.report.phrases import number
from movie_tags.results.corrections import Place
from movie_tags.results.film_tables import Results
from movie_tags.results.listing import threshold_of

SHOWN_REASONS = 20
OPTIONS = {
    "usage": "movie-tags export DIR --to FORMAT [--output DIR2]\n"
    "       movie-tags export FILE --from labelstudio --output SPANS.csv|DIR",
    "description": "Write the tags of a folder of results for other tools, or take corrected ones back.\n\n"
    "  movie-tags export results/ --to csv\n"
    "  movie-tags export results/ --to nfo --dry-run       which NFO beside the films would get tags\n"
    "  movie-tags export project.json --from labelstudio --output SPANS.csv\n\n"
    "formats:\n" + "\n".join(f"  {name:<19}{what}" for name, what in FORMATS.items()),
    "epilog": "Exit status: 0 all films exported; 3 some left out, with the reasons; 2 wrong usage.",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="DIR", help="folder of results, local or gs:// (with --from: a file)")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--to", choices=FORMATS, metavar="FORMAT", help="what to write: " + ", ".join(FORMATS))
    way.add_argument(
        "--from",
        dest="back",
        choices=["labelstudio"],
        metavar="FORMAT",
        help="labelstudio: what people corrected, as the SPANS.csv that `movie-tags dataset` takes or, where --output "
        "is a folder of results, as its corrections",
    )
    parser.add_argument(
        "--output",
        metavar="DIR2",
        help="where to [DIR/exports/FORMAT; of nfo, beside the films]; with --from a file [SPANS.csv]",
    )
    parser.add_argument(
        "--min-confidence",
        type=share,
        metavar="C",
        help="tags that the model is that sure of, from 0 to 1 [those of the short list]",
    )
    parser.add_argument("--unjoined", action="store_true", help="shots one by one, not joined to spans")
    parser.add_argument(
        "--create", action="store_true", help="nfo: one for each film without, too; xmp: beside the films"
    )
    parser.add_argument(
        "--retract", action="store_true", help="nfo: take out tags that the model knows and the film no longer has"
    )
    parser.add_argument("--dry-run", action="store_true", help="nfo, xmp: only say which files would be written")


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    try:
        if args.back:
            return take_back(args.source, args.output or "SPANS.csv")
        options = Options(args.min_confidence, args.unjoined, args.create, args.retract, args.dry_run)
        return write(args.source, args.to, args.output, options)
    except OSError as error:
        raise UserError(f"{args.output or args.source}: cannot be written to: {storage.plainly(error)}") from error


def write(folder: str, name: str, output: str | None, options: Options) -> int:
    """Write an export; returns the exit status.

    Raises:
        UserError: the format does not take an option, or the folder holds no results.
        OSError: nothing can be written there.
    """
    exporting = load(name)
    for option in ("create", "retract", "dry_run"):
        if getattr(options, option) and option not in getattr(exporting, "TAKES", ()):
            raise UserError(f"--{option.replace('_', '-')} is not for --to {name}")
    beside = hasattr(exporting, "is_beside") and exporting.is_beside(options)
    out = output or (None if beside else storage.join(folder, "exports", name))
    if out is not None and not options.dry_run:
        storage.make_folder(out)
    with Results(folder) as results:
        written = exporting.write(results, out, replace(options, threshold=threshold_of(results.run)))
    show(written, out or "beside the films", options.dry_run)
    return SOME_FAILED if written.left_out else DONE


def show(written: Written, where: str, dry_run: bool = False) -> None:
    """Say what was written, and what was left out and why."""
    for path in written.files if dry_run else ():
        print(path)
    done = ": would be written: " if dry_run else ": "
    print(f"{where}{done}{number(len(written.files), 'file')}")
    for note in written.notes:
        print(note)
    for film, reason in written.left_out[:SHOWN_REASONS]:
        print(f"movie-tags: {film}: {reason}", file=sys.stderr)
    if len(written.left_out) > SHOWN_REASONS:
        print(f"movie-tags: … and {len(written.left_out) - SHOWN_REASONS} more left out", file=sys.stderr)


def take_back(file: str, path: str) -> int:
    """Take what people corrected in Label Studio as SPANS.csv, or into a folder of results; the exit status."""
    from movie_tags.report.exports import labelstudio

    if path.endswith("/") or (not storage.is_remote(path) and os.path.isdir(path)):
        from movie_tags.pipeline.commands.corrections import take_marked, user_name

        annotated = labelstudio.annotated(file)
        marked = {uri: [(s.tag, Place(s.start_s, s.end_s)) for s in sorted(spans)] for uri, spans in annotated.items()}
        said = take_marked(path, marked, user_name())
        print(f"{path}: {number(len(said), 'correction')} of {number(len(marked), 'film')}")
        return DONE
    spans = labelstudio.read(file)
    labelstudio.write_spans(spans, path)
    films = number(len({span.uri for span in spans}), "film")
    print(f"{path}: {number(len(spans), 'span')} of {films}; next: movie-tags dataset {path} …")
    return DONE
