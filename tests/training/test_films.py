import json
import math

import numpy as np
import pytest
from films import SHARED, needs_footage
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.pipeline.commands import main
from movie_tags.training.evaluate.experiments import TableError
from movie_tags.training.evaluate.films import (
    Truth,
    agreement_with,
    best_precision,
    confidence_by_others,
    evidence_of,
    film_tags,
    film_truth,
    fit_film_confidence,
    judge_films,
    judge_frames,
    match_films,
    read_truth,
    reliability,
    strengths_that_differ,
    with_ceilings,
)
from movie_tags.transforms.evidence import FilmConfidence, FilmRule

TAGS = ("War", "Food", "Drama")
SETS = st.frozensets(st.sampled_from(TAGS))


def test_the_tables_of_truth(tmp_path):
    table = tmp_path / "FILES.tsv"
    table.write_text(
        'file\tcontent\ttags_that_plainly_apply\ttags_that_may_apply\na.mp4\t"x\tWar; Food\tDrama\nb.mp4\ty\t\t\n'
    )
    assert read_truth(str(table)) == {
        "a.mp4": Truth(frozenset({"War", "Food"}), frozenset({"Drama"})),
        "b.mp4": Truth(frozenset()),
    }
    table.write_text("file\tcontent\na\tb\n")
    with pytest.raises(TableError, match="no column 'tags_that_plainly_apply'"):
        read_truth(str(table))


@needs_footage
def test_the_shared_tables_of_truth():
    trailers, videos = (read_truth(str(SHARED / f"videos/{name}FILES.tsv")) for name in ("trailers/", ""))
    assert len(trailers) == 34 and all(truth.may for truth in list(trailers.values())[:3])
    assert "Sword fight" in videos["films/sintel_trailer_480p.mp4"].plain


def test_films_are_matched_by_the_ends_of_their_addresses():
    addresses = ["gs://b/x/a.mp4", "/y/clips/a.mp4", "c.mp4"]
    assert match_films(["clips/a.mp4", "c.mp4", "none.mp4"], addresses) == {
        "clips/a.mp4": "/y/clips/a.mp4",
        "c.mp4": "c.mp4",
    }
    with pytest.raises(TableError, match="the name of 2 films"):
        match_films(["a.mp4"], addresses)


@given(st.lists(st.tuples(SETS, SETS, SETS), min_size=1, max_size=6))
def test_agreement_against_its_definition(rows):
    kept = {str(i): tags for i, (tags, _, _) in enumerate(rows)}
    truth = {str(i): Truth(plain, may - plain) for i, (_, plain, may) in enumerate(rows)}
    found = agreement_with(kept, truth)
    pairs = [(film, tag) for film, tags in kept.items() for tag in tags]
    right = sum(tag in truth[film].plain for film, tag in pairs)
    may = sum(tag in truth[film].may for film, tag in pairs)
    plain = sum(len(t.plain) for t in truth.values())
    assert found["strict"] == (right / len(pairs) if pairs else None)
    assert found["lenient"] == ((right + may) / len(pairs) if pairs else None)
    assert found["recall"] == (right / plain if plain else None)
    judged = judge_films(kept, truth, draws=20)
    assert sum(row["kept"] for row in judged["per_tag"].values()) == len(pairs)
    for name, (low, high) in judged["interval_90"].items():
        assert 0 <= low <= high <= 1 and name in ("strict", "lenient", "recall")


@given(st.integers(1, 60), st.integers(0, 60))
def test_a_tags_interval_is_where_its_share_may_lie(number, right):
    right = min(right, number)
    kept = {str(film): frozenset({"War"}) for film in range(number)}
    truth = {film: Truth(frozenset({"War"} if int(film) < right else set())) for film in kept}
    low, high = judge_films(kept, truth, draws=1)["per_tag"]["War"]["interval"]
    # At either end, which is rounded, what was found or more extreme has a probability of one in twenty.
    edge = 0.0005
    if right:
        assert at_least(right, number, low - edge) <= 0.05 <= at_least(right, number, low + edge)
    if right < number:
        assert at_least(number - right, number, 1 - high - edge) <= 0.05
        assert at_least(number - right, number, 1 - high + edge) >= 0.05
    assert low <= right / number <= high


def at_least(k, n, p):
    """How probable k or more of n are."""
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


