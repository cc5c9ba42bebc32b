"""The report on large catalogues: how long it takes to make, and how fast the catalogue's page answers in a browser.

    python benchmarks/report.py [--films 10000] [--key-frames 20]

Generated results: every film has its tags, spans and key frames with a thumbnail. In the browser each answer is timed
by the page's own clock, from the input to the picture after it (two animation frames). Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from browser import opened, why_not
from result_folders import RUN, film, frame, jpeg, span, tag

from movie_tags.report.write import write_report

WORDS = [
    "night",
    "day",
    "river",
    "glass",
    "wolf",
    "road",
    "king",
    "sea",
    "winter",
    "letter",
    "garden",
    "war",
    "moon",
    "house",
    "train",
]
TAGS = (Path(__file__).parents[1] / "models" / "compact" / "vocabulary.txt").read_text().split("\n")[:-1]
SECONDS = 6.0

TIMED = """
const [action, done] = arguments;
const frames = (n, then) => n ? requestAnimationFrame(() => frames(n - 1, then)) : then();
const began = performance.now();
new Function(action)();
frames(2, () => done([performance.now() - began, document.getElementById("count").textContent]));
"""
TAG = "document.querySelectorAll('#tags button')[{}].click()"
INPUT = "const e = document.getElementById('{}'); e.value = '{}'; e.dispatchEvent(new Event('{}'))"
ACTIONS = {
    "a letter typed": INPUT.format("words", "n", "input"),
    "a word typed": INPUT.format("words", "night", "input"),
    "the word taken away": INPUT.format("words", "", "input"),
    "a tag, all of": TAG.format(3),
    "another tag": TAG.format(7),
    "both taken away": TAG.format(3) + ";" + TAG.format(7),
    "the slider moved": INPUT.format("min", "50", "input"),
    "sorted by length": INPUT.format("sort", "longest", "change"),
    "the next page": "document.getElementById('next').click()",
}


def generate(folder: Path, films: int, key_frames: int) -> None:
    """Write results of so many films."""
    dice = random.Random(1)
    (folder / "thumbnails").mkdir(parents=True)
    for i in range(64):
        (folder / "thumbnails" / f"{i}.jpg").write_bytes(jpeg(i))
    with (
        (folder / "tags.jsonl").open("w") as tags,
        (folder / "key_frames.jsonl").open("w") as frames,
        (folder / "spans.jsonl").open("w") as spans,
    ):
        for i in range(films):
            id = f"gs://films/{i:06}.mp4"
            names = dice.sample(TAGS, dice.randint(3, 12))
            found = [tag(name, round(1 / (1 + k), 3)) for k, name in enumerate(names)]
            title = " ".join(dice.sample(WORDS, 3)).capitalize() + f" {i}"
            kept = [t for t in found if t["relative_strength"] >= 0.1]
            length = SECONDS * key_frames
            row = film(
                id, kept, found[len(kept) :], title=title, duration_s=length, shots=key_frames, key_frames=key_frames
            )
            tags.write(json.dumps(row) + "\n")
            for k in range(key_frames):
                top = {name: round(dice.random(), 6) for name in dice.sample(names, min(3, len(names)))}
                thumbnail = f"thumbnails/{(i + k) % 64}.jpg"
                middle = SECONDS * (k + 0.5)
                frames.write(json.dumps(frame(id, middle, top, SECONDS, thumbnail=thumbnail)) + "\n")
                spans.write(json.dumps(span(id, names[k % len(names)], SECONDS * k, SECONDS * (k + 1))) + "\n")
    (folder / "errors.jsonl").write_text("")
    (folder / "run.json").write_text(json.dumps(RUN))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=10_000)
    parser.add_argument("--key-frames", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="keep everything here")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="movie-tags-bench-"))
    generate(folder, args.films, args.key_frames)
    began = time.perf_counter()
    report = write_report(str(folder))
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    index = Path(report.index)
    pages = [path.stat().st_size for path in (index.parent / "films").iterdir()]
    print(f"| {args.films:,} films, {args.films * args.key_frames:,} key frames | |\n|---|---|")
    print(f"| made in | {took:.0f} s, {1000 * took / args.films:.1f} ms a film, {peak:.0f} MB of memory at most |")
    print(f"| index.html | {index.stat().st_size / 1e6:.1f} MB; a film's page {sum(pages) / len(pages) / 1e3:.0f} kB |")
    if why_not():
        print(f"| in a browser | not measured: {why_not()} |")
    else:
        with opened() as browser:
            browser.get(index.as_uri())
            loaded = browser.execute_script("return performance.getEntriesByType('navigation')[0].loadEventEnd")
            print(f"| opened | {loaded:.0f} ms |")
            for name, action in ACTIONS.items():
                took, count = browser.execute_async_script(TIMED, action)
                print(f"| {name} | {took:.0f} ms ({count}) |")
            nodes = browser.execute_script("return document.querySelectorAll('*').length")
            print(f"| elements in the page | {nodes:,} |")
    if not args.folder:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
