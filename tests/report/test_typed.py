"""The box of the catalogue's page, in a browser: it understands what `movie-tags search` does, and never says "none"
of what it has not looked for."""

import random

import pytest
from browser import opened, why_not

from movie_tags.records import Film, TagStrength
from movie_tags.report.index import Entry, catalogue_page, compact
from movie_tags.results.expressions import And, Not, Or, SearchError, Term, parse, resolve
from movie_tags.results.synonyms import fold

pytestmark = pytest.mark.skipif(bool(why_not()), reason=str(why_not()))
CARRIED = ("Action", "Beach/Sea", "Car chase", "Children", "Drama", "Sword fight", "Violence", "War")
RUN = {"method": {"min_confidence": 0.25}, "model": {"vocabulary": [*CARRIED, "Nudity", "Weapon"]}}
WORDS = (
    *map(str.lower, CARRIED),
    *("Strand", "épée", "kids", "sea beach", "guns", "fight", "chase", "fights", "plage", "Action car chase"),
    *("violense", "childern", "nuditty", "xyzzy", "jail", "beaches sworrd", "12", "film", "orée", "'t'"),
)
JOINTS = (
    " and ",
    " or ",
    " OR ",
    " ",
    " -",
    " and not ",
    ", ",
    " | ",
    " & ",
    " and (",
    ") or ",
    " or not (",
    ") ",
    " !",
)


def films() -> list[Entry]:
    dice = random.Random(5)
    made = []
    for number in range(50):
        tags = tuple(
            TagStrength(name, confidence=dice.choice((0.9, 0.3, 0.1))) for name in CARRIED if dice.random() < 0.4
        )
        tags += (TagStrength("Nudity", confidence=0.2),) if number == 7 else ()
        listed = tuple(tag for tag in tags if tag.confidence >= 0.25)
        title = f"Film {number}" if number else "Glass of blood"
        made.append(Entry(Film(id=str(number), title=title, tags=tags, short_list=listed), f"film-{number}"))
    return made


FILMS = films()
NAMES = compact(FILMS, (), RUN)["tags"]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("typed") / "index.html"
    path.write_text(catalogue_page(FILMS, (), RUN))
    with opened(1280, 900, "--disable-ipc-flooding-protection") as driver:  # no person types as fast
        driver.get(path.as_uri())
        yield driver
        assert [entry["message"] for entry in driver.get_log("browser")] == []


TYPE = """
const box = document.querySelector("#words"), told = document.querySelector("#meant");
box.value = arguments[0];
box.dispatchEvent(new Event("input"));
return [document.querySelector("#count").textContent, told.hidden ? "" : told.textContent,
        [...document.querySelectorAll("#films h3")].map((e) => e.textContent),
        !document.querySelector("#nothing").hidden];
"""


def answer(page, text: str) -> tuple[str, str, set[str], bool]:
    """What the page says when this is typed: its count, what it tells, the titles, whether it says that none is."""
    count, told, titles, none = page.execute_script(TYPE, text)
    return count, told, set(titles), none


def holds(expression, entry: Entry) -> bool:
    match expression:
        case Term(text, tags):
            listed = {tag.tag for tag in entry.film.short_list}
            return bool(listed & set(tags)) or fold(text) in fold(entry.film.title)
        case Not(of):
            return not holds(of, entry)
        case And(parts):
            return all(holds(part, entry) for part in parts)
        case Or(parts):
            return any(holds(part, entry) for part in parts)


def right(text: str, names) -> set[str]:
    expression = resolve(parse(text), names)
    return {entry.film.title for entry in FILMS if holds(expression, entry)}


def random_texts(number: int) -> list[str]:
    dice = random.Random(number)
    texts = []
    for _ in range(number):
        text = dice.choice(("", "", "not ", "-", "(", "not ("))
        for _ in range(dice.randint(1, 4)):
            word = dice.choice(WORDS[:18] if dice.random() < 0.9 else WORDS)
            text += dice.choice((word, word, f'"{word}"')) + dice.choice(JOINTS)
        texts.append(text if dice.random() < 0.1 else _closed(text))
    return texts


def _closed(text: str) -> str:
    """Without a joint at its end, its parentheses closed."""
    for joint in sorted(JOINTS, key=len, reverse=True):
        text = text.removesuffix(joint)
    return text + ")" * max(0, text.count("(") - text.count(")")) + " "  # nothing is still being typed


