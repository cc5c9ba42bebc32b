"""How the last run went, as a text file for Prometheus' node exporter."""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime

from movie_tags.errors import UserError
from movie_tags.results.reading import read_run
from movie_tags.storage import plainly

PREFIX = "movie_tags_"
NOT_BEGUN = {"counts": {"videos_tagged": 0, "videos_failed": 0}, "due": {}, "left": 0, "wall_s": 0.0}
"""What there is to say of a run that failed before it could begin."""


def write_failure(path: str, output: str, said: dict | None) -> None:
    """Write that a run failed, lest an earlier one's success stand there.

    Args:
        path: of the file.
        output: the folder of results.
        said: what the run said in the end, if it could.

    Raises:
        UserError: it cannot be written.
    """
    if said is None:
        totals = {}
        with contextlib.suppress(UserError, OSError):  # which may be why it failed
            totals = (read_run(output) or {}).get("totals", {})
        said = {**NOT_BEGUN, "ended": datetime.now(UTC).isoformat(), "totals": totals}
    write_metrics(path, {**said, "state": "failed"})


def write_metrics(path: str, said: dict) -> None:
    """Write what run.json says as gauges, whole or not at all.

    Args:
        path: of a local file, whose name should end in `.prom` for the node exporter to read it.
        said: what run.json says.

    Raises:
        UserError: it cannot be written.
    """
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    registry = CollectorRegistry()

    def gauge(name: str, text: str, value: float) -> None:
        Gauge(PREFIX + name, text, registry=registry).set(value)

    counts, totals = said["counts"], said.get("totals", {})
    failed = counts["videos_failed"] + counts.get("videos_lost", 0)
    gauge("run_films_done", "Films that the last run tagged.", counts["videos_tagged"])
    gauge("run_films_failed", "Films that failed in the last run.", failed)
    gauge("run_films_due", "Films that were due for the last run.", sum(said["due"].values()))
    gauge("run_films_left", "Films that the last run left due, for it was ended.", said["left"])
    gauge("run_film_seconds", "Seconds of film that the last run tagged.", counts.get("film_ms", 0) / 1000)
    gauge("run_duration_seconds", "Seconds that the last run took.", said["wall_s"])
    gauge("run_succeeded", "1 if the last run came to its end.", said["state"] == "done")
    gauge("run_end_timestamp_seconds", "When the last run ended.", datetime.fromisoformat(said["ended"]).timestamp())
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
