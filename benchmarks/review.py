"""`movie-tags review` over 10,000 films with 2 million key frames: how long one waits, and its memory.

    python benchmarks/review.py [--films N] [--key-frames N] [--folder DIR]

The tables are those of benchmarks/report.py. Each time is the best of ROUNDS requests to the served page, the first
one apart, and so is the CPU that the server took; the same again after 10,000 corrections.
"""

from __future__ import annotations

import argparse
import http.cookiejar
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import psutil

sys.path.insert(0, str(Path(__file__).parent))

from movie_tags.results.corrections import Correction, Corrections
from report import TAGS, generate

ROUNDS = 5
CORRECTIONS = 10_000


Took = tuple[float, float]


def least(found: Iterable[Took]) -> Took:
    """The least of either figure."""
    wall, cpu = zip(*found, strict=True)
    return min(wall), min(cpu)


class Page:
    """The review page of a folder, in a process of its own, as a user starts it."""

    def __init__(self, folder: Path):
        began = time.perf_counter()
        command = [sys.executable, "-m", "movie_tags", "review", str(folder), "--by", "bench"]
        self.process = psutil.Popen(command, stdout=subprocess.PIPE, text=True)
        link = self.process.stdout.readline().strip()
        self.started = time.perf_counter() - began, self._cpu()
        self.origin = link.partition("/?")[0]
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(jar)
        self.first = self.timed(link[len(self.origin) :])

    def _cpu(self) -> float:
        found = self.process.cpu_times()
        return found.user + found.system

    def timed(self, path: str, body: dict | None = None) -> Took:
        """Ask, and read the whole answer: seconds, and seconds of CPU that the server took meanwhile."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Origin": self.origin, "Content-Type": "application/json"} if data else {}
        began, used = time.perf_counter(), self._cpu()
        with self.opener.open(urllib.request.Request(self.origin + path, data, headers)) as answer:
            self.answer = answer.read()
        took = time.perf_counter() - began, self._cpu() - used
        return took

    def peak(self) -> float:
        """The most memory that the server ever held, MB: with the pages of files that it had mapped."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0]) / 1e6

    def best(self, path: str, body: dict | None = None) -> Took:
        return least(self.timed(path, body) for _ in range(ROUNDS))

    def corrected(self, name: str) -> Took:
        """From a click to the film's page that shows it."""
        body = {"name": name, "tag": "Mine", "verdict": "applies"}
        found = []
        for _ in range(ROUNDS):
            said, shown = self.timed("/api/corrections", body), self.timed(f"/films/{name}.html")
            assert b"Mine" in self.answer
            found.append((said[0] + shown[0], said[1] + shown[1]))
        return least(found)

    def reopened(self, name: str) -> Took:
        """The catalogue's page after a click."""
        found = []
        for verdict in ("applies", "rejected") * 3:
            self.timed("/api/corrections", {"name": name, "tag": "Mine", "verdict": verdict})
            found.append(self.timed("/"))
        return least(found)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()


def corrections(films: int) -> Iterator[Correction]:
    """Of a film each, where there are so many: tags of the vocabulary that do not apply, and others that do."""
    for i in range(CORRECTIONS):
        id = f"gs://films/{i % films:06}.mp4"
        own = i % 2
        yield Correction(id, f"Tag {i % 50}" if own else TAGS[i // 2 % len(TAGS)], "applies" if own else "rejected")


def measure(folder: Path, when: str) -> None:
    page = Page(folder)
    try:
        films = json.loads(page.answer.decode().split('id="data">')[1].split("</script>")[0])["films"]
        names = [film[1] for film in films]
        first_film = page.timed(f"/films/{names[0]}.html")
        rows = {
            "started": page.started,
            "the catalogue, first": page.first,
            "both: from the start until the catalogue is open": tuple(
                map(sum, zip(page.started, page.first, strict=True))
            ),
            "the catalogue, again": page.best("/"),
            "a film's page, first": first_film,
            "scenes, first": page.timed("/api/scenes?q=food"),  # waits for the end of all that is prepared
            "a film's page": page.best(f"/films/{names[-1]}.html"),
            "a correction, until its page shows it": page.corrected(names[-1]),
            "the catalogue after a correction": page.reopened(names[-1]),
            "the queue": page.best("/queue"),
            "scenes of two tags, first asked for": page.timed("/api/scenes?q=animal%20war"),
            "scenes of two tags": page.best("/api/scenes?q=animal%20war"),
            "scenes of three, or and not": page.best(f"/api/scenes?q={quote('(animal or food) and not war')}"),
        }
        print(f"\n| {when} | s | s of CPU |\n|---|---|---|")
        for name, (wall, cpu) in rows.items():
            print(f"| {name} | {wall:.2f} | {cpu:.2f} |")
        print(f"| memory at most | {page.peak():.0f} MB | |", flush=True)
    finally:
        page.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=10_000)
    parser.add_argument("--key-frames", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="keep the tables here, and take them from here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="movie-tags-bench-") as scratch:
        folder = args.folder or Path(scratch)
        if not (folder / "run.json").exists():
            generate(folder, args.films, args.key_frames)
        measure(folder, f"{args.films:,} films, {args.films * args.key_frames:,} key frames")
        Corrections(str(folder)).append(corrections(args.films))
        measure(folder, f"with {CORRECTIONS:,} corrections")


if __name__ == "__main__":
    main()