def test_frames_are_judged_without_their_maybes():
    applies = np.array([[1, 0], [0, 0], [0, 1]])
    probabilities = np.array([[0.5, 0.1], [0.9, 0.2], [0.1, 0.3]])
    maybe = np.array([[False, False], [True, False], [False, False]])
    found = judge_frames(probabilities, applies, maybe, ("War", "Food"), least=1)
    assert found["per_tag"]["War"]["average_precision"] == 1 == found["mean_average_precision"]
    assert judge_frames(probabilities, applies, maybe & False, ("War", "Food"), 1)["per_tag"]["War"] == {
        "frames": 1,
        "average_precision": 0.5,
    }
    assert sum(row["number"] for row in found["reliability"]) == 5


def test_reliability_of_what_is_as_said():
    random = np.random.default_rng(0)
    said = random.random(20_000)
    for row in reliability(said, random.random(20_000) < said):
        assert row["right"] == pytest.approx(row["said"], abs=0.05)


def test_the_truth_of_a_film_from_its_frames():
    applies = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 0]] + [[0, 0, 0]] * 7)
    maybe = np.zeros((10, 3), bool)
    maybe[4, 1] = True
    assert film_truth(applies, maybe, TAGS) == Truth(frozenset({"War"}), frozenset({"Food", "Drama"}))


RULE = FilmRule(TAGS, dict.fromkeys(TAGS, 0.2), {})


def test_without_a_film_model_a_films_tags_are_what_passes_its_threshold_and_the_top():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.5, 0.05, 0.4]])
    found = {tag.tag: (tag.occurrences, tag.probability_sum) for tag in film_tags(probabilities, RULE, 2)}
    assert found == {"War": (2, 1.1), "Food": (1, 0.3), "Drama": (1, 0.4)}


def test_with_a_film_model_a_films_tags_are_those_it_is_believed_to_have():
    probabilities = np.array([[0.1, 0.3, 0.4], [0.1, 0.02, 0.4], [0.1, 0.01, 0.01]])
    model = FilmConfidence(2.0, (1.0, 0.5, 0.0), {"Drama": -9.0})
    (war, food) = film_tags(probabilities, FilmRule(TAGS, dict.fromkeys(TAGS, 0.2), dict.fromkeys(TAGS, model)))
    assert (war.tag, war.occurrences) == ("War", 3) and (food.tag, food.occurrences) == ("Food", 1)
    odds = 2 + 1.5 * np.log(0.1 / 0.9)
    assert war.confidence == pytest.approx(1 / (1 + np.exp(-odds)), abs=1e-6)
    by_frame = FilmRule(TAGS, dict.fromkeys(TAGS, 0.35), dict.fromkeys(TAGS, model), by_frame=True)
    assert [tag.tag for tag in film_tags(probabilities, by_frame)] == ["Drama"]


def some_films(n: int, seed: int = 0, frames: int = 9):
    """Films whose frames show tags that are given to them with the probability that all frames say."""
    random = np.random.default_rng(seed)
    films, truth = {}, {}
    for film in map(str, range(n)):
        said = random.uniform(0.02, 0.95, len(TAGS))
        films[film] = evidence_of(np.tile(said, (frames, 1)))
        truth[film] = Truth(frozenset(tag for tag, p in zip(TAGS, said, strict=True) if random.random() < p))
    return films, truth


def test_confidence_is_learned_and_is_how_often_a_person_gives_the_tag():
    films, truth = some_films(600)
    model = fit_film_confidence(films, truth, TAGS)
    for said in (0.2, 0.5, 0.8):
        row = evidence_of(np.full((9, 3), said)).statistics()[0]
        assert model.confidence("War", row) == pytest.approx(said, abs=0.1)
    assert fit_film_confidence(dict(list(films.items())[:5]), truth, TAGS) is None


def test_a_tag_that_is_often_said_and_seldom_meant_is_believed_less():
    films, truth = some_films(400, 1)
    never = {film: Truth(said.plain - {"Food"}) for film, said in truth.items()}
    row = evidence_of(np.full((9, 3), 0.8)).statistics()[0]
    before, now = (fit_film_confidence(films, said, TAGS).confidence("Food", row) for said in (truth, never))
    assert before > 0.65 and now < 0.35


