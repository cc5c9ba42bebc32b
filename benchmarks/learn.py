"""A simulated reviewer: what a model learns from corrections, judged on films that neither it nor the reviewer saw.

    python benchmarks/learn.py [--data DATA] [--frames N]

Labelled frames of films, by whole films in three thirds, each in turn. The model learns, as `recipes/default_model.py`
does, from all pictures and the first third. Of the second a reviewer says something, by what the model says of it:

- all: every tag of N key frames;
- key frames: of N key frames what is listed wrongly or rightly, and what is missing;
- films: the same of the short lists of all the films, as wholes.

The third judges before and after: key frames by mean average precision, the short lists of films by strict precision
and recall. Then tags that a head is without are taught with 10, 30 and 100 key frames of the second third, and set
against all of it. Features are kept in --work, as the recipe keeps them; the first run takes its time.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

sys.path.append(str(Path(__file__).parents[1]))

from movie_tags.models.heads import LinearHead
from movie_tags.results.corrections import APPLIES, REJECTED, Correction, Place
from movie_tags.results.listing import THRESHOLD
from movie_tags.training.corrected import OF_FILM, WEAK, Corrected, labels_of
from movie_tags.training.evaluate.films import agreement_with
from movie_tags.training.heads import fitting
from movie_tags.training.heads.adapt import NEW_BIAS, NEW_PENALTY, Examples, adapt
from movie_tags.training.heads.fitting import LabelledFilm
from movie_tags.training.heads.multilabel import Labels, MultiLabelSettings, folds_of, labels_of_entries
from movie_tags.training.learning import Learned, learn
from movie_tags.training.never_worse import confidences
from movie_tags.transforms.evidence import FilmConfidence
from recipes.default_model import FEATURES, features_of, group_of, labelled_films, make_dataset, vocabulary_of

ALL, FRAMES, FILMS = "all", "key frames", "films"
TOP = 3
DRAWN = 1500
"""Key frames of which the reviewer says nothing."""
TAUGHT = (10, 30, 100)
LEAST = 5
"""Positive frames that a tag is judged by."""


@dataclass(frozen=True)
class Material:
    """What is known of all pictures.

    Attributes:
        features: float32 [N, F].
        labels: of the same pictures.
        films: those to judge by.
        vocabulary: the tags.
        settings: of the recipe.
    """

    features: np.ndarray
    labels: Labels
    films: Mapping[str, LabelledFilm]
    vocabulary: tuple[str, ...]
    settings: MultiLabelSettings

    @classmethod
    def read(cls, data: Path, work: Path) -> Material:
        work.mkdir(parents=True, exist_ok=True)
        dataset, spec = make_dataset(data, work), FEATURES["default"]
        settings = replace(MultiLabelSettings(), parts=len(spec["scales"]))
        vocabulary, _ = vocabulary_of(dataset.entries)
        labels = labels_of_entries(dataset.entries, vocabulary, settings, group_of)
        films = labelled_films(data, dataset.entries, labels, vocabulary)
        return cls(features_of(dataset, spec, work), labels, films, vocabulary, settings)

    def thirds(self, turn: int) -> np.ndarray:
        """The third of each frame of a film, whole groups each; -1 of what is of no film: int [N]."""
        names = np.unique(self.labels.groups[self.labels.frames])
        order = np.random.default_rng(0).permutation(len(names))
        third = {name: (place + turn) % 3 for name, place in zip(names, order, strict=True)}
        return np.array([third.get(name, -1) for name in self.labels.groups])

    def films_in(self, rows: np.ndarray) -> dict[str, LabelledFilm]:
        """The films that lie wholly among some pictures, with their frames' places among these."""
        place = {row: i for i, row in enumerate(rows.tolist())}
        return {
            name: replace(film, rows=np.array([place[row] for row in film.rows.tolist()]))
            for name, film in self.films.items()
            if all(row in place for row in film.rows.tolist())
        }

    def truth(self, rows: np.ndarray) -> np.ndarray:
        """1 applies, 0 does not, NaN may: float [rows, tags]."""
        applies, maybe = self.labels.applies[rows].astype(float), self.labels.maybe[rows]
        return np.where(maybe & (applies == 0), np.nan, applies)


@dataclass(frozen=True)
class Model:
    """A head with its thresholds, and how sure it is of a film's tags."""

    head: LinearHead
    thresholds: np.ndarray
    film: FilmConfidence | None


