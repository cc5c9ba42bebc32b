"""Whether learning made films' tags worse: known answers, and what noise must not do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_score, recall_score

from movie_tags.records import TITLE_CARD, KeyFrame
from movie_tags.results.listing import THRESHOLD
from movie_tags.training.heads.adapt import Examples, TagChange
from movie_tags.training.never_worse import LEAST_FILMS, JudgedFilms, confidences, order_is_worse, said_of_films
from movie_tags.transforms.evidence import FilmConfidence, FilmRule
from movie_tags.transforms.frame_rule import FrameRule
from movie_tags.transforms.strength import short_list, strengths, totals_of, with_confidence

SAID = st.sampled_from([1.0, 0.0, np.nan])
ROW = st.tuples(SAID, st.booleans(), st.booleans())


def judged_of(examples, tags, *sure):
    """What people say of films, and what is on their short lists."""
    return JudgedFilms(*said_of_films(examples, tags), *(part >= THRESHOLD for part in sure))


def of(labels, before, after):
    labels = np.asarray(labels, float)
    return JudgedFilms(labels == 1, labels == 0, np.asarray(before, bool), np.asarray(after, bool))


@given(st.lists(st.lists(ROW, min_size=2, max_size=2), min_size=1, max_size=8))
def test_precision_and_recall_are_those_of_what_is_known(rows):
    """Against scikit-learn's, over the pairs of film and tag of which people have spoken."""
    labels, before, after = (np.array([[one[i] for one in row] for row in rows]) for i in range(3))
    judged = of(labels, before, after)
    known = np.isfinite(labels)
    truth = labels[known] == 1
    if truth.any():
        expected = [recall_score(truth, listed[known]) for listed in (before, after)]
        assert judged.recall == pytest.approx(expected)
    else:
        assert judged.recall is None
    if (before & known).any() and (after & known).any():
        expected = [precision_score(truth, listed[known]) for listed in (before, after)]
        assert judged.precision == pytest.approx(expected)
    else:
        assert judged.precision is None
    assert not of(labels, before, before).worse
    assert not (set(judged.worse) & set(of(labels, after, before).worse))  # never worse both ways
    for tag in range(2):
        counts = judged.of_tag(tag)
        assert counts["right"][1] + counts["missed"][1] == (labels[:, tag] == 1).sum()


def test_a_loss_on_all_films_is_worse_and_one_that_another_draw_would_turn_is_not():
    films = 40
    labels = np.ones((films, 1))
    all_, none = np.ones((films, 1)), np.zeros((films, 1))
    assert of(labels, all_, none).worse == ("recall",)
    assert of(labels, none, all_).worse == ()
    wrong = np.concatenate([labels, np.zeros((films, 1))], 1)
    listed = np.concatenate([all_, all_], 1)
    assert of(wrong, np.concatenate([all_, none], 1), listed).worse == ("precision",)
    before, after = all_.copy(), all_.copy()
    before[:3], after[3:7] = 0, 0  # three films more, four fewer
    assert of(labels, before, after).recall == (37 / 40, 36 / 40) and of(labels, before, after).worse == ()
    few = LEAST_FILMS - 1
    assert of(labels[:few], all_[:few], none[:few]).worse == ()


def test_who_only_judges_what_is_listed_does_not_make_any_other_list_recall_less():
    """Of 40 films listed, people confirm 30 and reject 10; the new list has as many, 20 of them others, not judged."""
    films = 60
    labels = np.full((films, 1), np.nan)
    labels[:30], labels[30:40] = 1, 0
    before, after = np.arange(films) < 40, (np.arange(films) >= 5) & (np.arange(films) < 30)
    after[45:60] = True
    judged = of(labels, before[:, None], after[:, None])
    assert judged.recall == (1, 25 / 30) and judged.worse == ()
    others = np.arange(films) >= 45  # none that was judged
    assert of(labels[:, :1], before[:, None], others[:, None]).worse == ("recall",)
    after[45:60] = False  # now there are simply fewer, some right ones among them
    after[15:30] = False
    assert of(labels, before[:, None], after[:, None]).worse == ("recall",)


def test_the_order_is_worse_where_most_tags_and_folds_say_so():
    lost = [TagChange(tag, (9, 9), ((5, 0.9, 0.8), (4, 0.7, 0.65))) for tag in range(4)]
    gained = [TagChange(tag, (9, 9), ((5, 0.8, 0.9), (4, 0.65, 0.7))) for tag in range(4)]
    assert order_is_worse(lost) and not order_is_worse(gained) and not order_is_worse([])
    assert not order_is_worse([*lost, *gained[1:]])  # on the whole a little lower, which is chance
    assert not order_is_worse(lost[:1])  # two folds say nothing


def test_films_have_tags_by_confidence_or_by_their_key_frames():
    films = np.repeat(["a", "b", "c"], 3)
    labels = np.full((9, 2), np.nan)
    labels[0, 0], labels[1, 0], labels[3, 0], labels[4, 1] = 1, 0, 0, 1
    examples = Examples(np.zeros((9, 1), np.float32), labels, np.ones((9, 2)), films)
    before = np.full((9, 2), 0.01)
    before[[0, 3], 0] = 0.9
    after = np.full((9, 2), 0.01)
    after[0, 0] = after[4, 1] = 0.9
    tags, thresholds = ("War", "Food"), {"War": 0.5, "Food": 0.95}
    judged = judged_of(examples, tags, *(confidences(films, p, tags, thresholds, None) for p in (before, after)))
    assert judged.applies.tolist() == [[True, False], [False, True], [False, False]]
    assert judged.rejected.tolist() == [[False, False], [True, False], [False, False]]
    assert judged.before.tolist() == [[True, False], [True, False], [False, False]]
    assert judged.after.tolist() == [[True, False], [False, False], [False, False]]
    assert judged.precision == (0.5, 1.0) and judged.recall == (0.5, 0.5)
    assert judged.of_tag(0) == {"right": (1, 1), "wrong": (1, 0), "missed": (0, 0)}
    by_confidence = FilmConfidence(0.0, (1.0, 0.0, 0.0), {"Food": 5.0})
    sure = (confidences(films, p, tags, thresholds, by_confidence) for p in (before, after))
    judged = judged_of(examples, tags, *sure)
    assert judged.after.tolist() == [[True, True], [False, True], [False, True]]


@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=6))
def test_films_list_what_they_list_when_they_are_tagged(rows):
    """Title cards among their key frames, too, are no evidence, and no tag."""
    outputs, tags, probabilities = ("War", TITLE_CARD, "Food"), ("War", "Food"), np.array(rows)
    thresholds, model = dict.fromkeys(outputs, 0.6), FilmConfidence(-0.5, (0.7, 0.3, -0.4), {"Food": 0.8})
    labels = np.ones(probabilities.shape)
    examples = Examples(np.zeros((len(rows), 1), np.float32), labels, np.ones(labels.shape), np.zeros(len(rows)))
    sure = confidences(examples.films, probabilities, outputs, thresholds, model)
    judged = judged_of(examples, outputs, sure, sure)
    by_frame = FrameRule(outputs, thresholds, 3)
    frames = [by_frame.tagged(KeyFrame(0, 0, 1), row) for row in probabilities]
    key_frames, sure = FilmRule(tags, thresholds, dict.fromkeys(tags, model)).judge(frames)
    listed = short_list(with_confidence(strengths(totals_of(key_frames)), sure), None, THRESHOLD)
    assert {tag for tag, on in zip(outputs, judged.before[0], strict=True) if on} == {one.tag for one in listed}
    assert judged.applies.tolist() == [[True, False, True]]
