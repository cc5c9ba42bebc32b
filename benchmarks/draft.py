"""Draft sampling against exact sampling, film by film: what it costs and how far its tags agree.

    python benchmarks/draft.py                (needs the shared footage: MOVIE_TAGS_DATA)
    python benchmarks/draft.py --sweep        for several gaps; it sets the default of Method.max_key_frame_gap

CPU seconds are those of sampling, shots, entropy and the bundled model in this process, one thread. The cosine is that
of the strengths W of all tags that count; Jaccard that of the short lists.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from movie_tags.models import resolve
from movie_tags.models.bundle import ModelBundle, read_bundle
from movie_tags.models.loading import Model, fit, load_model, predict
from movie_tags.pipeline.method import Method
from movie_tags.transforms.entropy import entropy
from movie_tags.transforms.sampling import SegmentReader, Tally, plan_segments, read_samples
from movie_tags.transforms.shots import KeyFrame, ShotFinder, close, key_frame
from movie_tags.transforms.strength import CombineStrengths, TagStrength, strongest
from movie_tags.transforms.tagging import KeyFrameTags, believed, top_tags
from movie_tags.transforms.video import VideoError, use_one_thread

FOOTAGE = Path(os.environ.get("MOVIE_TAGS_DATA", "../shared/data")) / "videos"
FOLDERS = ("films", "clips", "trailers")
GAPS = (1.0, 2.0, 3.0, 4.0, 6.0, 10.5)
BAR = 0.95
METHOD = Method()


@dataclass(frozen=True)
class Tagged:
    """What one way of sampling gave of a film, and its CPU seconds; `fed_s`: those of all but the model."""

    key_frames: int
    tags: tuple[TagStrength, ...]
    cpu_s: float
    fed_s: float


def key_frames_of(film: str, max_gap: float | None) -> Iterator[KeyFrame]:
    """The key frames of a film's shots, in one process and without Beam."""
    (segment,) = plan_segments(film, METHOD.fps, None, max_gap)
    finder, tally = ShotFinder(segment, METHOD.shot_threshold), Tally()
    reader = SegmentReader(film, segment)
    yield from finder.key_frames(reader, reader.tally)
    unread = close(finder.stretch).unread
    if unread:
        for frame in read_samples(film, segment.clock, [shot.median for shot in unread], tally):
            shot = next(shot for shot in unread if shot.first <= frame.index <= shot.last)
            yield key_frame(segment.clock, shot, frame)


def tag(film: str, max_gap: float | None, bundle: ModelBundle, model: Model) -> Tagged:
    """The strengths of a film's tags, by the method's defaults; a gap of None samples exactly."""
    thresholds = dict(zip(bundle.vocabulary, bundle.thresholds, strict=True))
    begun = time.process_time()
    frames = [
        (frame, fit(frame.pixels, bundle.input_size))
        for frame in key_frames_of(film, max_gap)
        if entropy(frame.pixels) > METHOD.min_entropy
    ]
    fed_s = time.process_time() - begun
    combine, found = CombineStrengths(), []
    for frame, picture in frames:
        (prediction,) = predict(model, [picture], bundle.input_size)
        seen = top_tags(prediction.probabilities, bundle.vocabulary, METHOD.top_k)
        found.append(
            KeyFrameTags(frame.time_s, frame.shot_start_s, frame.shot_end_s, 0.0, believed(seen, thresholds), seen)
        )
    total = combine.create_accumulator()
    for tags in found:
        total = combine.add_input(total, tags)
    tags = combine.extract_output(total)
    return Tagged(len(found), tags, time.process_time() - begun, fed_s)


def cosine(a: Tagged, b: Tagged) -> float:
    """Of the strengths W; 1 where neither has any."""
    one, other = ({tag.tag: tag.strength for tag in tagged.tags} for tagged in (a, b))
    if not one and not other:
        return 1.0
    lengths = math.hypot(*one.values()) * math.hypot(*other.values())
    return sum(w * other.get(name, 0.0) for name, w in one.items()) / lengths if lengths else 0.0


def jaccard(a: Tagged, b: Tagged) -> float:
    """Of the short lists; 1 where both are empty."""
    one, other = ({tag.tag for tag in strongest(t.tags, METHOD.min_relative_strength)} for t in (a, b))
    return len(one & other) / len(one | other) if one | other else 1.0


def films() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((FOOTAGE / folder).iterdir()) if path.suffix != ".tsv"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweep", action="store_true", help="several gaps, the least cosine and the price of each")
    parser.add_argument("--model", default=resolve(), help="the model bundle")
    parser.add_argument("films", nargs="*", type=Path, help="the films [the shared footage]")
    args = parser.parse_args()
    use_one_thread()
    bundle = read_bundle(args.model)
    model = load_model(bundle, 1)
    chosen = args.films or films()
    tag(str(chosen[0]), None, bundle, model)  # what is loaded once counts for no film
    gaps = GAPS if args.sweep else (METHOD.max_key_frame_gap,)
    results: list[tuple[Path, Tagged, dict[float, Tagged]]] = []
    for film in chosen:
        try:
            exact = tag(str(film), None, bundle, model)
            results.append((film, exact, {gap: tag(str(film), gap, bundle, model) for gap in gaps}))
            if args.sweep:
                found = ", ".join(f"{gap:g} s {cosine(exact, draft):.3f}" for gap, draft in results[-1][2].items())
                print(f"{film.stem}: {found}", file=sys.stderr, flush=True)
        except (VideoError, ValueError) as error:
            print(f"{film.name}: {error}", file=sys.stderr)
    if args.sweep:
        print("| gap, s | least cosine | below the bar | mean cosine | mean Jaccard | CPU against exact |")
        print("|---|---|---|---|---|---|")
        for gap in gaps:
            cosines = {film.stem: cosine(exact, drafts[gap]) for film, exact, drafts in results}
            lists = [jaccard(exact, drafts[gap]) for _, exact, drafts in results]
            below = [f"{name} {value:.2f}" for name, value in cosines.items() if value < BAR]
            price = sum(d[gap].cpu_s for _, _, d in results) / sum(e.cpu_s for _, e, _ in results)
            print(
                f"| {gap:g} | {min(cosines.values()):.3f} | {len(below)}: {', '.join(below)} "
                f"| {sum(cosines.values()) / len(cosines):.3f} | {sum(lists) / len(lists):.2f} | {price:.2f} |"
            )
        return
    print(
        "| film | key frames, exact / draft | CPU s, exact / draft | of it less the model | share "
        "| cosine of W | Jaccard |\n|---|---|---|---|---|---|---|"
    )
    for film, exact, drafts in results:
        (draft,) = drafts.values()
        print(
            f"| {film.stem} | {exact.key_frames} / {draft.key_frames} | {exact.cpu_s:.2f} / {draft.cpu_s:.2f} "
            f"| {exact.fed_s:.2f} / {draft.fed_s:.2f} | {draft.cpu_s / exact.cpu_s:.2f} "
            f"| {cosine(exact, draft):.3f} | {jaccard(exact, draft):.2f} |"
        )
    cosines = [cosine(exact, drafts[gaps[0]]) for _, exact, drafts in results]
    price = sum(d[gaps[0]].cpu_s for _, _, d in results) / sum(e.cpu_s for _, e, _ in results)
    print(
        f"\n{len(results)} films; gaps above {gaps[0]:g} s sampled exactly; CPU {price:.2f} of exact; least cosine "
        f"{min(cosines):.3f} (bar: {BAR}), {sum(value >= BAR for value in cosines)} films at or above it"
    )


if __name__ == "__main__":
    main()