@dataclass(frozen=True)
class Judgement:
    """Of frames mean average precision; of films' short lists strict precision and recall."""

    mean_average_precision: float
    precision: float
    recall: float

    def __str__(self) -> str:
        return f"{self.mean_average_precision:.3f}, {self.precision:.3f}, {self.recall:.3f}"


def first_model(material: Material, rows: np.ndarray) -> Model:
    """What the recipe makes of some pictures."""
    labels, settings = material.labels.of(rows), material.settings
    folds = [folds_of(labels, settings.folds, settings.seed)]
    films = material.films_in(rows)
    made = fitting.learn(material.features[rows], labels, material.vocabulary, settings, films, folds)
    head = LinearHead(made.head.kernel, made.head.bias, (material.features.shape[1],))
    return Model(head, made.thresholds, made.confidence)


def listed(material: Material, model: Model, rows: np.ndarray, films: Mapping[str, LabelledFilm]) -> dict:
    """By film the tags of its short list."""
    places = np.concatenate([film.rows for film in films.values()])
    names = np.repeat(list(films), [len(film.rows) for film in films.values()])
    thresholds = dict(zip(material.vocabulary, model.thresholds.tolist(), strict=True))
    shown = model.head(material.features[rows])[places]
    sure = confidences(names, shown, material.vocabulary, thresholds, model.film)
    tags = np.array(material.vocabulary)
    return {name: frozenset(tags[of >= THRESHOLD].tolist()) for name, of in zip(sorted(films), sure, strict=True)}


def judge(material: Material, model: Model, rows: np.ndarray) -> Judgement:
    """A model on pictures that it did not learn from."""
    found, truth = model.head(material.features[rows]), material.truth(rows)
    films = {name: film for name, film in material.films_in(rows).items() if film.own_truth}
    said = agreement_with(listed(material, model, rows, films), {name: film.truth for name, film in films.items()})
    average = float(np.mean(list(precisions(found, truth).values())))
    return Judgement(average, float(said["strict"] or 0), float(said["recall"] or 0))


def precisions(probabilities: np.ndarray, labels: np.ndarray) -> dict[int, float]:
    """Average precision of each tag that has enough frames."""
    found = {}
    for tag in range(labels.shape[1]):
        known = np.isfinite(labels[:, tag])
        if (labels[known, tag] > 0).sum() >= LEAST:
            found[tag] = float(average_precision_score(labels[known, tag], probabilities[known, tag]))
    return found


def review(material: Material, model: Model, rows: np.ndarray, kind: str, frames: int) -> Examples:
    """What a reviewer says of films, and key frames of which nothing is said."""
    groups = material.labels.groups[rows].astype(str)
    order = np.random.default_rng(5).permutation(np.unique(groups))
    in_order = np.concatenate([np.flatnonzero(groups == name) for name in order])
    labels = np.full((len(rows), len(material.vocabulary)), np.nan)
    weights = np.zeros(labels.shape)
    if kind == FILMS:
        films = material.films_in(rows)
        for name, verdicts in said_of_films(material, model, rows, films):
            places = films[name].rows
            probable = model.head(material.features[rows[places]])
            times = list(map(float, range(len(places))))
            labels[places], weights[places] = labels_of(times, verdicts, material.vocabulary, probable)
            groups[places] = name
    else:
        spoken, truth = np.sort(in_order[:frames]), material.truth(rows)
        found = model.head(material.features[rows])
        first = found >= -np.sort(-found, 1)[:, TOP - 1 : TOP]
        looked = np.ones(truth.shape, bool) if kind == ALL else (found >= model.thresholds) & first | (truth == 1)
        labels[spoken] = np.where(looked, truth, np.nan)[spoken]
        weights = np.isfinite(labels).astype(float)
    silent = np.flatnonzero(~np.isfinite(labels).any(1))
    kept = np.random.default_rng(1).permutation(silent)[:DRAWN]
    chosen = np.sort(np.concatenate([np.flatnonzero(np.isfinite(labels).any(1)), kept]))
    return Examples(material.features[rows[chosen]], labels[chosen], weights[chosen], groups[chosen])


