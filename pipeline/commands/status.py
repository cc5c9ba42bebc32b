"""`movie-tags status`: what has been done in a folder of results, what failed and why, and how the last runs went."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from movie_tags import storage
from movie_tags.pipeline.commands.common import DONE
from movie_tags.records import FAILED, QUARANTINED, TAGGED
from movie_tags.results import lock
from movie_tags.results import snapshots as views
from movie_tags.results.manifest import entry_of
from movie_tags.results.reading import RUN_JSON, OutputError, latest_view, read_json
from movie_tags.results.schema import MANIFEST

OPTIONS = {
    "description": "Say how many videos of a folder of results are done, due again, failed and quarantined, and why,\n"
    "and how the last runs went. It can be asked while a run goes on. What is new or changed in a catalogue\n"
    "is said by: movie-tags tag CATALOGUE --output DIR --dry-run",
}
SHOWN_RUNS = 5
SHOWN_REASONS = 20
REASON_LENGTH = 90


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="DIR", help="folder of results, local or gs://")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, beam_words: Sequence[str]) -> int:
    said = status_of(args.output)
    if args.json:
        print(json.dumps(said, indent=2, ensure_ascii=False))
    else:
        show(Console(markup=False), args.output, said)
    return DONE


def status_of(output: str) -> dict:
    """What is known of a folder of results.

    Returns:
        `videos`: counts by status and, of what failed, `due_again`; `film_s`; `reasons`: [stage, reason, status,
        number] of failures, the most frequent first; `waiting_parts`: finished and not yet in the tables; `runs`: the
        last, the latest first; `died`: runs that have not ended and are not going on; `lock`: who writes to it.

    Raises:
        OutputError: it is no folder of results, or cannot be read.
    """
    try:
        view = latest_view(output)
        runs = storage.list_folders(storage.join(output, views.RUNS))
        held = lock.read_lock(output)
        by_status: Counter = Counter(dict.fromkeys((TAGGED, FAILED, QUARANTINED), 0))
        reasons: Counter = Counter()
        due_again, film_s = 0, 0.0
        if view:
            with storage.plain_errors(), storage.open_stream(storage.join(view, f"{MANIFEST}.jsonl")) as lines:
                for entry in map(entry_of, lines):
                    by_status[entry.status] += 1
                    film_s += entry.film_s
                    due_again += entry.status == FAILED and entry.retryable
                    if entry.status != TAGGED:
                        reasons[entry.stage, entry.reason[:REASON_LENGTH], entry.status] += 1
        last = [_run(output, run_id) for run_id in sorted(runs, reverse=True)[:SHOWN_RUNS]]
        died = [run_id for run_id in views.unfinished_runs(output) if held is None or run_id != held[0].run_id]
        waiting = sum(len(views.finished_parts(output, run_id)) for run_id in views.unfinished_runs(output))
    except OSError as error:
        raise OutputError(f"{output}: cannot be read: {storage.plainly(error)}") from error
    if view is None and not runs:
        raise OutputError(f"{output}: no folder of results of this version of movie-tags")
    return {
        "videos": {**by_status, "due_again": due_again},
        "film_s": round(film_s, 3),
        "reasons": [[*what, n] for what, n in reasons.most_common(SHOWN_REASONS)],
        "waiting_parts": waiting,
        "runs": [run for run in last if run],
        "died": died,
        "lock": None
        if held is None
        else {
            "user": held[0].user,
            "host": held[0].host,
            "run_id": held[0].run_id,
            "pid": held[0].pid,
            "silent_s": round(held[1]),
        },
    }


def _run(output: str, run_id: str) -> dict | None:
    """What there is to say of a run."""
    folder = storage.join(output, views.RUNS, run_id)
    said = read_json(storage.join(folder, RUN_JSON))
    if said is None:
        begun = read_json(storage.join(folder, views.BEGUN_JSON))
        return begun and {"run_id": run_id, "begun": begun["begun"], "state": "unfinished"}
    counts = said.get("counts", {})
    film_s = counts.get("film_ms", 0) / 1000
    return {
        "run_id": run_id,
        "begun": said["begun"],
        "state": said["state"],
        "wall_s": said["wall_s"],
        "due": said.get("due", {}),
        "tagged": counts.get("videos_tagged", 0),
        "failed": counts.get("videos_failed", 0),
        "left": said.get("left", 0),
        "film_s": film_s,
        "times_real_time": round(film_s / said["wall_s"], 1) if said["wall_s"] else 0.0,
    }


def show(console: Console, output: str, said: dict) -> None:
    """Print it as tables."""
    videos = said["videos"]
    console.print(
        f"{output}: {videos[TAGGED]} videos tagged ({said['film_s'] / 3600:.1f} h of film), {videos[FAILED]} failed "
        f"({videos['due_again']} of them due again), {videos[QUARANTINED]} quarantined",
        highlight=False,
        soft_wrap=True,
    )
    if said["lock"]:
        holder = said["lock"]
        console.print(
            f"the run {holder['run_id']} of {holder['user']} on {holder['host']} is writing to it (last heard of "
            f"{holder['silent_s']} s ago)",
            highlight=False,
            soft_wrap=True,
        )
    if said["died"]:
        console.print(
            f"runs that died: {', '.join(said['died'])}; their {said['waiting_parts']} finished parts come into the "
            "tables with the next run",
            highlight=False,
            soft_wrap=True,
        )
    if said["reasons"]:
        table = Table(box=None, pad_edge=False)
        for name in ("failed at", "because it", "status", "videos"):
            table.add_column(name, justify="right" if name == "videos" else "left")
        for stage, reason, status, n in said["reasons"]:
            table.add_row(stage, reason, status, str(n))
        console.print(table)
    table = Table(box=None, pad_edge=False)
    for name in ("run", "ended as", "due", "tagged", "failed", "left", "wall s", "x real time"):
        table.add_column(name, justify="left" if name in ("run", "ended as") else "right")
    for run in said["runs"]:
        if run["state"] == "unfinished":
            table.add_row(run["run_id"], "going on or dead", *[""] * 6)
        else:
            numbers = sum(run["due"].values()), run["tagged"], run["failed"], run["left"], run["wall_s"]
            table.add_row(run["run_id"], run["state"], *map(str, numbers), str(run["times_real_time"]))
    console.print(table)
