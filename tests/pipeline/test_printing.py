"""What is printed comes out, whatever the terminal and the disk; no traceback stands before a sentence."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from movie_tags.pipeline.commands import last_line, main, status

SAY = "import sys; from movie_tags.__main__ import prepare_streams; prepare_streams(); "
RICH = SAY + "from rich.console import Console; Console().print('\U0001f600 film.mp4 é', soft_wrap=True)"
PLAIN = SAY + "print('\U0001f600 film.mp4 \\udcff é'); print('\U0001f600', file=sys.stderr)"


def python(code, encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)


@pytest.mark.parametrize(
    "code,encoding,said",
    [
        (RICH, "latin-1", b"? film.mp4 \xe9"),
        (RICH, "ascii:strict", b"? film.mp4 ?"),
        (PLAIN, "latin-1:strict", b"? film.mp4 ? \xe9"),
        (PLAIN, "utf-8", "\U0001f600 film.mp4 ? é".encode()),
    ],
)
def test_a_name_that_the_terminal_lacks_is_shown_with_replacement_characters(code, encoding, said):
    done = python(code, encoding)
    assert done.returncode == 0 and done.stdout.strip() == said


def command(*words, **streams):
    return subprocess.run([sys.executable, "-m", "movie_tags", *words], stderr=subprocess.PIPE, text=True, **streams)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_said_in_one_line():
    with open("/dev/full", "w") as full:
        done = command("--version", stdout=full)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["movie-tags: the output cannot be written: No space left on device"]


@pytest.mark.parametrize("full", ["out", "scratch"])
def test_a_full_disk_is_named(tmp_path, monkeypatch, capsys, full):
    def fail(output):
        raise OSError(errno.ENOSPC, "No space left on device")

    def free(folder):
        return SimpleNamespace(free=2_000_000 if Path(folder) == tmp_path / full else 9_000_000_000)

    (tmp_path / "scratch").mkdir()
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    monkeypatch.setattr(shutil, "disk_usage", free)
    monkeypatch.setattr(status, "status_of", fail)
    assert main(["status", str(tmp_path / "out")]) == 1
    said = f"the run failed: No space left on device: {tmp_path / full} has 2 MB free; make room there"
    assert said in capsys.readouterr().err


def test_a_closed_output_is_no_error():
    done = command("--version", preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "text,said",
    [
        ("OSError: [Errno 28] No space left on device [while running 'Write/WriteImpl']", "No space left on device"),
        (
            "RuntimeError: OSError: [Errno 28] No space left on device [while running 'Write']",
            "No space left on device",
        ),
        ("Traceback (most recent call last):\n  File …\nValueError: odd\n\n", "ValueError: odd"),
        ("", "RuntimeError"),
    ],
)
def test_of_a_workers_error_the_line_that_says_most(text, said):
    assert last_line(RuntimeError(text)) == said


FAILING = """
import logging, sys
import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from movie_tags.pipeline.beam.local_workers import forking_runner
logging.basicConfig(level=getattr(logging, sys.argv[1]), force=True)
options = PipelineOptions(["--direct_num_workers", "2"])
pipeline = beam.Pipeline(runner=forking_runner(options), options=options)
pipeline | beam.Create([0]) | beam.Map(lambda zero: 1 / zero)
try:
    pipeline.run()
except Exception as error:
    print(type(error).__name__)
"""


def test_workers_print_no_tracebacks_but_to_those_who_want_them():
    words = [sys.executable, "-c", FAILING]
    quiet = subprocess.run([*words, "CRITICAL"], capture_output=True, text=True)
    assert (quiet.stdout, quiet.stderr) == ("RuntimeError\n", "")
    assert "ZeroDivisionError" in subprocess.run([*words, "INFO"], capture_output=True, text=True).stderr