def said_of_films(
    material: Material, model: Model, rows: np.ndarray, films: Mapping[str, LabelledFilm]
) -> Iterator[tuple[str, dict]]:
    """By film what a reviewer says of it as a whole: of what may apply nothing."""
    for name, tags in listed(material, model, rows, films).items():
        truth = films[name].truth
        right = {tag for tag in truth.plain if tag in material.vocabulary}
        said = {**dict.fromkeys(right, APPLIES), **dict.fromkeys(tags - right - truth.may, REJECTED)}
        yield name, {(tag, Place()): Correction(name, tag, verdict) for tag, verdict in sorted(said.items())}


def taught(material: Material, pool: np.ndarray, rows: np.ndarray, frames: int) -> list[tuple[float, float]]:
    """By tag, average precision of a tag that was taught with so many frames of a pool, and with all of it."""
    random, truth, known = np.random.default_rng(frames), material.truth(rows), material.truth(pool)
    features, films = material.features[pool], material.labels.groups[pool]
    width = features.shape[1]
    blank = LinearHead(np.zeros((width, 1), np.float32), np.full(1, NEW_BIAS, np.float32), (width,))
    pairs = []
    for tag in precisions(truth, truth):
        shown = np.flatnonzero(known[:, tag] == 1)
        if len(shown) < frames:
            continue
        marked = random.permutation(shown)[:frames]
        others = np.flatnonzero(~np.isin(films, films[marked]))  # weak negatives, whatever they show
        chosen = np.concatenate([marked, random.permutation(others)[: 200 * OF_FILM]])
        labels = (np.arange(len(chosen)) < frames).astype(float)[:, None]
        few = Examples(features[chosen], labels, np.where(labels > 0, 1, WEAK), films[chosen])
        whole = Examples(features, known[:, [tag]], np.ones((len(known), 1)), films)
        heads = [adapt(blank, examples, NEW_PENALTY) for examples in (few, whole)]
        few_, all_ = (precisions(head(material.features[rows]), truth[:, [tag]])[0] for head in heads)
        pairs.append((few_, all_))
    return pairs


def row(name: str, judged: Sequence[Judgement], more: str = "") -> str:
    """The means of judgements as a row of a table."""
    names = ("mean_average_precision", "precision", "recall")
    figures = " | ".join(f"{np.mean([getattr(one, name) for one in judged]):.3f}" for name in names)
    return f"| {name} | {figures} | {more} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MOVIE_TAGS_DATA", "../shared/data")))
    parser.add_argument("--work", type=Path, default=Path("build/default_model"), help="data set and features")
    parser.add_argument("--frames", type=int, default=1000, metavar="N", help="that are corrected [1000]")
    args = parser.parse_args()
    material = Material.read(args.data, args.work)
    before: list[Judgement] = []
    after: dict[str, list[tuple[Judgement, Learned, float]]] = {ALL: [], FRAMES: [], FILMS: []}
    pairs: dict[int, list[tuple[float, float]]] = {frames: [] for frames in TAUGHT}
    for turn in range(3):
        third = material.thirds(turn)
        of_model, second, last = (np.flatnonzero(of) for of in (third < 1, third == 1, third == 2))
        model = first_model(material, of_model)
        before.append(judge(material, model, last))
        for kind, found in after.items():
            examples = review(material, model, second, kind, args.frames)
            every = np.ones(len(examples.films), bool)
            said = Corrected(material.vocabulary, examples, {}, len(material.vocabulary), every)
            begun = time.process_time()
            learned = learn(model.head, model.thresholds.tolist(), model.film, said)
            took = time.process_time() - begun
            judged = judge(material, Model(learned.head, learned.thresholds, learned.confidence), last)
            found.append((judged, learned, took))
            verdict = ", ".join(learned.worse_at) or "nothing"
            print(f"turn {turn + 1}, {kind}: {before[-1]} -> {judged}; worse by its own verdict: {verdict}", flush=True)
        for frames, known in pairs.items():
            known += taught(material, second, last, frames)
    print("\n| reviewer | mAP | films' precision | recall | |\n|---|---|---|---|---|")
    print(row("none", before))
    for kind, found in after.items():
        refused = sum(learned.worse for _, learned, _ in found)
        seconds = np.mean([took for *_, took in found])
        print(row(kind, [judged for judged, *_ in found], f"{seconds:.0f} s of CPU, refused {refused} times of 3"))
    print()
    for frames, known in pairs.items():
        few, all_ = np.mean(known, 0)
        print(f"{len(known)} tags taught with {frames} frames: {few:.3f}, with all {all_:.3f}: {few / all_:.2f}")


if __name__ == "__main__":
    main()
