"""A model that learns from a simulated reviewer of real films is not worse at other films (benchmarks/learn.py, small).

Its features are those of the default model, whose backbone learned from none of these films; its head is learned here.
"""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.learn import ALL, FILMS, Material, Model, first_model, judge, review
from movie_tags.models import DEFAULT, resolve
from movie_tags.models.bundle import read_bundle
from movie_tags.models.heads import read_head
from movie_tags.models.loading import load_model
from movie_tags.training.corrected import Corrected
from movie_tags.training.data.frames import decode_picture
from movie_tags.training.heads.fitting import films_of_frames
from movie_tags.training.heads.multilabel import Labels, MultiLabelSettings
from movie_tags.training.learning import learn

DATA = Path(os.environ.get("MOVIE_TAGS_DATA", Path(__file__).parents[3] / "shared/data")) / "frames"
pytestmark = pytest.mark.skipif(not (DATA / "LABELS.jsonl").exists(), reason="no labelled frames")
NUMBER, LEAST = 900, 15
"""Frames, and those that a tag has at least."""
OFF, TAUGHT = 0.03, 0.01
"""What means of three turns over some hundred tags of films may waver by; what a few labels teach at least."""


@pytest.fixture(scope="module")
def material():
    """Frames of whole films, drawn, with the tags that enough of them have."""
    lines = map(json.loads, (DATA / "LABELS.jsonl").read_text("utf-8").splitlines())
    by_film = {}
    for row in lines:
        if not row.get("ai") and not row.get("card"):
            by_film.setdefault(row["film"], []).append(row)
    films = sorted(film for film, rows in by_film.items() if len(rows) >= 5)
    rows = [row for film in np.random.default_rng(0).permutation(films) for row in by_film[film][:12]][:NUMBER]
    bundle = read_bundle(resolve(DEFAULT))
    model, head = load_model(bundle), read_head(bundle)
    pictures = (bundle.fitted(decode_picture((DATA / row["file"]).read_bytes())) for row in rows)
    features = head.scaled(np.concatenate([model.describe(picture[None]).features for picture in pictures]))
    vocabulary = tuple(tag for tag in bundle.vocabulary if sum(tag in row["tags"] for row in rows) >= LEAST)
    applies, maybe = (
        np.array([[tag in row[kind] for tag in vocabulary] for row in rows]) for kind in ("tags", "maybe")
    )
    every, groups = np.ones(len(rows), bool), np.array([row["film"] for row in rows])
    weights = np.ones(applies.shape, np.float32)
    labels = Labels(applies.astype(np.float32), weights, maybe & ~applies, every, groups)
    judged = {name: replace(film, own_truth=True) for name, film in films_of_frames(labels, vocabulary).items()}
    return Material(features.astype(np.float32), labels, judged, vocabulary, MultiLabelSettings())


def test_a_model_that_learns_is_not_worse_at_films_that_nobody_saw(material):
    found = {kind: [] for kind in ("before", ALL, FILMS)}
    for turn in range(3):
        third = material.thirds(turn)
        first, second, last = (np.flatnonzero(third == part) for part in range(3))
        model = first_model(material, first)
        found["before"].append(judge(material, model, last))
        for kind in (ALL, FILMS):
            examples = review(material, model, second, kind, 200)
            everything = np.ones(len(examples.films), bool)
            said = Corrected(material.vocabulary, examples, {}, len(material.vocabulary), everything)
            learned = learn(model.head, model.thresholds.tolist(), model.film, said)
            found[kind].append(judge(material, Model(learned.head, learned.thresholds, learned.confidence), last))
    names = ("mean_average_precision", "precision", "recall")
    means = {
        kind: [np.mean([getattr(one, name) for one in judged]) for name in names] for kind, judged in found.items()
    }
    for kind in (ALL, FILMS):
        assert np.min(np.subtract(means[kind], means["before"])) > -OFF, means
    assert means[ALL][0] > means["before"][0] + TAUGHT, means  # all labels of 200 key frames teach something
