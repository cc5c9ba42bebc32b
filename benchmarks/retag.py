"""Tagging anew what was seen already, by another head, against tagging the same films: CPU seconds.

    python benchmarks/retag.py [--films N] [--keep]        (needs the shared footage: MOVIE_TAGS_DATA)

Twenty shared trailers are tagged, and tagged again by a bundle with the same backbone and another head. Both are done
with one trailer, too: the difference leaves out what starting the command costs. Then a folder of results of N films
[10,000] is made of what was kept of the trailers, under other names, and all of them are tagged again: what that costs
a key frame is set against what decoding and tagging cost one in the same run. CPU is that of a command with all its
processes, as the operating system counts it when they have ended.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measuring import COMMAND, FOOTAGE, WORK, measure, need_footage

from movie_tags.models import DEFAULT, resolve
from movie_tags.models.bundle import HEAD_CARD, OUTSIDE, read_bundle, write_card
from movie_tags.models.heads import read_head, write_head
from movie_tags.records import Entry
from movie_tags.results.corrections import APPLIES, Correction, Corrections
from movie_tags.results.features import ROW_GROUP
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.manifest import entry_of
from movie_tags.results.parts import Part
from movie_tags.results.run_records import DONE, PartRecord, RunRecord
from movie_tags.results.schema import MANIFEST, to_line
from movie_tags.results.sort import lines_of

TRAILERS = 20
ROUNDS = 2
"""Of tagging again, to and fro between two heads: the median counts."""
OF_PART = 500
AT = "2026-01-01T00:00:00+00:00"
TABLES = ("tags", "key_frames")
PLACE = WORK / "retag"


@dataclass(frozen=True)
class Taken:
    """What a command took: CPU seconds, the peak of its memory in GB, and what run.json says."""

    cpu_s: float
    peak_gb: float
    said: dict


def run(out: Path, *words: str) -> Taken:
    """A command of `movie-tags` into a folder of results, measured."""

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = spent()
    cost = measure([*COMMAND[:-1], *words])
    return Taken(spent() - before, cost.peak_gb, json.loads((out / "run.json").read_text("utf-8")))


def tag(films: Iterable[Path], out: Path, model: str) -> Taken:
    return run(out, "tag", *map(str, films), "--output", str(out), "--model", model, "--direct_num_workers=1")


def other_head() -> str:
    """A bundle with the default's backbone and another head."""
    folder, bundle = PLACE / "bundle", read_bundle(resolve(DEFAULT))
    shutil.copytree(bundle.uri, folder)
    head = read_head(bundle)
    assert head is not None, "a bundle with a head"
    other = replace(head, bias=head.bias + np.float32(0.1))
    write_head(str(folder / "head.npz"), other)
    write_card(str(folder), {**bundle.card, HEAD_CARD: {**other.to_card(), OUTSIDE: True}})
    return str(folder)


def copies(part: Part, entries: list[Entry], made: Path, films: int) -> int:
    """A folder of results of so many films, each as one of those of a part under another name; its key frames."""
    rows: dict[str, dict[str, list[dict]]] = {name: {} for name in TABLES}
    for name, by_film in rows.items():
        for line in lines_of([f"{part.address}/{name}.jsonl"]):
            row = json.loads(line)
            by_film.setdefault(row["id"], []).append(row)
    kept = pq.read_table(f"{part.address}/features.parquet")
    ids = np.array(kept["id"].to_pylist())
    results = ResultsFolder(str(made))
    done = RunRecord(**{**ResultsFolder(part.results).last_run.said, "run_id": "made", "counters": {}})  # type: ignore
    left = results.run("made")
    left.begin(done)
    frames = 0
    for first in range(0, films, OF_PART):
        names = [(f"film{k:06}", entries[k % len(entries)]) for k in range(first, min(first + OF_PART, films))]
        copy = left.part(f"part-{first // OF_PART:05}")
        Path(copy.address).mkdir(parents=True)
        for name in TABLES:
            copy.write(name, _lines(rows[name], names))
        kept_in = f"runs/made/{copy.name}"
        copy.write(MANIFEST, [to_line(replace(one, id=id, run_id="made", features=kept_in)) for id, one in names])
        copy.write("spans", ())
        copy.write("errors", ())
        of_films = [kept.take(np.flatnonzero(ids == one.id)) for _, one in names]
        frames += sum(map(len, of_films))
        named = [found.set_column(0, "id", [[id] * len(found)]) for found, (id, _) in zip(of_films, names, strict=True)]
        pq.write_table(pa.concat_tables(named), f"{copy.address}/features.parquet", ROW_GROUP, compression="zstd")
        copy.finish(PartRecord("made", done.method_key, AT))
    results.finish(done, DONE, 3)
    return frames


