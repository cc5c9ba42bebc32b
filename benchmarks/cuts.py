"""Exact cuts: what finding the true frame of each boundary costs, and how far from known cuts the frames lie.

    python benchmarks/cuts.py                        (needs the shared footage: MOVIE_TAGS_DATA)
    python benchmarks/cuts.py FILM ...               of these films

CPU seconds are those of sampling, shots, entropy and the bundled model in this process, one thread; the median of some
rounds, exact and sampled by turns.
"""

from __future__ import annotations

import csv
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from measuring import FOOTAGE, footage, make_film, need_footage

from movie_tags.models import resolve
from movie_tags.models.bundle import read_bundle
from movie_tags.models.loading import load_model, predict
from movie_tags.records import EXACT
from movie_tags.transforms.entropy import entropy
from movie_tags.transforms.shots.detector import rule_of
from movie_tags.transforms.shots.finder import CutFinder
from movie_tags.transforms.shots.inside import KeyFramePicture, ShotFinder, key_frame
from movie_tags.transforms.shots.stretches import close
from movie_tags.transforms.video.decoding import Decoding
from movie_tags.transforms.video.rgb import use_one_thread
from movie_tags.transforms.video.screen import Tally

ROUNDS = 5
KNOWN = FOOTAGE / "shots" / "compiled_mixed_single_shots_known_cuts.shots.tsv"


def key_frames_of(film: str, exact: bool, tally: Tally) -> Iterator[KeyFramePicture]:
    """The key frames of a film's shots, in one process and without Beam."""
    decoding, rule = Decoding(None), rule_of()
    cuts = CutFinder(decoding, rule)
    (segment,) = decoding.plan(film, 1, None)
    finder = ShotFinder(segment, rule, locate=(lambda between: cuts.locate(film, tally, between)) if exact else None)
    yield from finder.key_frames(decoding.samples(film, segment, tally, between=exact), tally)
    for shot in close(finder.stretch).unread:
        for frame in decoding.samples_again(film, segment.clock, [shot.median], tally):
            yield key_frame(segment.clock, shot, frame)


def fed(film: str, exact: bool) -> tuple[list[KeyFramePicture], float]:
    """The key frames that the model gets, and the CPU seconds that they took."""
    begun = time.process_time()
    found = [one for one in key_frames_of(film, exact, Tally()) if entropy(one.pixels) > 0.2]
    return found, time.process_time() - begun


def off_by(found: list[KeyFramePicture]) -> str:
    """Of the exact boundaries of the film with known cuts, how many frames they lie from the nearest."""
    with open(KNOWN, newline="") as lines:
        true = [float(row["start_s"]) for row in csv.DictReader(lines, delimiter="\t")]
    starts = [one.frame.shot_start_s for one in found if one.frame.cut == EXACT]
    off = Counter(round(min(abs(start - cut) for cut in true) * 25) for start in starts)
    return ", ".join(f"{count} by {frames}" for frames, count in sorted(off.items()))


def main(films: list[str]) -> None:
    need_footage()
    use_one_thread()
    bundle = read_bundle(resolve("default"))
    model = load_model(bundle, threads=1)
    chosen = [Path(film) for film in films] or [*footage("films"), make_film(1), *footage("trailers")]
    sums = Counter[str]()
    print("| film | exact | approximate | CPU s sampled | exact cuts | more |\n|---|---|---|---|---|---|")
    for film in chosen:
        rounds = [(fed(str(film), False), fed(str(film), True)) for _ in range(ROUNDS)]
        found = rounds[0][1][0]
        begun = time.process_time()
        for one in found:
            predict(model, [one.pixels], bundle.fitted)
        model_s = time.process_time() - begun
        plain, exact = (model_s + statistics.median(pair[i][1] for pair in rounds) for i in (0, 1))
        how = Counter(one.frame.cut for one in found)
        sums.update({"plain": plain, "exact": exact})
        more = f"{exact / plain - 1:.1%}"
        print(f"| {film.name[:40]} | {how[EXACT]} | {len(found) - how[EXACT]} | {plain:.2f} | {exact:.2f} | {more} |")
        if film.name.startswith("compiled_mixed"):
            print(f"|  frames off known cuts: {off_by(found)} | | | | | |")
    print(f"together {sums['plain']:.1f} s and {sums['exact']:.1f} s: {sums['exact'] / sums['plain'] - 1:.1%} more")


if __name__ == "__main__":
    main(sys.argv[1:])
