import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.records import KeyFrame, TagProbability
from movie_tags.transforms.frame_rule import FrameRule
from movie_tags.transforms.watched import to_watch, watch_thresholds

VOCABULARY = ("Animal", "Smoking", "Violence", "Weapon")


def test_thresholds_are_those_of_the_card_for_what_people_watch_out_for():
    cards = {"Animal": {"threshold": 0.1}, "Violence": {"threshold": 0.02, "recall": 0.9}, "Weapon": {}}
    assert watch_thresholds(cards) == {"Violence": 0.02} and watch_thresholds({}) == {}


@given(
    st.lists(st.integers(0, 100), min_size=4, max_size=4),
    st.dictionaries(st.sampled_from(VOCABULARY), st.integers(0, 100)),
    st.sets(st.sampled_from(VOCABULARY)),
)
def test_what_reaches_its_threshold_is_kept_once(percents, thresholds, said):
    top_k = tuple(TagProbability(tag, 0.5) for tag in said)
    limits = {tag: percent / 100 for tag, percent in thresholds.items()}
    found = to_watch(np.array(percents) * 10_000, VOCABULARY, limits, top_k)
    right = {
        tag: percent
        for tag, percent in zip(VOCABULARY, percents, strict=True)
        if tag in thresholds and percent >= thresholds[tag] and tag not in said
    }
    assert {one.tag: round(100 * one.probability) for one in found} == right
    assert [one.probability for one in found] == sorted((one.probability for one in found), reverse=True)


def test_a_key_frame_keeps_what_to_watch_out_for_beyond_its_top_tags():
    rule = FrameRule(VOCABULARY, dict.fromkeys(VOCABULARY, 0.5), 1, watch={"Violence": 0.02, "Weapon": 0.2})
    frame = rule.tagged(KeyFrame(1.0, 0.0, 2.0), np.array([0.9, 0.3, 0.02, 0.1])).frame
    assert frame.top_k == (TagProbability("Animal", 0.9),) and frame.watch == (TagProbability("Violence", 0.02),)
