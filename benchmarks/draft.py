"""Draft sampling against exact sampling, film by film: what it costs and how far its tags agree.

    python benchmarks/draft.py                (needs the shared footage: MOVIE_TAGS_DATA)
    python benchmarks/draft.py --sweep        for several gaps, short films drafted, too: it sets Method's defaults
    python benchmarks/draft.py --short        where short films are drafted, too: docs/guide/drafts.md
    python benchmarks/draft.py --long         of one long film, made of the shared films and trailers one after another

CPU seconds are those of sampling, shots, entropy and the bundled model in this process, one thread. The cosine is that
of the strengths W of all tags that count; Jaccard that of the short lists.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from measuring import footage, long_film, need_footage

from movie_tags.models import resolve
from movie_tags.models.bundle import ModelBundle, read_bundle
from movie_tags.models.ensemble import unite
from movie_tags.models.loading import load_model, predict
from movie_tags.models.runtimes import Model
from movie_tags.pipeline.method import Method
from movie_tags.pipeline.summing_up import film_rule
from movie_tags.records import TagStrength
from movie_tags.transforms.entropy import entropy
from movie_tags.transforms.frame_rule import FrameRule
from movie_tags.transforms.shots.detector import rule_of
from movie_tags.transforms.shots.inside import KeyFramePicture, ShotFinder, key_frame
from movie_tags.transforms.shots.stretches import close
from movie_tags.transforms.strength import short_list, strengths, totals_of, with_confidence
from movie_tags.transforms.video.draft import Draft
from movie_tags.transforms.video.errors import VideoError
from movie_tags.transforms.video.rgb import use_one_thread
from movie_tags.transforms.video.samples import SegmentReader, read_samples
from movie_tags.transforms.video.screen import Tally
from movie_tags.transforms.video.segments import plan_segments

FOLDERS = ("films", "clips", "trailers")
GAPS = (1.0, 2.0, 4.0, 6.0, 12.0)
BAR = 0.95
METHOD = Method()
DRAFT = Draft(METHOD.max_key_frame_gap, METHOD.min_draft_length)


@dataclass(frozen=True)
class Tagged:
    """What one way of sampling gave of a film, and its CPU seconds; `fed_s`: those of all but the model."""

    key_frames: int
    tags: tuple[TagStrength, ...]
    cpu_s: float
    fed_s: float


def key_frames_of(film: str, draft: Draft | None) -> Iterator[KeyFramePicture]:
    """The key frames of a film's shots, in one process and without Beam."""
    (segment,) = plan_segments(film, METHOD.fps, None, draft)
    finder, tally = ShotFinder(segment, rule_of(METHOD.detector, METHOD.shot_threshold)), Tally()
    reader = SegmentReader(film, segment)
    yield from finder.key_frames(reader, reader.tally)
    unread = close(finder.stretch).unread
    if unread:
        for frame in read_samples(film, segment.clock, [shot.median for shot in unread], tally):
            shot = next(shot for shot in unread if shot.first <= frame.index <= shot.last)
            yield key_frame(segment.clock, shot, frame)


