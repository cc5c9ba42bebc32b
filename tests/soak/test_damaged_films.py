"""Damaged films through the real command: none is lost, none ends the run, and memory stays within bounds.

    make soak        (10,000 of them; MOVIE_TAGS_SOAK sets another number, MOVIE_TAGS_SOAK_FROM where to begin)

300 otherwise. A film that shows something can be made again by its number with `damage.py`.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from soak.damage import damaged, make_clips

FILMS = int(os.environ.get("MOVIE_TAGS_SOAK", 300))
FIRST = int(os.environ.get("MOVIE_TAGS_SOAK_FROM", 0))
FILMS_A_RUN = 1000
MAX_BYTES = 2 * 10**9
MAX_RUN_S = 3600


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.mark.parametrize("first", range(FIRST, FIRST + FILMS, FILMS_A_RUN))
def test_damaged_films_cost_only_themselves(clips, tmp_path, small_bundle, capsys, first):
    folder, out = tmp_path / "films", tmp_path / "out"
    folder.mkdir()
    for number in range(first, min(first + FILMS_A_RUN, FIRST + FILMS)):
        name, data = damaged(number, clips)
        (folder / name).write_bytes(data)
    limits = ["--decoder-cpu", "20", "--decoder-wait", "60"]
    words = ["tag", str(folder), "--output", str(out), "--model", small_bundle, "--segment-length", "2", *limits]
    status, peak, said = run([*words, "--direct_num_workers", "2"])
    assert status in (0, 3), said
    tags, errors = rows(out, "tags"), [row for row in rows(out, "errors") if row["stage"] != "tagging"]
    assert sorted(row["uri"] for row in (*tags, *errors)) == sorted(map(str, folder.iterdir()))
    assert not [row for row in errors if row["stage"] == "accounting"]
    ended = [row for row in errors if row["reason"].startswith("its decoder")]
    with capsys.disabled():
        print(f"\n{len(tags)} tagged, {len(errors)} failed from film {first} on; peak memory {peak / 1e6:.0f} MB")
        for row in ended:
            print(f"  {os.path.basename(row['uri'])}: {row['stage']}: {row['reason']}")
    assert peak < MAX_BYTES
    shutil.rmtree(folder)


def rows(folder, name):
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


def run(words):
    """Run the command: (exit status, peak resident memory in bytes of all its processes together, what it said)."""
    command = os.path.join(os.path.dirname(sys.executable), "movie-tags")
    said = Path(words[3] + ".said")
    peak, begun = 0, time.monotonic()
    with said.open("wb") as log, subprocess.Popen([command, *words], stdout=log, stderr=log) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            resident = 0
            for member in [root, *root.children(recursive=True)]:
                try:
                    resident += member.memory_info().rss
                except psutil.Error:
                    continue
            peak = max(peak, resident)
            if time.monotonic() - begun > MAX_RUN_S:
                process.kill()
                pytest.fail(f"no end after {MAX_RUN_S} s")
            time.sleep(0.1)
    return process.returncode, peak, said.read_text(errors="replace")[-3000:]
