import io
import logging

from rich.console import Console

from movie_tags.pipeline.display import RunProgress, print_tags
from movie_tags.progress import PREFIX

ROW = {
    "id": "a",
    "title": "[Film] one.mp4",
    "duration_s": 61.2,
    "shots": 4,
    "key_frames": 3,
    "tags": [{"tag": "War", "relative_strength": 1.0}, {"tag": "Food", "relative_strength": 0.5}],
}


def printed(terminal):
    out = io.StringIO()
    print_tags(Console(file=out, force_terminal=terminal, color_system=None, width=100), [ROW])
    return out.getvalue()


def test_a_person_sees_bars():
    text = printed(True)
    assert "[Film] one.mp4  (61 s, 4 shots, 3 key frames)" in text
    war, food = (line for line in text.splitlines() if "█" in line)
    assert war.count("█") == 2 * food.count("█") == 30


def test_a_log_gets_a_line():
    assert printed(False) == "[Film] one.mp4: War 1.00, Food 0.50\n"


def test_reports_add_up_from_this_process_and_from_workers():
    progress = RunProgress(Console(file=io.StringIO()))
    for text in (
        PREFIX + '{"video": "a", "segments": 2, "seconds": 60.0, "key_frames": 3}',
        f'Worker: severity: INFO message: "{PREFIX}{{\\"video\\": \\"a\\", \\"segments\\": 2, \\"seconds\\": 5}}" x',
        "something else",
    ):
        progress.emit(logging.LogRecord("x", logging.INFO, "", 0, text, (), None))
    assert (progress.films, progress.seconds, progress.key_frames) == (1, 65.0, 3)
