import io

from rich.console import Console

from movie_tags.pipeline.commands.printing import print_tags
from movie_tags.records import PERSON, Film, TagStrength

WAR = TagStrength("War", relative_strength=0.0, strength=0.0123, confidence=0.801, seconds=5.0)
FOOD = TagStrength("Food", relative_strength=1.0, strength=0.7, confidence=0.4, seconds=61.2)
FILM = Film(
    id="a", title="[Film] one.mp4", duration_s=61.2, shots=4, key_frames=3, tags=(FOOD, WAR), short_list=(FOOD, WAR)
)


def printed(film: Film, terminal: bool) -> str:
    out = io.StringIO()
    print_tags(Console(file=out, force_terminal=terminal, color_system=None, width=100), [film])
    return out.getvalue()


def test_a_person_sees_bars_of_how_sure_the_model_is_the_surest_first():
    text = printed(FILM, True)
    assert "[Film] one.mp4  (61 s, 4 shots, 3 key frames)" in text
    war, food = (line for line in text.splitlines() if "█" in line)
    assert war.count("█") == 24 and food.count("█") == 12
    assert " ".join(war.split("█")[-1].split()) == "80 % sure 5 s of 1 min 01 s R 0 (weakest), W 0.0123"
    assert "1 min 01 s of 1 min 01 s" in food and "R 1.00, W 0.7" in food


def test_a_log_gets_a_line_that_leads_with_how_sure_and_how_long():
    said = "War, 80 % sure, 5 s of 1 min 01 s; Food, 40 % sure, 1 min 01 s of 1 min 01 s"
    assert printed(FILM, False) == f"[Film] one.mp4: {said}\n"
    assert printed(Film(id="a"), False) == "a: nothing that the model is sure of\n"


def test_where_the_model_does_not_say_the_strength_is_said_and_never_as_a_bare_nought():
    unsure = [TagStrength("A", relative_strength=r, seconds=1.0) for r in (1.0, 0.004, 0.0)]
    lines = [printed(Film(id="a", duration_s=2.0, short_list=(tag,)), False) for tag in unsure]
    strengths = ("1.00", "< 0.01", "0 (weakest)")
    assert lines == [f"a: A, relative strength {said}, 1 s of 2 s\n" for said in strengths]


def test_what_a_person_says_is_said_so():
    film = Film(id="a", duration_s=2.0, short_list=(TagStrength("A", seconds=1.0, confidence=1.0, by=PERSON),))
    assert printed(film, False) == "a: A, said by a person, 1 s of 2 s\n"
    own = Film(id="a", duration_s=2.0, short_list=(TagStrength("My own", confidence=1.0, by=PERSON),))
    assert printed(own, False) == "a: My own, said by a person\n"


def test_tags_are_printed_as_they_are_called():
    assert "out[old]" in printed(Film(id="a", short_list=(TagStrength("out[old]"),)), True)
