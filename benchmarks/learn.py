"""A simulated reviewer: what a model learns from corrections, judged on films that neither it nor the reviewer saw.

    python benchmarks/learn.py [--frames N] [--model BUNDLE]

Labelled frames of films, by whole films in three thirds. The model shows its backbone's features of them; its own head
saw many of these frames, so one is learned from the first third instead. The labels of the second are corrections; the
third judges before and after. Then tags that a head is without are taught with 10, 30 and 100 frames of the first two
thirds, and set against all of these. Features are kept in build/bench/learn.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from measuring import FOOTAGE
from sklearn.metrics import average_precision_score

from movie_tags.models import DEFAULT, resolve
from movie_tags.models.bundle import ModelBundle, read_bundle
from movie_tags.models.heads import LinearHead, read_head
from movie_tags.models.loading import load_model
from movie_tags.training.corrected import OF_FILM, WEAK, Corrected
from movie_tags.training.data.frames import decode_picture
from movie_tags.training.heads.adapt import NEW_BIAS, NEW_PENALTY, Examples, adapt, left_out
from movie_tags.training.learning import Learned, cut, learn

FRAMES = FOOTAGE.parent / "frames"
WORK = Path("build/bench/learn")
TOP = 3
TAUGHT = (10, 30, 100)
LEAST = 5
"""Positive frames that a tag is judged by."""


@dataclass(frozen=True)
class Judgement:
    """Mean average precision; precision and recall of the tags that are believed, where a maybe is wrong."""

    mean_average_precision: float
    precision: float
    recall: float

    def __str__(self) -> str:
        return f"mAP {self.mean_average_precision:.3f}, precision {self.precision:.3f}, recall {self.recall:.3f}"


def labelled(number: int) -> list[dict]:
    """Rows of labels, by whole films in a drawn order, about so many."""
    lines = (json.loads(line) for line in (FRAMES / "LABELS.jsonl").read_text("utf-8").splitlines())
    rows = [row for row in lines if not row.get("ai") and not row.get("card")]
    films = np.array(sorted({row["film"] for row in rows}))
    place = {film: i for i, film in enumerate(np.random.default_rng(0).permutation(films))}
    return sorted(rows, key=lambda row: (place[row["film"]], row["file"]))[:number]


def features_of(bundle: ModelBundle, files: Sequence[str]) -> np.ndarray:
    """What a bundle's backbone shows of frames, float32 [N, F]."""
    kept = WORK / f"{bundle.features_fingerprint}-{len(files)}.npy"
    if not kept.exists():
        model = load_model(bundle)
        decoded = (decode_picture((FRAMES / file).read_bytes()) for file in files)
        pictures = (picture for picture in decoded if picture is not None)
        answers = (model.describe(bundle.fitted(picture)[None]).features for picture in pictures)
        found = [features[0] for features in answers if features is not None]
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, np.stack(found).astype(np.float32))
    return np.load(kept)


def examples_of(rows: Sequence[dict], features: np.ndarray, vocabulary: Sequence[str]) -> Examples:
    """Complete labels; a maybe is not known."""
    labels = np.zeros((len(rows), len(vocabulary)))
    for row, said in enumerate(rows):
        labels[row, [tag in said["maybe"] and tag not in said["tags"] for tag in vocabulary]] = np.nan
        labels[row, [tag in said["tags"] for tag in vocabulary]] = 1
    return Examples(features, labels, np.ones(labels.shape), np.array([row["film"] for row in rows]))


def blank(like: LinearHead, tags: int) -> LinearHead:
    """A head that knows nothing."""
    kernel = np.zeros((len(like.kernel), tags), np.float32)
    return LinearHead(kernel, np.full(tags, NEW_BIAS, np.float32), like.widths, like.scales)


