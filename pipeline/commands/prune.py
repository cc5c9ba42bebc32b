"""`movie-tags prune`: remove the results of videos that a catalogue no longer names."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence

from movie_tags.errors import UserError
from movie_tags.pipeline.commands.common import DONE
from movie_tags.pipeline.inputs import InputError, Inputs
from movie_tags.pipeline.pruning import NOT_KNOWN, gone, named_by, why_not_believed
from movie_tags.pipeline.run import new_run_id
from movie_tags.records import Entry
from movie_tags.report.phrases import number
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.manifest import entry_of
from movie_tags.results.reading import no_results
from movie_tags.results.run_records import RunRecord, iso
from movie_tags.results.sort import lines_of

OPTIONS = {
    "description": "Remove from a folder of results what belongs to videos that these inputs no longer name: their\n"
    "rows in the tables and their thumbnails. What past runs wrote (DIR/runs) stays, but for the features\n"
    "of parts that no film needs any more.",
}
SHOWN = 20


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="DIR", help="folder of results, local or gs://")
    parser.add_argument(
        "--catalogue",
        nargs="+",
        required=True,
        metavar="INPUT",
        help="all that is to be kept, as it is given to `movie-tags tag`: catalogues, folders, videos",
    )
    parser.add_argument("--all-videos", action="store_true", help="as it was given to `movie-tags tag`")
    parser.add_argument(
        "--yes", action="store_true", help="it is meant, even where a disk may not be mounted or much would be removed"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")
    parser.add_argument(
        "--break-lock", action="store_true", help="take DIR from a run on another machine that is known to be dead"
    )


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    inputs, results = Inputs.of(args.catalogue, args.all_videos), ResultsFolder(args.output)
    try:
        inputs.check()
    except InputError as error:
        raise InputError(f"{error}. {NOT_KNOWN}") from error
    if results.latest is None and not results.unfinished_runs():
        raise no_results(results.address)
    begun = time.time()
    run = RunRecord(new_run_id(begun), iso(begun))
    with results.locked(run.run_id, args.break_lock):
        results.adopt(sys.maxsize)
        manifest = results.manifest
        if manifest is None:
            raise no_results(results.address)
        removed = to_be_removed(manifest, inputs, args.yes, args.dry_run)
        if removed and not args.dry_run:
            results.prune(run, [entry.id for entry in removed])
    would = " and would be removed" if args.dry_run else f"; {'it is' if len(removed) == 1 else 'they are'} removed"
    print(f"{gone_in_words(len(removed))}{would if removed else ''}")
    return DONE


def gone_in_words(count: int) -> str:
    """How many videos the catalogue no longer names."""
    return f"{number(count, 'video is', 'videos are')} no longer named"


def to_be_removed(manifest: str, inputs: Inputs, meant: bool, dry_run: bool) -> list[Entry]:
    """The entries of a manifest that inputs do not name; the first of them are printed, in a dry run all.

    Raises:
        UserError: it may not be true that they are gone, and it is not said that it is meant.
    """
    shown = sys.maxsize if dry_run else SHOWN
    named, total = named_by(inputs), 0

    def entries() -> Iterator[Entry]:
        nonlocal total
        for total, line in enumerate(lines_of([manifest]), 1):  # noqa: B007
            yield entry_of(line)

    removed = list(gone(entries(), named))
    for entry in removed[:shown]:
        print(entry.id)
    if len(removed) > shown:
        print(f"… and {len(removed) - shown} more")
    why = None if meant else why_not_believed(removed, total, named)
    if why:
        it = "it" if len(removed) == 1 else "them"
        refused = f", and a run would refuse to remove {it}" if dry_run else " and would be removed"
        raise UserError(f"{gone_in_words(len(removed))}{refused}: {why}. --yes if it is meant")
    return removed
