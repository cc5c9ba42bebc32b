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
from collections.abc import Iterator
from pathlib import Path

from movie_tags.models import COMPACT, resolve
from movie_tags.models.bundle import read_bundle
from movie_tags.pipeline.method import Method, method_key
from movie_tags.records import TAGGED, Entry
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.run_records import DONE, PartRecord, RunRecord
from movie_tags.results.schema import MANIFEST, to_line
from movie_tags.storage import about

NEW = 10
EXTRA = sys.argv[2:]


def make(folder: Path, rows: int) -> None:
    """The catalogue and the folder of results."""
    one = folder / "one.mp4"
    one.write_bytes(b"x" * 1000)
    key = method_key(Method(), read_bundle(resolve(COMPACT)).fingerprint)
    results = ResultsFolder(str(folder / "out"))
    run = RunRecord("20260101T000000Z-000000", "2026-01-01T00:00:00+00:00", method_key=key)
    results.run(run.run_id).begin(run)
    part = results.run(run.run_id).part("part-00000")
    os.makedirs(part.address)
    part.write(MANIFEST, catalogue_of(folder, one, rows, key))
    part.finish(PartRecord(run.run_id, key, run.begun))
    results.finish(run, DONE, 3)


def catalogue_of(folder: Path, one: Path, rows: int, key: str) -> Iterator[bytes]:
    """Write the catalogue, of links to one file; the lines of the manifest of all but NEW of its rows."""
    version = about(str(one)).version
    with (folder / "catalogue.csv").open("w") as catalogue:
        catalogue.write("uri,id,title\n")
        for i in range(rows):
            inside = folder / "films" / f"{i % 1000:03}"
            inside.mkdir(parents=True, exist_ok=True)
            os.symlink(one, inside / f"{i}.mp4")
            uri = str(inside / f"{i}.mp4")
            catalogue.write(f"{uri},film-{i:06},Film number {i}\n")
            if i >= NEW:
                yield to_line(Entry(f"film-{i:06}", uri, version, key, TAGGED, film_s=5400.0, run_id="r", at="t"))


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