def tag(film: str, draft: Draft | None, bundle: ModelBundle, model: Model) -> Tagged:
    """The strengths of a film's tags, by the method's defaults; without a draft samples are exact."""
    models = unite([bundle])
    rule = FrameRule.of(models, METHOD.top_k)
    begun = time.process_time()
    frames = [frame for frame in key_frames_of(film, draft) if entropy(frame.pixels) > METHOD.min_entropy]
    fed_s = time.process_time() - begun
    found = []
    for frame in frames:
        (prediction,) = predict(model, [frame.pixels], bundle.fitted)
        if prediction.probabilities is not None:
            found.append(rule.tagged(frame.frame, prediction.probabilities))
    key_frames, confidence = film_rule(models, METHOD).judge(found)
    tags = with_confidence(strengths(totals_of(key_frames)), confidence)
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
    limits = METHOD.min_relative_strength, METHOD.min_confidence
    one, other = ({tag.tag for tag in short_list(t.tags, *limits)} for t in (a, b))
    return len(one & other) / len(one | other) if one | other else 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweep", action="store_true", help="several gaps, the least cosine and the price of each")
    parser.add_argument("--short", action="store_true", help="draft short films, too, which the default does not")
    parser.add_argument("--long", action="store_true", help="one long film, made of the shared films and trailers")
    parser.add_argument("--model", default=resolve(), help="the model bundle")
    parser.add_argument("films", nargs="*", type=Path, help="the films [the shared footage]")
    args = parser.parse_args()
    need_footage()
    use_one_thread()
    bundle = read_bundle(args.model)
    model = load_model(bundle, 1)
    chosen = args.films or ([long_film()] if args.long else footage(*FOLDERS))
    tag(str(chosen[0]), None, bundle, model)  # what is loaded once counts for no film
    drafts = [Draft(gap, 0) for gap in GAPS] if args.sweep else [Draft(DRAFT.max_gap, 0) if args.short else DRAFT]
    gaps = [draft.max_gap for draft in drafts]
    results: list[tuple[Path, Tagged, dict[float, Tagged]]] = []
    for film in chosen:
        try:
            exact = tag(str(film), None, bundle, model)
            results.append((film, exact, {d.max_gap: tag(str(film), d, bundle, model) for d in drafts}))
            if args.sweep:
                said = ", ".join(f"{gap:g} s {cosine(exact, draft):.3f}" for gap, draft in results[-1][2].items())
                print(f"{film.stem}: {said}", file=sys.stderr, flush=True)
        except (VideoError, ValueError) as error:
            print(f"{film.name}: {error}", file=sys.stderr)
    if args.sweep:
        print("| gap, s | least cosine | below the bar | mean cosine | mean Jaccard | CPU against exact |")
        print("|---|---|---|---|---|---|")
        for gap in gaps:
            by_film = {film.stem: cosine(exact, found[gap]) for film, exact, found in results}
            lists = [jaccard(exact, found[gap]) for _, exact, found in results]
            below = [f"{name} {value:.2f}" for name, value in by_film.items() if value < BAR]
            price = sum(d[gap].cpu_s for _, _, d in results) / sum(e.cpu_s for _, e, _ in results)
            print(
                f"| {gap:g} | {min(by_film.values()):.3f} | {len(below)}: {', '.join(below)} "
                f"| {sum(by_film.values()) / len(by_film):.3f} | {sum(lists) / len(lists):.2f} | {price:.2f} |"
            )
        return
    print(
        "| film | key frames, exact / draft | CPU s, exact / draft | of it less the model | share "
        "| cosine of W | Jaccard |\n|---|---|---|---|---|---|---|"
    )
    for film, exact, found in results:
        (draft,) = found.values()
        print(
            f"| {film.stem} | {exact.key_frames} / {draft.key_frames} | {exact.cpu_s:.2f} / {draft.cpu_s:.2f} "
            f"| {exact.fed_s:.2f} / {draft.fed_s:.2f} | {draft.cpu_s / exact.cpu_s:.2f} "
            f"| {cosine(exact, draft):.3f} | {jaccard(exact, draft):.2f} |"
        )
    cosines = [cosine(exact, found[gaps[0]]) for _, exact, found in results]
    price = sum(d[gaps[0]].cpu_s for _, _, d in results) / sum(e.cpu_s for _, e, _ in results)
    print(
        f"\n{len(results)} films; gaps above {drafts[0].max_gap:g} s and films below {drafts[0].min_length:g} s "
        f"sampled exactly; CPU {price:.2f} of exact; least cosine {min(cosines):.3f} (bar: {BAR}), "
        f"{sum(value >= BAR for value in cosines)} films at or above it"
    )


if __name__ == "__main__":
    main()
