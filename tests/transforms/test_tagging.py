from dataclasses import replace

import numpy as np

from movie_tags.models.ensemble import read_models
from movie_tags.records import BLACK, CARD, TITLE_CARD, KeyFrame, TagProbability
from movie_tags.transforms.frame_rule import FrameRule, believed, in_millionths, top_tags
from movie_tags.transforms.kinds import with_card
from movie_tags.transforms.tagging import BundleHandler


def tags(**probabilities):
    return tuple(TagProbability(tag, p) for tag, p in probabilities.items())


def test_top_tags_by_hand():
    found = top_tags(in_millionths([0.1, 0.4, 0.2, 0.3]), ["a", "b", "c", "d"], 3)
    assert found == tags(b=0.4, d=0.3, c=0.2)


def test_ties_keep_the_order_of_the_vocabulary():
    assert top_tags(in_millionths([0.25] * 4), list("dcba"), 2) == tags(d=0.25, c=0.25)


def test_more_tags_asked_than_known():
    assert len(top_tags(in_millionths([0.5, 0.5]), ["a", "b"], 5)) == 2


def test_batches_have_the_size_asked_for(small_bundle):
    assert BundleHandler(read_models(small_bundle), 7).batch_elements_kwargs() == {
        "min_batch_size": 7,
        "max_batch_size": 7,
    }


def test_what_reaches_its_threshold_is_believed():
    seen = tags(a=0.5, b=0.499999, c=0.00001)
    assert believed(seen, {"a": 0.5, "b": 0.5, "c": 0.00001}) == tags(a=0.5, c=0.00001)
    assert believed(seen, dict.fromkeys("abc", 0.0)) == seen
    assert believed(seen, dict.fromkeys("abc", 0.6)) == ()


def test_a_frame_is_a_title_card_from_its_models_threshold_on():
    assert [with_card("picture", p, 0.6) for p in (0.59, 0.6)] == ["picture", CARD]
    assert with_card("black", 0.9, 0.6) == "black"


RULE = FrameRule(("War", TITLE_CARD, "Food"), {"War": 0.5, TITLE_CARD: 0.6, "Food": 0.2}, 2)


def test_what_a_frames_probabilities_make_of_it():
    frame = KeyFrame(1, 0, 3)
    found = RULE.tagged(frame, np.array([0.4, 0.1, 0.3]))
    assert (found.frame.kind, found.frame.tags, found.frame.top_k) == (
        "picture",
        tags(Food=0.3),
        tags(War=0.4, Food=0.3),
    )
    assert found.millionths == (400_000, 300_000)
    card = RULE.tagged(frame, np.array([0.9, 0.7, 0.3])).frame
    assert (card.kind, card.tags, card.top_k) == (CARD, (), tags(War=0.9, Food=0.3))
    black = RULE.tagged(replace(frame, kind=BLACK), np.array([0.9, 0.1, 0.3])).frame
    assert (black.kind, black.tags) == (BLACK, ())
    paper = replace(RULE, min_probability=0.0).tagged(frame, np.array([0.9, 0.7, 0.3])).frame
    assert (paper.kind, paper.tags) == (CARD, tags(War=0.9, Food=0.3))  # as printed: every top tag of every key frame
