import io
import json
import logging

import pytest
from apache_beam.portability.api import beam_fn_api_pb2
from rich.console import Console

from movie_tags.pipeline.commands.status import film_length
from movie_tags.pipeline.display import RunProgress
from movie_tags.progress import PREFIX


def test_reports_add_up_from_this_process_and_from_workers():
    progress = RunProgress(Console(file=io.StringIO()))
    for text in (
        PREFIX + '{"video": "a", "segments": 2, "seconds": 60.0, "key_frames": 3}',
        f'Worker: severity: INFO message: "{PREFIX}{{\\"video\\": \\"a\\", \\"segments\\": 2, \\"seconds\\": 5}}" x',
        "something else",
    ):
        progress.emit(logging.LogRecord("x", logging.INFO, "", 0, text, (), None))
    assert (progress.films, progress.seconds, progress.key_frames) == (1, 65.0, 3)


@pytest.mark.parametrize("name", ["a}b {c} {", 'the "best"', "it's", "back\\slash", "ü\n", '\\"}'])
def test_reports_are_read_whatever_a_film_is_called(name):
    text = PREFIX + json.dumps({"video": name, "segments": 1, "seconds": 5.0})
    worker = str(beam_fn_api_pb2.LogEntry(message=text, thread="t"))
    progress = RunProgress(Console(file=io.StringIO()))
    for line in (text, f"Worker: {worker}".replace("\n", " "), f"{PREFIX}torn {PREFIX}{{ {PREFIX}7"):
        progress.emit(logging.LogRecord("x", logging.INFO, "", 0, line, (), None))
    assert (progress.films, progress.seconds) == (2, 10.0)


def report(progress, **what):
    progress.emit(logging.LogRecord("x", logging.INFO, "", 0, PREFIX + json.dumps(what), (), None))


def test_progress_has_an_end_once_it_is_known_what_is_due():
    progress = RunProgress(Console(file=io.StringIO()))
    report(progress, video="early", segments=1, seconds=1.0)
    assert progress.share() == 0 and progress.seconds_left() is None and "of" not in progress.text().split(",")[0]
    progress = RunProgress(Console(file=io.StringIO()))
    report(progress, films_due=4, bytes_due=1000)
    assert progress.share() == 0 and progress.text().startswith("0 of 4 films")
    report(progress, video="large", segments=2, seconds=60.0, bytes=400)
    assert progress.share() == 0.4 and progress.films == 0
    report(progress, video="large", segments=2, seconds=60.0, bytes=400)
    assert progress.share() == 0.8 and progress.text().startswith("1 of 4 films") and "80%" in progress.text()
    for name in "abc":
        report(progress, video=name, segments=1, bytes=100)
    assert progress.share() == 1.0 and progress.films == 4  # never more than all of it


def test_where_bytes_are_not_known_films_are_counted():
    progress = RunProgress(Console(file=io.StringIO()))
    report(progress, films_due=4, bytes_due=1000)
    report(progress, video="gs", segments=1, seconds=5.0, bytes=0)
    assert progress.share() == 0.25


def test_what_was_not_looked_at_is_said_once_at_the_end():
    console = Console(file=io.StringIO(), width=40)
    with RunProgress(console) as progress:
        report(progress, not_looked_at={".srt": 12, ".jpg": 1}, notes=["c.csv: was read as [Windows-1252]"])
        report(progress, not_looked_at={".jpg": 2, "in recycle bins": 2})
        assert console.file.getvalue() == ""
    said = ["c.csv: was read as [Windows-1252]", "not looked at: 12 .srt, 3 .jpg, 2 in recycle bins"]
    assert console.file.getvalue().splitlines() == said


@pytest.mark.parametrize("seconds,said", [(0.0, "0 s"), (36.0, "36 s"), (359.0, "5 min 59 s"), (360.0, "0.1 h")])
def test_a_little_film_is_not_0_hours_of_it(seconds, said):
    assert film_length(seconds) == said


def test_what_was_tagged_from_kept_features_adds_up_too():
    said = RunProgress(Console(file=io.StringIO())).outcome({"videos_tagged": 3, "key_frames_failed": 1}, decoded=False)
    assert said == "3 films: 3 tagged, from what was seen; no film was opened; 1 key frame failed"


@pytest.mark.parametrize(
    "counts,said",
    [
        ({"videos_tagged": 1}, "1 film: 1 tagged; "),
        ({"videos_tagged": 1, "videos_failed": 1}, "2 films: 1 tagged, 1 failed; "),
        ({"videos_tagged": 1, "inputs_merged": 2}, "3 films: 1 tagged, 2 named again by another name; "),
        ({"videos_failed": 3, "videos_lost": 1}, "4 films: 0 tagged, 3 failed, 1 lost; "),
    ],
)
def test_the_last_line_adds_up(counts, said):
    assert RunProgress(Console(file=io.StringIO())).outcome(counts).startswith(said)
