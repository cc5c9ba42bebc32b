"""How the last run went, as a text file for Prometheus' node exporter."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

from movie_tags.errors import UserError
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.run_records import DONE, FAILED, RunRecord
from movie_tags.storage import plainly

PREFIX = "movie_tags_"


def write_failure(path: str, results: ResultsFolder, run: RunRecord | None) -> None:
    """Write that a run failed, lest an earlier one's success stand there.

    Args:
        path: of the file.
        results: the folder of results.
        run: what the run said in the end, if it could.

    Raises:
        UserError: it cannot be written.
    """
    if run is None:
        totals = {}
        with contextlib.suppress(UserError, OSError):  # which may be why it failed
            totals = results.totals()
        run = RunRecord("", ended=datetime.now(UTC).isoformat(), totals=totals)
    write_metrics(path, replace(run, state=FAILED))


def write_metrics(path: str, run: RunRecord) -> None:
    """Write what run.json says as gauges, whole or not at all.

    Args:
        path: of a local file, whose name should end in `.prom` for the node exporter to read it.
        run: what run.json says.

    Raises:
        UserError: it cannot be written.
    """
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    registry = CollectorRegistry()

    def gauge(name: str, text: str, value: float) -> None:
        Gauge(PREFIX + name, text, registry=registry).set(value)

    counts, totals = Counter(run.counts), run.totals
    failed = counts["videos_failed"] + counts["videos_lost"]
    gauge("run_films_done", "Films that the last run tagged.", counts["videos_tagged"])
    gauge("run_films_failed", "Films that failed in the last run.", failed)
    gauge("run_films_due", "Films that were due for the last run.", sum(run.due.values()))
    gauge("run_films_left", "Films that the last run left due, for it was ended.", run.left)
    gauge("run_film_seconds", "Seconds of film that the last run tagged.", counts["film_ms"] / 1000)
    gauge("run_duration_seconds", "Seconds that the last run took.", run.wall_s)
    gauge("run_succeeded", "1 if the last run came to its end.", run.state == DONE)
    gauge("run_end_timestamp_seconds", "When the last run ended.", datetime.fromisoformat(run.ended).timestamp())
    films = Gauge(PREFIX + "films", "Films in the folder of results.", ["status"], registry=registry)
    for status in ("tagged", "failed", "quarantined"):
        films.labels(status).set(totals.get(status, 0))
    gauge("film_seconds", "Seconds of film in the folder of results.", totals.get("film_s", 0))
    try:
        with contextlib.suppress(FileExistsError):
            os.makedirs(os.path.dirname(path) or ".")
        write_to_textfile(path, registry)
    except OSError as error:
        raise UserError(f"{path}: the metrics cannot be written: {plainly(error)}") from error
