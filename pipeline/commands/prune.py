"""`movie-tags prune`: remove the results of videos that a catalogue no longer names."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.pipeline.commands.common import DONE
from movie_tags.pipeline.inputs import Inputs
from movie_tags.pipeline.pruning import gone, named_by, why_not_believed
from movie_tags.pipeline.run import adopt, new_run_id
from movie_tags.pipeline.tables import DUE, RAW
from movie_tags.records import GONE, Entry
from movie_tags.results import lock
from movie_tags.results import snapshots as views
from movie_tags.results.manifest import entry_of
from movie_tags.results.reading import FORMATS, RUN_JSON, OutputError, latest_view, read_json
from movie_tags.results.schema import MANIFEST, to_line

OPTIONS = {
    "description": "Remove from a folder of results what belongs to videos that these inputs no longer name: their\n"
    "rows in the tables and their thumbnails. What past runs wrote (DIR/runs) stays.",
}
SHOWN = 20
PRUNED = "pruned"
NO_RESULTS = "{}: no folder of results of this version of movie-tags"


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
    inputs = Inputs.of(args.catalogue, args.all_videos)
    inputs.check()
    if latest_view(args.output) is None and not views.unfinished_runs(args.output):
        raise OutputError(NO_RESULTS.format(args.output))
    begun = time.time()
    run_id = new_run_id(begun)
    with lock.locked(args.output, run_id, args.break_lock):
        adopt(args.output, sys.maxsize)
        view = latest_view(args.output)
        if view is None:
            raise OutputError(NO_RESULTS.format(args.output))
        removed = to_be_removed(view, inputs, args.yes or args.dry_run, SHOWN if not args.dry_run else sys.maxsize)
        if removed and not args.dry_run:
            remove(args.output, view, run_id, removed, begun)
    would = " and would be removed" if args.dry_run else "; they are removed"
    print(f"{len(removed)} videos are no longer named{would}")
    return DONE


def to_be_removed(view: str, inputs: Inputs, meant: bool, shown: int) -> list[Entry]:
    """The entries of a view that inputs do not name; the first of them are printed.

    Raises:
        UserError: it may not be true that they are gone, and it is not said that it is meant.
    """
    named, total = named_by(inputs), 0

    def entries() -> Iterator[Entry]:
        nonlocal total
        with storage.open_stream(storage.join(view, f"{MANIFEST}.jsonl")) as lines:
            for total, line in enumerate(lines, 1):  # noqa: B007
                yield entry_of(line)

    removed = list(gone(entries(), named))
    for entry in removed[:shown]:
        print(entry.id)
    if len(removed) > shown:
        print(f"… and {len(removed) - shown} more")
    why = None if meant else why_not_believed(removed, total, named)
    if why:
        raise UserError(f"{len(removed)} videos are no longer named and would be removed: {why}. --yes if it is meant")
    return removed


def remove(output: str, view: str, run_id: str, removed: Sequence[Entry], begun: float) -> None:
    """Publish a view without some videos."""
    folder = views.run_folder(output, run_id)
    part = storage.join(folder, PRUNED)
    storage.make_folder(part)
    try:
        lines = b"".join(to_line(Entry(entry.id, status=GONE)) for entry in removed)
        storage.write_bytes(storage.join(part, f"{RAW}{MANIFEST}.jsonl"), lines)
        storage.write_bytes(storage.join(part, f"{RAW}{DUE}.jsonl"), b"")
        now = views.iso(time.time())
        views.commit_part(part, None, {"run_id": run_id, "method_key": "", "at": now, "counters": {}})
        # What run.json says of the last tagging run goes on being said.
        said = read_json(storage.join(view, RUN_JSON)) or {}
        views.publish(output, run_id, [part], said, sys.maxsize, False, said.get("format", FORMATS[0]))
        views.close_run(output, summary(run_id, begun, len(removed)))
        views.tidy(output)
    except BaseException:
        storage.remove_folder(folder)
        raise


def summary(run_id: str, begun: float, removed: int) -> dict:
    """What the run's own run.json says."""
    ended = time.time()
    return {
        "run_id": run_id,
        "begun": views.iso(begun),
        "state": PRUNED,
        "ended": views.iso(ended),
        "wall_s": round(ended - begun, 3),
        "counts": {"removed": removed},
    }
