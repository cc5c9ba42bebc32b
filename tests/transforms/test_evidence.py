import math
from dataclasses import replace

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.records import BLACK, CARD, PICTURE, UNIT, KeyFrame, TagProbability
from movie_tags.transforms.evidence import BELIEVED, BEST, Evidence, FilmConfidence, FilmRule, believe
from movie_tags.transforms.frame_rule import TaggedFrame
from movie_tags.transforms.strength import strengths, totals_of

TAGS = ("War", "Food", "Drama")
FRAMES = st.lists(st.tuples(*[st.integers(0, UNIT)] * len(TAGS)), max_size=12)


def array(frames) -> np.ndarray:
    return np.array(frames, np.int64).reshape(-1, len(TAGS))


def same(one: Evidence, other: Evidence) -> bool:
    return (
        np.array_equal(one.best, other.best) and np.array_equal(one.total, other.total) and one.frames == other.frames
    )


@given(FRAMES, FRAMES, FRAMES, st.randoms())
def test_evidence_does_not_depend_on_how_a_film_was_cut(a, b, c, random):
    parts = [Evidence.of(array(part)) for part in (a, b, c)]
    shuffled = [*a, *b, *c]
    random.shuffle(shuffled)
    whole = Evidence.of(array(shuffled))
    assert same(parts[0] + parts[1] + parts[2], whole) and same(parts[2] + (parts[0] + parts[1]), whole)
    for tag in range(len(TAGS)):
        said = sorted((frame[tag] for frame in shuffled), reverse=True)
        best, mean = (values[tag] for values in whole.means())
        assert best == pytest.approx(sum(said[:BEST]) / max(1, len(said[:BEST])) / UNIT)
        assert mean == pytest.approx(sum(said) / max(1, len(said)) / UNIT)


def test_confidence_by_hand():
    said = {"intercept": -1, "weights": {"best": 2.0, "mean": 0.5}, "tags": {"War": 0.25}, "ceilings": {"Food": 0.25}}
    model = FilmConfidence.of_card({"film_confidence": said})
    odds = -1 + 2 * math.log(0.6 / 0.4) + 0.5 * math.log(0.2 / 0.8)
    row = Evidence.of(array([[600_000] * 3] * 3 + [[0] * 3] * 6)).statistics()[0]
    assert model.confidence("Drama", row) == pytest.approx(1 / (1 + math.exp(-odds)), abs=1e-6)
    assert model.confidence("War", row) == pytest.approx(1 / (1 + math.exp(-odds - 0.25)), abs=1e-6)
    assert model.confidence("Food", row) == 0.25  # it was never right more often than that
    assert FilmConfidence.of_card({"film_confidence": model.card()}) == model and FilmConfidence.of_card({}) is None


@given(FRAMES, st.lists(st.booleans(), min_size=len(TAGS), max_size=len(TAGS)))
def test_the_third_statistic_is_the_best_of_the_other_tags(frames, rivals):
    evidence = Evidence.of(array(frames))
    best, _ = evidence.means()
    odds = [math.log(p / (1 - p)) for p in np.clip(best, 1e-6, 1 - 1e-6)]
    for tag, row in enumerate(evidence.statistics(np.array(rivals))):
        others = [odds[other] for other in range(len(TAGS)) if rivals[other] and other != tag]
        assert row[0] == pytest.approx(odds[tag])
        assert row[2] == pytest.approx(max(others, default=math.log(1e-6 / (1 - 1e-6))))


def test_a_tag_that_stands_alone_does_not_vie_with_others():
    model = FilmConfidence(0.0, (1.0, 0.0, -1.0), alone=frozenset({"Food"}))
    for other in (-5.0, 0.0, 5.0):
        assert model.confidence("Food", (1.0, 0.0, other)) == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-6)
        assert model.confidence("War", (1.0, 0.0, other)) == pytest.approx(1 / (1 + math.exp(other - 1)), abs=1e-6)
    assert FilmConfidence.of_card({"film_confidence": model.card()}) == model


@given(FRAMES, st.integers(0, UNIT))
def test_confidence_in_others_stays_whatever_there_is_of_a_tag_that_stands_alone(frames, alone):
    """Teaching a tag of one's own leaves what the model says of films' other tags."""
    model = FilmConfidence(0.5, (1.0, 0.5, -1.0), {"War": 0.5})
    thresholds = dict.fromkeys(TAGS, 0.5)
    before = believe(Evidence.of(array(frames)[:, [0, 2]]), ("War", "Drama"), dict.fromkeys(TAGS, model), thresholds)
    taught = dict.fromkeys(TAGS, replace(model, alone=frozenset({"Food"})))
    millionths = array(frames)
    millionths[:, 1] = alone
    after = believe(Evidence.of(millionths), TAGS, taught, thresholds)
    assert {tag: after.confidence[tag] for tag in ("War", "Drama")} == before.confidence


