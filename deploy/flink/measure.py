"""The same films in one run: on this machine with one worker and with two, and on the local Flink cluster.

    python deploy/flink/measure.py FILM [FILM ...] [-- OPTION ...]

Starts a cluster, prints a table, and ends the cluster. Options go to every run, such as
`--segment-length 30`. The three runs must give the same tags.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import local_cluster


def timed(process: subprocess.Popen) -> float:
    """Wall seconds until a run ends.

    Raises:
        RuntimeError: it failed.
    """
    begun = time.monotonic()
    if process.wait() != 0:
        raise RuntimeError(f"exit status {process.returncode}")
    return time.monotonic() - begun


def tags(folder: Path) -> list:
    """The table `tags`, which is in order of id."""
    with open(folder / "tags.jsonl", "rb") as rows:
        return [json.loads(row) for row in rows]


def measure(words: Sequence[str], out: Path) -> None:
    """Run all three and print a line of the table for each."""
    tag = [sys.executable, "-m", "movie_tags", "tag", *words]
    silent = {"stdout": subprocess.DEVNULL}
    print("| | wall s | times real time |\n|---|---|---|")
    found = []

    def line(name: str, seconds: float, folder: Path) -> None:
        found.append(tags(folder))
        film_s = sum(row["duration_s"] for row in found[-1])
        print(f"| {name} | {seconds:.1f} | {film_s / seconds:.1f} |", flush=True)

    for workers, name in ((1, "this machine, 1 worker"), (2, "this machine, 2 workers")):
        folder = out / str(workers)
        run = [*tag, "--output", str(folder), "--direct_num_workers", str(workers)]
        line(name, timed(subprocess.Popen(run, **silent)), folder)
    cluster = local_cluster.start()
    try:
        folder = out / "flink"
        seconds = timed(local_cluster.submit(cluster, [*words, "--output", str(folder)], **silent))
        line("Flink, 2 task managers on this machine", seconds, folder)
        job = local_cluster.jobs(cluster)[0]
        shuffled = local_cluster.shuffled_bytes(cluster, job["jid"])
    finally:
        local_cluster.stop(cluster)
    print(f"\nOf the last, {job['duration'] / 1000:.1f} s inside Flink; {shuffled:,} bytes shuffled.")
    if not found[0] == found[1] == found[2]:
        raise RuntimeError("the runs do not give the same tags")


if __name__ == "__main__":
    given = [str(Path(word).resolve()) if Path(word).exists() else word for word in sys.argv[1:] if word != "--"]
    with tempfile.TemporaryDirectory() as scratch:
        measure(given, Path(scratch))
