"""The first night and the second: so many short clips, of which ten are new, five changed and three failed before.

    python benchmarks/nights.py [CLIPS]

Prints the wall time of `movie-tags tag` on each night, of a third with nothing to do, and what was worked on.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from films import picture, write_video

from movie_tags.models import COMPACT

NEW, CHANGED, FAILING = 10, 5, 3
KINDS = 20
"""Films made; the others are copies, which cost the same."""


def clip(folder: Path, made: list[Path], number: int) -> None:
    """Put a clip in its place."""
    shutil.copyfile(made[number % KINDS], folder / f"{number:05}.mp4")


def night(listed: Path, out: Path) -> tuple[float, dict]:
    """Seconds of wall time, and what run.json says."""
    words = [str(listed), "--output", str(out), "--model", COMPACT]
    begun = time.monotonic()
    subprocess.run([sys.executable, "-m", "movie_tags", "tag", *words], stdout=-1, stderr=-1)
    return time.monotonic() - begun, json.loads((out / "run.json").read_text())


def main(clips: int) -> None:
    """Make them, and print a line for each night."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, out, listed = Path(scratch, "clips"), Path(scratch, "out"), Path(scratch, "c.csv")
        folder.mkdir()
        made = [
            write_video(Path(scratch, f"{i}.mp4"), [picture(100 * i + k // 25) for k in range(250)])
            for i in range(KINDS)
        ]
        names = [f"{i:05}.mp4" for i in range(clips)]
        for i in range(clips - FAILING):  # the last are out of reach on the first night
            clip(folder, made, i)
        listed.write_text("uri,id\n" + "".join(f"{folder / name},{name}\n" for name in names))
        first, said = night(listed, out)
        print(f"first night: {first:.1f} s, {said['counts']['videos_tagged']} tagged, due {said['due']}", flush=True)
        for i in [*range(clips - FAILING, clips), *range(clips, clips + NEW)]:
            clip(folder, made, i)
        for i in range(CHANGED):
            shutil.copyfile(made[(i + 7) % KINDS], folder / f"{i:05}.mp4")
        with listed.open("a") as more:
            more.writelines(f"{folder / f'{i:05}.mp4'},{i:05}.mp4\n" for i in range(clips, clips + NEW))
        for name in ("second", "third"):
            wall, said = night(listed, out)
            print(
                f"{name} night: {wall:.1f} s, {100 * wall / first:.1f} % of the first; "
                f"{said['counts']['videos_tagged']} tagged, due {said['due']}",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 1000)
