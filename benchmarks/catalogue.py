"""What it costs to find out what is due: a catalogue of 100,000 videos of which 99,990 are done.

    python benchmarks/catalogue.py [ROWS]

Makes the catalogue, files for it to name (links to one) and a folder of results that knows all but ten of them, then
times `movie-tags tag CATALOGUE --output DIR --dry-run`.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from movie_tags.models import COMPACT, resolve
from movie_tags.models.bundle import read_bundle
from movie_tags.pipeline.method import Method, method_key
from movie_tags.records import TAGGED, Entry
from movie_tags.results import snapshots as views
from movie_tags.results.schema import MANIFEST, to_line
from movie_tags.storage import about

NEW = 10
EXTRA = sys.argv[2:]


def make(folder: Path, rows: int) -> None:
    """The catalogue and the folder of results."""
    one = folder / "one.mp4"
    one.write_bytes(b"x" * 1000)
    key = method_key(Method(), read_bundle(resolve(COMPACT)).fingerprint)
    part = folder / "out" / "runs" / "20260101T000000Z-000000" / "plan"
    part.mkdir(parents=True)
    version = about(str(one)).version
    with (folder / "catalogue.csv").open("w") as catalogue, (part / f"{views.RAW}{MANIFEST}.jsonl").open("wb") as done:
        catalogue.write("uri,id,title\n")
        for i in range(rows):
            inside = folder / "films" / f"{i % 1000:03}"
            inside.mkdir(parents=True, exist_ok=True)
            os.symlink(one, inside / f"{i}.mp4")
            uri = str(inside / f"{i}.mp4")
            catalogue.write(f"{uri},film-{i:06},Film number {i}\n")
            if i >= NEW:
                entry = Entry(f"film-{i:06}", uri, version, key, TAGGED, film_s=5400.0, run_id="r", at="t")
                done.write(to_line(entry))
    (part / f"{views.RAW}{views.DUE}.jsonl").touch()
    said = {"run_id": part.parent.name, "method_key": key, "at": "t", "counters": {}}
    views.commit_part(str(part), None, said)
    views.publish(str(folder / "out"), part.parent.name, [str(part)], said, 3, reread=True)
    views.close_run(str(folder / "out"), said)


def main(rows: int) -> None:
    """Make it, time it, and print a line."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make(folder, rows)
        words = [
            "tag",
            str(folder / "catalogue.csv"),
            "--output",
            str(folder / "out"),
            "--dry-run",
            "--model",
            COMPACT,
            *EXTRA,
        ]
        begun = time.monotonic()
        found = subprocess.run([sys.executable, "-m", "movie_tags", *words], capture_output=True, text=True, check=True)
        wall = time.monotonic() - begun
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert len(found.stdout.splitlines()) == NEW, found
        print(
            f"{rows:,} rows, {NEW} due: {wall:.1f} s of wall time, {used.ru_utime + used.ru_stime:.1f} s of CPU, "
            f"largest process {used.ru_maxrss / 1024:.0f} MB"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 100_000)
