"""The one rule of which tags a film has, against the rule as it is said in words, in Python and in SQL."""

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from movie_tags.records import PERSON, Film, TagStrength
from movie_tags.results.listing import levels, listed, millionths, tag_in_sql, threshold_of

NAMES = ("Action", "Beach/Sea", "Drama", "War")
shares = st.integers(0, 1000).map(lambda n: n / 1000)
tags = st.builds(
    TagStrength,
    st.just(""),
    relative_strength=shares,
    confidence=st.none() | shares,
    seconds=st.integers(0, 9).map(float),
    by=st.sampled_from(["model"] * 5 + [PERSON]),
)


@st.composite
def films(draw):
    """A film with any short list: what a run listed, by whatever options, and what a person says of it."""
    found = draw(st.dictionaries(st.sampled_from(NAMES), tags))
    named = [TagStrength(**{**vars(tag), "tag": name}) for name, tag in found.items()]
    said = draw(st.sets(st.sampled_from(NAMES)))
    return Film(id="a", tags=tuple(named), short_list=tuple(tag for tag in named if tag.tag in said))


def has(film, name, setting, threshold):
    """The rule in other words."""
    said = name in {tag.tag for tag in film.short_list}
    (tag,) = [tag for tag in film.tags if tag.tag == name] or [None]
    if tag is None:
        return False
    rating = tag.relative_strength if tag.confidence is None else tag.confidence
    if setting == threshold or tag.by == PERSON:
        return said
    return (said or rating >= setting) if setting < threshold else (said and rating >= setting)


@given(films(), shares, shares)
def test_a_film_has_its_short_list_at_the_threshold_more_below_and_less_above(film, setting, threshold):
    right = {name for name in NAMES if has(film, name, setting, threshold)}
    assert {tag.tag for tag in listed(film, setting, threshold)} == right
    assert {tag.tag for tag in listed(film, None, threshold)} == {tag.tag for tag in film.short_list}
    # What scripts of pages do, in whole numbers.
    assert {tag.tag for tag, level in levels(film, threshold) if millionths(level) >= millionths(setting)} == right


@settings(max_examples=50, deadline=None)
@given(films(), shares | st.none(), shares)
def test_the_rule_in_sql_is_the_rule(film, setting, threshold):
    kind = 'STRUCT(tag VARCHAR, relative_strength DOUBLE, confidence DOUBLE, "by" VARCHAR)'
    lists = {
        name: [
            {k: getattr(tag, k) for k in ("tag", "relative_strength", "confidence", "by")}
            for tag in getattr(film, name)
        ]
        for name in ("short_list", "tags")
    }
    asked = ", ".join(f"({tag_in_sql(repr(name), setting, threshold)}) IS NOT NULL" for name in NAMES)
    casts = ", ".join(f"CAST(? AS {kind}[]) AS {name}" for name in lists)
    (found,) = duckdb.execute(f"SELECT {asked} FROM (SELECT {casts})", list(lists.values())).fetchall()
    right = {tag.tag for tag in listed(film, setting, threshold)}
    assert {name for name, there in zip(NAMES, found, strict=True) if there} == right


def test_the_surest_come_first_and_then_the_longest_seen():
    sure = [
        TagStrength(name, confidence=c, seconds=s) for name, c, s in (("b", 0.9, 1.0), ("c", 0.5, 2.0), ("a", 0.5, 1.0))
    ]
    film = Film(id="x", tags=tuple(reversed(sure)), short_list=tuple(reversed(sure)))
    assert [tag.tag for tag in listed(film)] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("run", "threshold"),
    [
        (None, 0.25),
        ({}, 0.25),
        ({"method": {"min_confidence": 0.4, "min_relative_strength": 0.1}}, 0.4),
        ({"method": {"min_confidence": None, "min_relative_strength": 0.2}}, 0.2),
        ({"method": {"min_confidence": None}}, 0.1),
    ],
)
def test_a_run_lists_by_its_own_setting(run, threshold):
    assert threshold_of(run) == threshold
