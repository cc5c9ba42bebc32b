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
from movie_tags.report.phrases import length, number
from movie_tags.results import corrections
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.manifest import entry_of
from movie_tags.results.owner import Held
from movie_tags.results.parts import RunFolder
from movie_tags.results.reading import OutputError, no_results
from movie_tags.results.run_records import SnapshotRecord
from movie_tags.results.snapshots import record_of
from movie_tags.results.sort import lines_of

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
    results = ResultsFolder(args.output)
    said = status_of(results)
    if args.json:
        print(json.dumps(said, indent=2))
    else:
        show(Console(markup=False), results, said)
    return DONE


def status_of(results: ResultsFolder) -> dict:
    """What is known of a folder of results.

    Returns:
        `videos`: counts by status and, of what failed, `due_again`; `film_s`; `reasons`: [stage, reason, status,
        number] of failures, the most frequent first; `waiting_parts`: finished and not yet in the tables;
        `corrections`: on how many films' rows of the tables they lie, and whether others wait for the next run;
        `runs`: the last, the latest first; `died`: runs that have not ended and are not going on; `lock`: who writes
        to it.

    Raises:
        OutputError: it is no folder of results, or cannot be read.
    """
    try:
        manifest, runs, unfinished = results.manifest, results.runs(), results.unfinished_runs()
        if manifest is None and not runs:
            raise no_results(results.address)
        held = results.held()
        last = [_run(run) for run in sorted(runs, key=lambda run: run.run_id, reverse=True)[:SHOWN_RUNS]]
        waiting = sum(len(run.finished_parts()) for run in unfinished)
        return {
            **_videos(manifest),
            "waiting_parts": waiting,
            "corrections": _corrections(results),
            "runs": [run for run in last if run],
            "died": [run.run_id for run in unfinished if held is None or run.run_id != held.owner.run_id],
            "lock": None if held is None else _holder(held),
        }
    except OSError as error:
        raise OutputError(f"{results}: cannot be read: {storage.plainly(error)}") from error


def _videos(manifest: str | None) -> dict:
    """What a manifest says of its videos."""
    by_status: Counter = Counter(dict.fromkeys((TAGGED, FAILED, QUARANTINED), 0))
    reasons: Counter = Counter()
    due_again, film_s = 0, 0.0
    for entry in map(entry_of, lines_of([manifest] if manifest else ())):
        by_status[entry.status] += 1
        film_s += entry.film_s
        due_again += entry.status == FAILED and entry.retryable
        if entry.status != TAGGED:
            reasons[entry.stage, entry.reason[:REASON_LENGTH], entry.status] += 1
    return {
        "videos": {**by_status, "due_again": due_again},
        "film_s": round(film_s, 3),
        "reasons": [[*what, n] for what, n in reasons.most_common(SHOWN_REASONS)],
    }


def _corrections(results: ResultsFolder) -> dict:
    """How far the tables have what people say."""
    latest = results.latest
    published = (record_of(latest) if latest else None) or SnapshotRecord("")
    said = corrections.Held(corrections.Corrections(results.address)).fingerprint
    return {"films": published.corrected, "waiting": said != published.corrections}


def _holder(held: Held) -> dict:
    owner = held.owner
    return {
        "user": owner.user,
        "host": owner.host,
        "run_id": owner.run_id,
        "pid": owner.pid,
        "silent_s": round(held.silent_s),
    }


def _run(run: RunFolder) -> dict | None:
    """What there is to say of a run."""
    said = run.ended
    if said is None:
        begun = run.begun
        return None if begun is None else {"run_id": run.run_id, "begun": begun.begun, "state": "unfinished"}
    film_s = said.counts.get("film_ms", 0) / 1000
    return {
        "run_id": run.run_id,
        "begun": said.begun,
        "state": said.state,
        "wall_s": said.wall_s,
        "due": said.due,
        "tagged": said.counts.get("videos_tagged", 0),
        "failed": said.counts.get("videos_failed", 0),
        "left": said.left,
        "film_s": film_s,
        "times_real_time": round(film_s / said.wall_s, 1) if said.wall_s else 0.0,
    }


def film_length(seconds: float) -> str:
    """How much film: in hours, but below 0.1 h in minutes and seconds."""
    return length(seconds) if seconds < 360 else f"{seconds / 3600:.1f} h"


def show(console: Console, results: ResultsFolder, said: dict) -> None:
    """Print it as tables."""
    videos = said["videos"]
    console.print(
        f"{results}: {number(videos[TAGGED], 'video')} tagged ({film_length(said['film_s'])} of film), "
        f"{videos[FAILED]} failed ({videos['due_again']} of them due again), {videos[QUARANTINED]} quarantined",
        highlight=False,
        soft_wrap=True,
    )
    corrected = said["corrections"]
    if corrected["films"] or corrected["waiting"]:
        waiting = "; others come into the tables with the next run" if corrected["waiting"] else ""
        console.print(
            f"what people say is in the tables, of {number(corrected['films'], 'film')}{waiting}",
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
            f"runs that died: {', '.join(said['died'])}; {number(said['waiting_parts'], 'finished part')} of theirs "
            f"{'comes' if said['waiting_parts'] == 1 else 'come'} into the tables with the next run",
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