MODEL = FilmConfidence(-1.0, (1.0, 0.5, 0.0), {"War": 0.5})


@given(FRAMES, st.floats(0, 1), st.floats(0, 1))
def test_what_counts_is_what_the_film_is_believed_to_have_and_some_frame_carries_it(frames, least, threshold):
    models = {"War": MODEL, "Food": MODEL}
    found = believe(Evidence.of(array(frames)), TAGS, models, dict.fromkeys(TAGS, threshold), least)
    assert set(found.confidence) == set(models)  # of the third tag nobody says how sure to be
    believed = {tag for tag, sure in found.confidence.items() if sure >= least}
    assert set(found.carried_from) == (believed if frames else set())
    for tag, needed in found.carried_from.items():
        said = [frame[TAGS.index(tag)] for frame in frames]
        assert max(said) >= needed
        assert all(p >= needed for p in said if p >= threshold * UNIT)  # never above the tag's own threshold


def test_where_the_film_is_sure_a_frame_carries_a_tag_below_its_threshold():
    frames = array([[900_000, 900_000, 0]] * 3 + [[460_000, 440_000, 0], [10_000, 500_000, 0]])
    found = believe(Evidence.of(frames), TAGS, dict.fromkeys(TAGS, MODEL), dict.fromkeys(TAGS, 0.6))
    assert found.carried_from == {"War": 450_000, "Food": 450_000}


def tagged(time: int, millionths, kind: str = PICTURE) -> TaggedFrame:
    top = sorted(zip(TAGS, millionths, strict=True), key=lambda pair: -pair[1])[:2]
    tags = tuple(TagProbability.of_millionths(*pair) for pair in top if pair[1] >= 300_000)
    return TaggedFrame(KeyFrame(time, time, time + 1, tags=tags, kind=kind), tuple(millionths))


KINDS = st.lists(st.tuples(st.tuples(*[st.integers(0, UNIT)] * 3), st.sampled_from([PICTURE, CARD, BLACK])), max_size=9)


@given(KINDS, st.randoms(use_true_random=False))
def test_tags_and_strengths_of_a_film_follow_from_its_key_frames(rows, shuffler):
    frames = [tagged(time, *row) for time, row in enumerate(rows)]
    rule = FilmRule(TAGS, dict.fromkeys(TAGS, 0.3), dict.fromkeys(("War", "Food"), MODEL))
    found, confidence = rule.judge(frames)
    shown = [frame for frame in frames if frame.frame.kind == PICTURE]
    alone, of_pictures = rule.judge(shown)
    assert confidence == of_pictures  # cards and black frames speak neither for nor against a tag
    assert [frame.tags for frame in found if frame.kind == PICTURE] == [frame.tags for frame in alone]
    counted = {one.tag for frame in alone for one in frame.tags} - {"Drama"}
    assert counted == {tag for tag in confidence if shown and confidence[tag] >= BELIEVED}
    assert all(frame.tags == one.frame.tags for frame, one in zip(found, frames, strict=True) if frame.kind != PICTURE)
    if any(frame.tags for frame in alone):
        expected = reference.strengths([[tuple(one) for one in frame.tags] for frame in alone])
        for tag in strengths(totals_of(alone)):
            n, weight, relative = expected[tag.tag]
            assert (tag.occurrences, tag.strength) == (n, pytest.approx(weight))
            assert tag.relative_strength == pytest.approx(relative, abs=1e-6)
    shuffled = list(frames)
    shuffler.shuffle(shuffled)
    again, same_confidence = rule.judge(shuffled)
    assert sorted(again, key=lambda frame: frame.time_s) == found and same_confidence == confidence


def test_of_a_tag_without_a_film_model_its_frames_decide_and_by_frame_they_decide_of_all():
    frames = [tagged(0, (900_000, 400_000, 500_000)), tagged(1, (800_000, 10_000, 20_000), BLACK)]
    rule = FilmRule(TAGS, dict.fromkeys(TAGS, 0.3), {"War": FilmConfidence(-20.0, (1.0, 1.0, 0.0))})
    found, confidence = rule.judge(frames)
    assert [one.tag for one in found[0].tags] == ["Drama"] and confidence["War"] < 0.001
    by_frame = FilmRule(TAGS, rule.thresholds, rule.models, by_frame=True)
    found, confidence = by_frame.judge(frames)
    assert found == [one.frame for one in frames] and set(confidence) == {"War"}
    assert FilmRule(TAGS, rule.thresholds, {}).judge(frames) == ([one.frame for one in frames], {})