def test_no_film_is_judged_by_a_confidence_that_saw_it():
    films, truth = some_films(90, 2)
    fold = {film: int(film) % 3 for film in films}
    found = confidence_by_others(films, truth, fold, TAGS)
    others = fit_film_confidence({film: one for film, one in films.items() if fold[film] != 1}, truth, TAGS)
    assert set(found) == {0, 1, 2} and found[1] == others != found[0]


def test_the_best_precision_by_hand():
    right = np.array([True, True, False, False])
    assert best_precision(np.array([0.9, 0.8, 0.7, 0.6]), right) == pytest.approx(2.8 / 4)
    assert best_precision(np.array([0.1, 0.2, 0.7, 0.9]), right) == pytest.approx(2.8 / 6)  # of all four two are right
    assert best_precision(np.array([0.9, 0.7, 0.2]), np.zeros(3, bool)) < 0.4  # nothing was ever right
    assert best_precision(np.zeros(0), np.zeros(0, bool)) == pytest.approx(0.4)  # nothing is known


def test_a_tag_that_is_never_right_has_a_ceiling():
    films, truth = some_films(60, 3)
    truth = {film: Truth(said.plain - {"Food"}) for film, said in truth.items()}
    model = FilmConfidence(0.0, (1.0, 0.0, 0.0), dict.fromkeys(TAGS, 0.0))
    said = {
        film: {tag: model.confidence(tag, row) for tag, row in zip(TAGS, one.statistics(), strict=True)}
        for film, one in films.items()
    }
    found = with_ceilings(model, said, truth)
    assert set(found.ceilings) == {"Food"} and found.confidence("Food", (9.0, 9.0, 0.0)) < 0.4
    assert found.confidence("War", (9.0, 9.0, 0.0)) > 0.9


def results(folder, strength: float = 0.3):
    """A folder of results of one film, with one tag on two of its three key frames."""
    key_frames = [
        {"id": "f", "time_s": t, "shot_start_s": t, "shot_end_s": t + 1, "entropy": 5.0, "tags": top, "top_k": top}
        for t, top in enumerate(
            (
                [{"tag": "War", "probability": 0.4}],
                [],
                [{"tag": "War", "probability": 0.2}, {"tag": "Food", "probability": 0.3}],
            )
        )
    ]
    tags = [
        {"tag": "War", "strength": 2 / 3 * 0.6, "relative_strength": 1.0, "confidence": 0.8},
        {"tag": "Food", "strength": 1 / 3 * strength, "relative_strength": 0.0, "confidence": 0.1},
    ]
    row = {"id": "f", "uri": "/v/trailers/f.mp4", "short_list": tags[:1], "tags": tags}
    folder.mkdir()
    (folder / "tags.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "key_frames.jsonl").write_text("".join(json.dumps(row) + "\n" for row in key_frames))
    return row, key_frames


def test_strengths_follow_from_the_key_frames_or_are_named(tmp_path, capsys):
    row, key_frames = results(tmp_path / "good")
    assert strengths_that_differ([row], key_frames) == []
    assert strengths_that_differ([row], key_frames[:2]) == ["f"]
    assert main(["evaluate", "strengths", "--results", str(tmp_path / "good")]) == 0
    results(tmp_path / "bad", 0.31)
    assert main(["evaluate", "strengths", "--results", str(tmp_path / "bad")]) == 1
    assert json.loads(capsys.readouterr().out.partition("}\n")[2])["differ"] == ["f"]


def test_evaluate_films(tmp_path, capsys):
    results(tmp_path / "r")
    table = tmp_path / "FILES.tsv"
    table.write_text("file\ttags_that_plainly_apply\ttags_that_may_apply\nf.mp4\tWar;Sea\t\ng.mp4\tFood\t\n")
    words = ["evaluate", "films", "--truth", str(table), "--results", str(tmp_path / "r")]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["strict"], found["recall"], found["films"]) == (1.0, 0.5, 1)
    assert found["not_in_the_results"] == ["g.mp4"]
    assert [(row["said"], row["right"]) for row in found["confidence"]] == [(0.1, 0.0), (0.8, 1.0)]
    assert main([*words, "--min-confidence", "0.9"]) == 0
    assert json.loads(capsys.readouterr().out)["without_a_tag"] == 1
    table.write_text("file\ttags_that_plainly_apply\nother.mp4\tWar\n")
    assert main(words) == 2 and "has none of the films" in capsys.readouterr().err