def precisions(probabilities: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """Average precision of each tag that has enough frames."""
    found = {}
    for tag in range(labels.shape[1]):
        known = np.isfinite(labels[:, tag])
        if (labels[known, tag] > 0).sum() >= LEAST:
            found[tag] = float(average_precision_score(labels[known, tag], probabilities[known, tag]))
    return found


def judge(head: LinearHead, thresholds: np.ndarray, truth: Examples) -> Judgement:
    """A head with its thresholds, on frames that it did not learn from."""
    found = head(truth.features)
    first = found >= -np.sort(-found, 1)[:, TOP - 1 : TOP]
    said, plain = (found >= thresholds) & first, truth.labels == 1
    hits = (said & plain).sum()
    average = float(np.mean(list(precisions(found, truth.labels).values())))
    return Judgement(average, float(hits / max(1, said.sum())), float(hits / max(1, plain.sum())))


def thresholds_of(head: LinearHead, examples: Examples) -> np.ndarray:
    """Thresholds of a head that was learned from examples, by heads that did not see them."""
    found = left_out(blank(head, examples.labels.shape[1]), examples, NEW_PENALTY)
    known = np.isfinite(examples.labels)
    pairs = ((examples.labels[rows, tag], found[rows, tag]) for tag, rows in enumerate(known.T))
    return np.array([cut(labels, p) if labels.any() else 0.5 for labels, p in pairs])


def reviewer(
    head: LinearHead, thresholds: np.ndarray, said: Examples, truth: Examples
) -> tuple[Judgement, Judgement, Learned]:
    """Before and after a reviewer has said what is to be said of frames; and what was learned, with its own verdict."""
    tags = tuple(map(str, range(said.labels.shape[1])))
    learned = learn(head, list(thresholds), None, Corrected(tags, said, {}, len(tags)))
    return judge(head, thresholds, truth), judge(learned.head, learned.thresholds, truth), learned


def taught(like: LinearHead, pool: Examples, truth: Examples, frames: int) -> list[tuple[float, float]]:
    """By tag, average precision of a tag that was taught with so many frames, and with all of the pool."""
    random = np.random.default_rng(frames)
    pairs = []
    for tag in precisions(truth.labels, truth.labels):
        shown = np.flatnonzero(pool.labels[:, tag] == 1)
        if len(shown) < frames:
            continue
        marked = random.permutation(shown)[:frames]
        others = np.flatnonzero(~np.isin(pool.films, pool.films[marked]))  # weak negatives, whatever they show
        others = random.permutation(others)[: 200 * OF_FILM]
        rows = np.concatenate([marked, others])
        labels = np.r_[np.ones(frames), np.zeros(len(others))][:, None]
        weak = Examples(pool.features[rows], labels, np.where(labels > 0, 1, WEAK), pool.films[rows])
        whole = Examples(pool.features, pool.labels[:, [tag]], pool.weights[:, [tag]], pool.films)
        heads = [adapt(blank(like, 1), examples, NEW_PENALTY) for examples in (weak, whole)]
        scores = [precisions(head(truth.features), truth.labels[:, [tag]])[0] for head in heads]
        pairs.append((scores[0], scores[1]))
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=6000, metavar="N", help="[6000]")
    parser.add_argument("--model", default=DEFAULT, metavar="BUNDLE", help=f"[{DEFAULT}]")
    args = parser.parse_args()
    bundle = read_bundle(resolve(args.model))
    like = read_head(bundle)
    assert like is not None, "a bundle with a head"
    rows = labelled(args.frames)
    everything = examples_of(rows, features_of(bundle, [row["file"] for row in rows]), bundle.vocabulary)
    third = np.unique(everything.films, return_inverse=True)[1] % 3
    first, second, truth = (everything.of(third == part) for part in range(3))
    head = adapt(blank(like, len(bundle.vocabulary)), first, NEW_PENALTY)
    begun = time.monotonic()
    before, after, learned = reviewer(head, thresholds_of(head, first), second, truth)
    print(f"{len(second.films)} corrected frames, judged on {len(truth.films)}; {time.monotonic() - begun:.0f} s")
    print(f"before: {before}\nafter:  {after}")
    if learned.mean_average_precision and learned.films.precision and learned.films.recall:
        figures = (learned.mean_average_precision, learned.films.precision, learned.films.recall)
        said = ", ".join("{:.3f} to {:.3f}".format(*pair) for pair in figures)
        print(f"its own verdict, of corrected films left out: mAP, films' precision and recall {said}; ", end="")
        print(f"worse at {', '.join(learned.worse_at) or 'nothing'}")
    for frames in TAUGHT:
        pairs = np.array(taught(like, everything.of(third < 2), truth, frames))
        if len(pairs):
            few, all_ = pairs.mean(0)
            print(f"{len(pairs)} tags taught with {frames} frames: {few:.3f}, with all {all_:.3f}: {few / all_:.2f}")


if __name__ == "__main__":
    main()
