import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from movie_tags.records import TITLE_CARD
from movie_tags.results.synonyms import LANGUAGES, fold, listed, named, spoken, synonyms, words_of

OURS = (Path(__file__).parents[2] / "models" / "default" / "vocabulary.txt").read_text().splitlines()
VOCABULARY = tuple(listed("en"))


@pytest.mark.parametrize(
    ("term", "tags"),
    [
        ("gun", {"Weapon"}),
        ("Guns", {"Weapon"}),
        ("boat", {"Beach/Sea"}),
        ("car chase", {"Car chase"}),
        ("cops", {"Police"}),
        ("kids", {"Children"}),
        ("seaside", {"Beach/Sea"}),
        ("fight", {"Sword fight", "Violence"}),
        ("Strand", {"Beach/Sea"}),
        ("Mädchen", {"Children"}),
        ("madchen", {"Children"}),
        ("épée", {"Sword fight"}),
        ("combat à l'épée", {"Sword fight"}),
        ("niños", {"Children"}),
        ("बंदूक", {"Weapon"}),
        ("समुद्र तट", {"Beach/Sea"}),
        ("shaadi", {"Wedding"}),
        ("beaches", {"Beach/Sea"}),
    ],
)
def test_words_of_five_languages_name_tags(term, tags):
    assert set(named(term, VOCABULARY)) == tags


def test_every_language_speaks_of_the_fifty_tags_of_the_paper():
    fifty = set(VOCABULARY)
    assert len(fifty) == 50 and {*OURS} - {TITLE_CARD} <= fifty
    for language in LANGUAGES:
        lists = listed(language)
        assert set(lists) == fifty
        assert all(len(words) == len({*map(fold, words)}) > 0 and all(map(fold, words)) for words in lists.values())


def test_a_plural_names_tags_of_ones_own():
    assert named("robots", ("Robot", "Robot war")) == named("robot", ("Robot", "Robot war")) == ("Robot",)
    assert named("robots", ("Red robot",)) == ("Red robot",)


def test_a_whole_tag_wins_over_synonyms():
    assert named("music", ("Music", "Music video")) == ("Music",)
    assert named("gun", ("Gun", "Weapon")) == ("Gun",)


OWN = st.lists(st.sampled_from(["car", "cars", "sea", "Ponies", "pony", "Été", "!!!", "War", "wars", "guns", "Robot"]))


@settings(max_examples=20, deadline=None)
@example(list(VOCABULARY), [])
@given(st.lists(st.sampled_from(VOCABULARY), unique=True), st.lists(OWN.map(" ".join), max_size=5))
def test_what_a_page_searches_by_is_what_the_command_line_searches_by(known, own):
    vocabulary = tuple(dict.fromkeys([*known, *filter(str.strip, own)]))
    found = spoken(vocabulary)
    for word, numbers in found.items():
        same = tuple(tag for tag in vocabulary if fold(tag) == word)
        assert tuple(vocabulary[number] for number in numbers) == (same[-1:] or named(word, vocabulary)) != ()
    assert {fold(tag) for tag in vocabulary} - {""} <= set(found)
    if vocabulary == VOCABULARY:
        assert {word for word in synonyms() if named(word, vocabulary)} == set(found) & set(synonyms())


def test_folding_keeps_the_signs_of_hindi():
    assert fold("  Sci-Fi: ÉPÉE ") == "sci fi epee" and words_of("Beach/Sea") == ("beach", "sea")
    assert fold("मारपीट") == "मारपीट" and not re.search(r"\s", fold("हिंसा"))