def _lines(rows: dict[str, list[dict]], names: list[tuple[str, Entry]]) -> Iterator[bytes]:
    for id, one in names:
        for row in rows.get(one.id, ()):
            yield json.dumps({**row, "id": id}, ensure_ascii=False).encode() + b"\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=10_000, metavar="N", help="[10000]")
    parser.add_argument("--keep", action="store_true", help="keep build/bench/retag")
    args = parser.parse_args()
    need_footage()
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    trailers = sorted((FOOTAGE / "trailers").glob("*.mp4"))[:TRAILERS]
    other, few, out = other_head(), PLACE / "one", PLACE / "trailers"
    anew = [tag(films, folder, DEFAULT) for films, folder in ((trailers[2:3], few), (trailers, out))]
    shutil.copytree(out, PLACE / "again", symlinks=True)
    frames = [one.said["counts"]["key_frames_tagged"] for one in anew]
    rounds = [
        [run(folder, "retag", str(folder), "--model", model).cpu_s for folder in (few, out)]
        for _ in range(ROUNDS)
        for model in (other, DEFAULT)
    ]
    start, whole = np.median(rounds, 0)
    print(f"{len(trailers)} trailers, {frames[1]} key frames")
    print("| | tagged | tagged again | ratio |\n|---|---|---|---|")
    for what, (first, second) in (
        ("whole commands, CPU s", (anew[1].cpu_s, whole)),
        ("less what one trailer takes, CPU s", (anew[1].cpu_s - anew[0].cpu_s, whole - start)),
    ):
        print(f"| {what} | {first:.2f} | {second:.2f} | 1/{first / second:.0f} |", flush=True)
    per_frame = (anew[1].cpu_s - anew[0].cpu_s) / (frames[1] - frames[0])
    source = ResultsFolder(str(PLACE / "again"))
    entries = [entry_of(line) for line in lines_of([source.manifest] if source.manifest else [])]
    made = PLACE / "made"
    number = copies(Part(f"{source.address}/{entries[0].features}"), entries, made, args.films)
    taken = run(made, "retag", str(made), "--model", other)
    assert taken.said["counts"]["videos_tagged"] == args.films, taken.said["counts"]
    print(
        f"| {args.films} films, {number} key frames, CPU ms a key frame | {1000 * per_frame:.1f} | "
        f"{1000 * taken.cpu_s / number:.3f} | 1/{per_frame * number / taken.cpu_s:.0f} |"
    )
    print(f"{taken.cpu_s:.0f} s of CPU, {taken.peak_gb:.2f} GB at most")
    again = run(made, "retag", str(made), "--model", other)
    Corrections(str(made)).append([Correction("film000000", "Temple", APPLIES)])
    corrected = run(made, "retag", str(made), "--model", other)
    print(f"once more, nothing due: {again.cpu_s:.2f} s of CPU; a correction into the tables: {corrected.cpu_s:.2f} s")
    if not args.keep:
        shutil.rmtree(PLACE)


if __name__ == "__main__":
    main()
