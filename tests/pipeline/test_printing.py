"""What is printed comes out, whatever the terminal and the disk; no traceback stands before a sentence."""

import os
import subprocess
import sys

import pytest

from movie_tags.pipeline.commands import last_line

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


def test_a_closed_output_is_no_error():
    done = command("--version", preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "text,said",
    [
        ("OSError: [Errno 28] No space left on device [while running 'Write/WriteImpl']", "No space left on device"),
        ("Traceback (most recent call last):\n  File …\nValueError: odd\n\n", "ValueError: odd"),
        ("", "RuntimeError"),
    ],
)
def test_of_a_workers_error_the_line_that_says_most(text, said):
    assert last_line(RuntimeError(text)) == said
