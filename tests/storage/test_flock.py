"""Locks of this machine exclude threads and processes, and end with their process alone."""

import math
import os
import subprocess
import sys
import threading
import time

import pytest

from movie_tags.results.corrections import APPLIES, Correction, Corrections
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.owner import LockError
from movie_tags.storage import flock

TRY = "import sys; from movie_tags.storage import flock\nwith flock(sys.argv[1]) as file: sys.exit(0 if file else 7)"


def in_another_process(path):
    return subprocess.run([sys.executable, "-c", TRY, str(path)]).returncode == 0


def test_one_at_a_time_in_a_process_and_between_processes(tmp_path):
    path = tmp_path / "lock"
    with flock(path) as held:
        assert held
        with flock(path) as again:
            assert again is None
        assert path.open().read() == "" and not in_another_process(path)  # that others are closed changes nothing
    assert in_another_process(path)


def test_it_is_waited_for_and_a_file_that_was_removed_is_none(tmp_path):
    path, done = tmp_path / "lock", []

    def wait():
        with flock(path, math.inf) as file:
            done.append(file is not None)

    with flock(path):
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.1)
        assert not done
        os.unlink(path)
    waiting.join()
    assert done == [False]


def test_a_folder_is_held_once_in_one_process_and_stays_held_when_somebody_asks(tmp_path):
    results = ResultsFolder(str(tmp_path))
    with results.locked("one"):
        with pytest.raises(LockError), results.locked("two"):
            pass
        assert results.held().owner.run_id == "one"
        assert not in_another_process(tmp_path / ".lock")
    assert results.held() is None


def test_threads_that_say_things_at_the_same_time_tear_no_line(tmp_path):
    def say(name):
        for n in range(30):
            Corrections(str(tmp_path)).append([Correction(f"{name}{n}", "War", APPLIES)])

    threads = [threading.Thread(target=say, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / "corrections" / "corrections.jsonl").read_text().splitlines()
    assert len(lines) == len(list(Corrections(str(tmp_path)))) == 120
