import random
from dataclasses import replace

import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.records import UNIT, KeyFrame, TagProbability
from movie_tags.transforms.strength import Total, short_list, strengths, totals_of


def key_frame(*top):
    top = tuple(TagProbability(tag, p) for tag, p in top)
    return KeyFrame(0, 0, 1, 9.0, top, top)


def combine(key_frames, parts=1):
    totals = [totals_of(key_frames[i::parts]) for i in range(parts)]
    tags = {tag for total in totals for tag in total}
    return strengths({tag: sum((total.get(tag, Total()) for total in totals), Total()) for tag in sorted(tags)})


def test_equations_5_and_6_by_hand():
    found = combine(
        [
            key_frame(("War", 0.5), ("Food", 0.3), ("Music", 0.1)),
            key_frame(("War", 0.7), ("Music", 0.2), ("Dance", 0.05)),
        ]
    )
    # N = 6; W(War) = 2/6 * 1.2 = 0.4; W(Music) = 2/6 * 0.3 = 0.1; W(Food) = 1/6 * 0.3 = 0.05; W(Dance) = 0.05/6
    by_tag = {tag.tag: tag for tag in found}
    assert [tag.tag for tag in found] == ["War", "Music", "Food", "Dance"]
    assert by_tag["War"].strength == pytest.approx(0.4)
    assert by_tag["Music"].strength == pytest.approx(0.1)
    assert by_tag["Music"].probability_sum == pytest.approx(0.3)
    assert by_tag["Music"].occurrences == 2
    low = 0.05 / 6
    assert by_tag["Food"].relative_strength == pytest.approx((0.05 - low) / (0.4 - low))
    assert (by_tag["War"].relative_strength, by_tag["Dance"].relative_strength) == (1, 0)
    assert [tag.tag for tag in short_list(found, 0.2)] == ["War", "Music"]


def test_equal_strengths_are_all_strongest():
    found = combine([key_frame(("War", 0.25), ("Food", 0.25))])
    assert [tag.relative_strength for tag in found] == [1, 1]


def test_the_short_list_goes_by_confidence_where_there_is_one():
    found = combine([key_frame(("War", 0.9), ("Food", 0.8)), key_frame(("War", 0.9), ("Music", 0.3))])
    assert [(tag.tag, round(tag.relative_strength, 2)) for tag in found] == [
        ("War", 1.0),
        ("Food", 0.15),
        ("Music", 0.0),
    ]
    sure = {"War": 0.2, "Food": 0.7, "Music": 0.3}
    known = [replace(tag, confidence=sure[tag.tag]) for tag in found]

    def kept(tags, *limits):
        return [tag.tag for tag in short_list(tags, *limits)]

    assert kept(known, None, 0.25) == ["Food", "Music"]  # the weakest stays, the strongest goes
    assert kept(known, 0.1, 0.25) == ["Food"]  # a relative strength that was asked for counts as well
    assert kept(known, None, None) == kept(known, 0.1, None) == ["War", "Food"]
    assert kept(found, None, 0.25) == ["War", "Food"]  # nothing is known of how sure the model is


def test_nothing_extracted_is_no_tags():
    assert strengths({}) == ()


tops = st.dictionaries(st.sampled_from("ABCDE"), st.integers(0, UNIT), min_size=1, max_size=3)


@given(st.lists(tops, min_size=1, max_size=20), st.integers(1, 5), st.randoms(use_true_random=False))
def test_any_order_of_merging_gives_the_same(rows, parts, shuffler: random.Random):
    items = [KeyFrame(0, 0, 1, 9.0, tuple(TagProbability.of_millionths(*one) for one in row.items())) for row in rows]
    once = combine(items)
    shuffler.shuffle(items)
    assert combine(items, parts) == once
    expected = reference.strengths([[(tag, p / UNIT) for tag, p in row.items()] for row in rows])
    assert {tag.tag for tag in once} == set(expected)
    for tag in once:
        n, weight, relative = expected[tag.tag]
        assert tag.occurrences == n
        assert tag.strength == pytest.approx(weight)
        assert tag.relative_strength == pytest.approx(relative, abs=1e-6)