def test_any_expression_is_understood_as_on_the_command_line(page):
    understood = refused = 0
    for text in random_texts(600):
        count, told, titles, none = answer(page, text)
        try:
            found = right(text, NAMES)
        except SearchError as error:
            if titles or count != "not searched":  # words that are in titles: the page alone knows them
                assert "titles alone" in told, text
            else:
                assert "Not searched: " in told and not none, text
                if "cannot be understood" in str(error):
                    assert "cannot be understood" in told, text
                elif "'film'" not in str(error) and "'12'" not in str(error):  # of titles: other words are wrong, too
                    assert str(error) in told, text
                refused += 1
        else:
            assert titles == found and none == (not found), (text, told)
            understood += 1
    assert understood > 200 and refused > 50


@pytest.mark.parametrize(
    "text", ["and", "a and", "not", "(war", "war)", "war or or drama", '"war', "()", "war -", "(" * 99]
)
def test_what_cannot_be_understood_is_said_in_the_words_of_the_command_line(page, text):
    count, told, titles, none = answer(page, text)
    assert (count, titles, none) == ("not searched", set(), False)
    assert "cannot be understood" in told and "write tags with and, or, not and parentheses" in told
    if len(text) < 20:
        with pytest.raises(SearchError) as caught:
            parse(text)
        assert told == f"Not searched: {caught.value}"


@pytest.mark.parametrize(
    "word", ["violense", "childern", "nuditty", "xyzzy", "jail", "wapon", "seaslde", "Smocking", "épré"]
)
@pytest.mark.parametrize("form", ["{} ", "-{} ", "drama and not {} ", "war or {} ", "drama {} "])
def test_a_misspelt_or_missing_tag_is_named_with_the_nearest_and_nothing_is_searched(page, word, form):
    with pytest.raises(SearchError) as caught:
        resolve(Term(word), NAMES)
    assert answer(page, form.format(word)) == ("not searched", f"Not searched: {caught.value}", set(), False)


@pytest.mark.parametrize("text", ["gun", "-gun", "nudity and drama", "drama and not nudity", "none=Nudity"])
def test_a_tag_that_no_film_has_is_said_not_to_be_an_all_clear(page, text):
    if "=" in text:
        page.execute_script(f"location.hash = '{text}'")
        page.execute_async_script("setTimeout(arguments[0])")
        told = page.execute_script("return document.querySelector('#meant').textContent")
        page.execute_script("[...document.querySelectorAll('#picked button')].at(-1).click()")
    else:
        _, told, _, _ = answer(page, text)
    tag = "Weapon" if "gun" in text else "Nudity"
    assert f"no film has the tag {tag} at 25 % or more" in told and "does not say that no film shows it" in told
    assert ("1 film has it at a lower setting" in told) == (tag == "Nudity")
    near = told.rpartition("the nearest tags that films have are ")[2].replace(" and ", ", ").split(", ")
    assert len(near) == 3 and all(name.split(" (")[0] in CARRIED for name in near)


def test_a_word_of_titles_is_said_to_be_no_tag_and_leaves_out_nothing_unless_it_is_quoted(page):
    count, told, titles, _ = answer(page, "glass ")
    assert titles == {"Glass of blood"} and count == "1 of 50 films"
    assert told.startswith("no tag 'glass'; did you mean ") and told.endswith("? As it is, it finds titles alone")
    count, told, titles, _ = answer(page, "-glass ")
    assert (count, titles) == ("not searched", set()) and told.endswith('To leave out titles, write -"glass"')
    count, told, titles, _ = answer(page, '-"glass" ')
    assert count == "49 of 50 films" and told.endswith("? As it is, it leaves out titles alone")


def test_an_address_that_asks_for_a_tag_that_is_none_is_not_answered(page):
    page.execute_script("location.hash = 'none=Violense&all=Drama'")
    page.execute_async_script("setTimeout(arguments[0])")
    told = page.execute_script("return document.querySelector('#meant').textContent")
    assert told.startswith("Not searched: no tag 'Violense'; did you mean Violence, ")
    assert page.execute_script("return document.querySelector('#count').textContent") == "not searched"
    page.execute_script(
        "[...document.querySelectorAll('#picked button')].find((e) => e.textContent == 'not Violense ✕').click()"
    )
    drama = sum("Drama" in {tag.tag for tag in entry.film.short_list} for entry in FILMS)
    assert page.execute_script("return document.querySelector('#count').textContent") == f"{drama} of 50 films"
    page.execute_script("[...document.querySelectorAll('#picked button')].at(-1).click()")
