"""Corrections: kept at once, never torn, folded by film and content, laid over rows."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_folders import small_results

from movie_tags.records import PERSON, Film, KeyFrame, Span, TagProbability, TagStrength
from movie_tags.results import overlay
from movie_tags.results.corrections import (
    APPLIES,
    REJECTED,
    VERDICTS,
    WITHDRAWN,
    Correction,
    CorrectionError,
    Corrections,
    Held,
    Place,
    correction_of,
    said_at,
)
from movie_tags.results.expressions import parse, resolve
from movie_tags.results.film_tables import Results
from movie_tags.results.search import Search

PLACES = st.one_of(
    st.just(Place()),
    st.tuples(st.integers(0, 50), st.integers(0, 9)).map(lambda pair: Place(pair[0], pair[0] + pair[1])),
)
SAID = st.builds(
    Correction,
    st.sampled_from(["a", "b"]),
    st.sampled_from(["War", "Food", "a </script> of one's own"]),
    st.sampled_from(VERDICTS),
    PLACES,
    st.sampled_from(["", "x", "y"]),
)


@given(st.lists(SAID, max_size=20))
def test_what_is_kept_is_read_again(tmp_path_factory, said):
    folder = str(tmp_path_factory.mktemp("results"))
    kept = [one for single in said for one in Corrections(folder).append([single])]
    assert list(Corrections(folder)) == kept
    assert [replace(one, at="", key="") for one in kept] == said
    assert len({one.key for one in kept}) == len(kept)


def test_a_torn_line_costs_itself_alone(tmp_path):
    store = Corrections(str(tmp_path))
    (first,) = store.append([Correction("a", "War", APPLIES)])
    with open(store.path, "ab") as file:
        file.write(b'{"film": "a", "tag": "Fo')
    (second,) = store.append([Correction("a", "Food", REJECTED)])
    assert list(store) == [first, second]


WRITER = """
import sys
from movie_tags.results.corrections import Correction, Corrections
store = Corrections(sys.argv[1])
for n in range(10**6):
    store.append([Correction(f"film {n}", "War", "applies")])
    print(n, flush=True)
"""


def test_a_writer_that_is_killed_has_lost_nothing_that_it_said(tmp_path):
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        said = [int(writer.stdout.readline()) for _ in range(5)]
        os.kill(writer.pid, signal.SIGKILL)
        said += map(int, writer.stdout.read().split())
        writer.wait()
        kept = [one.film for one in Corrections(str(tmp_path))]
        assert {f"film {n}" for n in said} <= set(kept)
        assert len(kept) - len(said) <= 1 or _ > 0  # the last may be kept and not yet be said
        Corrections(str(tmp_path)).append([Correction("afterwards", "War", APPLIES)])


def test_writers_side_by_side_lose_nothing(tmp_path):
    def write(name):
        for n in range(20):
            Corrections(str(tmp_path)).append([Correction(f"{name}{n}", "War", APPLIES)])

    writers = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(one.film for one in Corrections(str(tmp_path))) == sorted(f"{x}{n}" for x in "abc" for n in range(20))


@pytest.mark.parametrize(
    "row",
    [
        [],
        {"film": "a", "tag": "War"},
        {"film": "a", "tag": " ", "verdict": APPLIES},
        {"film": "", "tag": "War", "verdict": APPLIES},
        {"film": "a", "tag": "War", "verdict": "perhaps"},
        {"film": "a", "tag": "War", "verdict": APPLIES, "start_s": 4},
        {"film": "a", "tag": "War", "verdict": APPLIES, "start_s": 4, "end_s": 3},
        {"film": "a", "tag": "War", "verdict": APPLIES, "start_s": 4, "end_s": float("nan")},
        {"film": "a", "tag": "War", "verdict": APPLIES, "start_s": True, "end_s": 3},
    ],
)
def test_what_says_nothing_is_refused(row):
    with pytest.raises(CorrectionError):
        correction_of(json.loads(json.dumps(row)))


@given(st.lists(SAID, max_size=20))
def test_the_last_word_holds(said):
    held = Held(said)
    for film in "ab":
        for (tag, place), one in held.of(film).items():
            later = said[said.index(one) + 1 :]
            assert not any((x.film, x.tag, x.place, x.content) == (film, tag, place, one.content) for x in later) or (
                one in later
            )


@given(st.lists(SAID, max_size=9), st.lists(SAID, max_size=9))
def test_what_holds_after_more_was_said_is_what_all_say(before, more):
    held, all_said = Held(before), Held([*before, *more])
    films = [(one.film, one.content) for one in [*before, *more]]
    was = [dict(held.of(*film)) for film in films]
    followed = held.and_then(more)
    if followed is not None:
        assert [followed.of(*film) for film in films] == [all_said.of(*film) for film in films]
        assert [followed.of(film) for film, _ in films] == [all_said.of(film) for film, _ in films]
        assert (followed.tags(), bool(followed)) == (all_said.tags(), bool(all_said))
    else:
        assert any(one.content for one in more)
    assert [held.of(*film) for film in films] == was


@given(st.lists(SAID, max_size=20), st.sets(st.sampled_from(["War", "Food", "Lighthouse"])))
def test_no_film_is_missed_of_which_something_is_said_of_some_tags(said, tags):
    held = Held(said)
    for film in ("a", "b", "c"):
        for content in ("", "x", "y", "z"):
            if any(tag in tags for tag, _ in held.of(film, content)):
                assert {film, content} & held.where(tags)
    assert not held.where([]) and not held.where(["Lighthouse"])


def prevailing(time_s, tag, said):
    """By the rule, one verdict against all others: the one that none beats; `said` in order of time."""
    there = [
        (place, one.verdict)
        for (name, place), one in said
        if name == tag
        and (place.start_s is None or place.start_s == time_s or place.start_s <= time_s < place.end_s)
        and (place.start_s is not None or one.verdict == REJECTED)
    ]
    length = [place.end_s - place.start_s if place.start_s is not None else 10**9 for place, _ in there]
    best = [
        verdict
        for i, (_, verdict) in enumerate(there)
        if not any(length[j] < length[i] or (length[j] == length[i] and j > i) for j in range(len(there)) if j != i)
    ]
    return best[0] if best else None


CLOSE = st.one_of(
    st.just(Place()),
    st.tuples(st.integers(0, 5), st.integers(0, 3)).map(lambda pair: Place(pair[0], pair[0] + pair[1])),
)


@given(st.lists(st.builds(Correction, st.just("a"), st.sampled_from("xy"), st.sampled_from(VERDICTS), CLOSE)))
def test_a_narrower_place_prevails_and_of_equal_ones_the_last_said(said):
    verdicts = Held(said).of("a")
    for time_s in range(9):
        expected = {tag: prevailing(time_s, tag, verdicts.items()) for tag in "xy"}
        found = said_at(time_s, verdicts)
        assert {tag: one.verdict for tag, one in found.items()} == {tag: v for tag, v in expected.items() if v}
        assert all(one.tag == tag and verdicts[tag, one.place] is one for tag, one in found.items())


def test_a_film_that_was_moved_keeps_its_corrections_and_another_at_its_address_has_none():
    held = Held([Correction("old", "War", REJECTED, content="x")])
    assert [one.verdict for one in held.of("new", "x").values()] == [REJECTED]
    assert not held.of("old", "y")
    assert not held.of("new", "y")
    assert [one.verdict for one in held.of("old").values()] == [REJECTED]


def test_taking_back_under_a_new_name_takes_back():
    said = [Correction("old", "War", REJECTED, content="x"), Correction("new", "War", WITHDRAWN, content="x")]
    assert not Held(said).of("old", "x")


WAR = TagStrength("War", 3, 2.1, 0.9, 1.0, 0.8, seconds=12.0, confidence=0.7)
FOOD = TagStrength("Food", 1, 0.4, 0.1, 0.0, 0.4, seconds=4.0, confidence=0.2)
FILM = Film(id="a", duration_s=60.0, short_list=(WAR,), tags=(WAR, FOOD))


def held(*said):
    return Held(Correction("a", tag, verdict, place) for tag, verdict, place in said).of("a")


def listed(verdicts):
    return [tag.tag for tag in overlay.film(FILM, verdicts).short_list]


def test_a_film_with_what_is_said_of_it():
    assert listed(held()) == ["War"]
    assert listed(held(("War", REJECTED, Place()))) == []
    assert listed(held(("Food", APPLIES, Place()))) == ["Food", "War"]
    assert listed(held(("Lighthouse", APPLIES, Place(3, 5)))) == ["Lighthouse", "War"]
    assert listed(held(("War", REJECTED, Place(0, 4)))) == ["War"]  # it is still seen for 8 s
    assert listed(held(("War", REJECTED, Place(0, 4)), ("War", REJECTED, Place(20, 28)))) == []
    assert listed(held(("War", REJECTED, Place()), ("War", APPLIES, Place(20, 28)))) == []  # of the whole is said last
    corrected = overlay.film(FILM, held(("War", REJECTED, Place())))
    assert [(tag.tag, tag.by, tag.confidence, tag.strength) for tag in corrected.tags] == [
        ("War", PERSON, 0.0, 0.9),
        ("Food", "model", 0.2, 0.1),
    ]


@given(st.lists(SAID, max_size=12))
def test_a_film_with_what_people_say_is_the_one_by_the_rules_tag_by_tag(said):
    verdicts = Held(said).of("a", "x")
    model = {tag.tag: tag for tag in FILM.tags}
    expected = {}
    for name in {tag for tag, _ in verdicts}:
        places = {place: one.verdict for (tag, place), one in verdicts.items() if tag == name}
        rejected = {  # each hundredth of a second once
            tick
            for place in places
            if place != Place()
            for tick in range(round(100 * place.start_s), round(100 * place.end_s))
        }
        if Place() in places:
            expected[name] = places[Place()] == APPLIES
        elif APPLIES in places.values():
            expected[name] = True
        elif name in model and places and len(rejected) / 100 >= model[name].seconds - overlay.EXACT_S:
            expected[name] = False
    given_tags = sorted(name for name, applies in expected.items() if applies)
    found = overlay.film(FILM, verdicts)
    assert replace(found, short_list=(), tags=()) == replace(FILM, short_list=(), tags=())
    assert [tag.tag for tag in found.short_list] == [
        *given_tags,
        *(tag.tag for tag in FILM.short_list if tag.tag not in expected),
    ]
    assert [tag.tag for tag in found.tags] == [*model, *(name for name in given_tags if name not in model)]
    for tag in (*found.tags, *found.short_list):
        of_person = (float(expected[tag.tag]), PERSON) if tag.tag in expected else None
        if tag.tag in model:
            of_model = model[tag.tag].confidence, model[tag.tag].by
            assert replace(tag, confidence=of_model[0], by=of_model[1]) == model[tag.tag]
            assert (tag.confidence, tag.by) == (of_person or of_model)
        else:
            assert (tag.confidence, tag.by) == of_person and tag.strength == 0


def test_a_tag_that_the_model_did_not_see_lasts_as_long_as_its_stretches():
    def seen(*said):
        tag = next(tag for tag in overlay.film(FILM, held(*said)).tags if tag.tag == said[0][0])
        return tag.seconds, tag.share

    assert seen(("Lighthouse", APPLIES, Place(3, 6)), ("Lighthouse", APPLIES, Place(5, 9))) == (6.0, 0.1)
    assert seen(("Lighthouse", APPLIES, Place(54, 70))) == (6.0, 0.1)  # no further than the film
    assert seen(("Lighthouse", APPLIES, Place(3, 9)), ("Lighthouse", REJECTED, Place(6, 9))) == (3.0, 0.05)
    assert seen(("Lighthouse", APPLIES, Place())) == (0.0, 0.0)
    assert seen(("War", APPLIES, Place(3, 9)))[0] == WAR.seconds  # what was measured stays


def test_a_key_frame_with_what_is_said_of_it():
    frame = KeyFrame(10.0, 8.0, 12.0, tags=(TagProbability("War", 0.8),))
    tags = lambda verdicts: [tag.tag for tag in overlay.key_frame(frame, verdicts).tags]  # noqa: E731
    assert tags(held(("War", REJECTED, Place()))) == []
    assert tags(held(("War", REJECTED, Place(20, 22)))) == ["War"]
    assert tags(held(("Food", APPLIES, Place()))) == ["War"]  # of the film, it says not where
    assert tags(held(("Food", APPLIES, Place(8, 12)))) == ["Food", "War"]
    assert tags(held(("War", APPLIES, Place(8, 12)), ("War", REJECTED, Place()))) == ["War"]  # the narrower


def test_spans_with_what_is_said_of_them():
    span = Span("War", 10.0, 20.0, 0.7, 0.8, 3)
    at = lambda verdicts: [(s.tag, s.start_s, s.end_s, s.by) for s in overlay.spans([span], verdicts)]  # noqa: E731
    assert at(held(("War", REJECTED, Place(12, 15)))) == [("War", 10.0, 12.0, "model"), ("War", 15.0, 20.0, "model")]
    assert at(held(("War", REJECTED, Place()))) == []
    assert at(held(("War", APPLIES, Place()))) == [("War", 10.0, 20.0, "model")]
    assert at(held(("Food", APPLIES, Place(1, 3)))) == [("Food", 1, 3, PERSON), ("War", 10.0, 20.0, "model")]


def test_a_single_picture_cuts_no_stretch_and_all_of_them_take_it_away():
    """Of two key frames at 12 and 18 s that carry a span."""
    span = Span("War", 10.0, 20.0, 0.7, 0.8, 2)

    def seen(*said):
        return [(one.start_s, one.end_s, one.by) for one in overlay.spans([span], held(*said)) if one.tag == "War"]

    whole = (10.0, 20.0, span.by)
    assert seen(("War", APPLIES, Place(12, 12))) == [whole, (12.0, 12.0, PERSON)]
    assert seen(("War", REJECTED, Place(12, 12))) == [whole]
    assert seen(("War", REJECTED, Place(12, 12)), ("War", REJECTED, Place(30, 30))) == [whole]
    assert seen(("War", REJECTED, Place(12, 12)), ("War", REJECTED, Place(18, 18))) == []
    assert seen(("War", REJECTED, Place(12, 14))) == [(10.0, 12.0, span.by), (14.0, 20.0, span.by)]


def test_rejections_count_where_they_cover_something_once():
    """War is seen for 10 s: twice the same six seconds leave it, six and four others do not."""

    def gone(*places):
        verdicts = held(*(("War", REJECTED, place) for place in places))
        return overlay.said_of_film([replace(WAR, seconds=10.0)], verdicts).get("War") is False

    assert not gone(Place(0, 6), Place(1, 7)) and not gone(Place(3, 3)) and gone(Place(0, 6), Place(8, 12))


@pytest.mark.parametrize("name", ["film", "tag", "content", "by"])
def test_what_no_program_could_read_is_refused_and_passed_over(tmp_path, name):
    row = {"film": "a", "tag": "War", "verdict": APPLIES, name: "caf\udce9"}
    with pytest.raises(CorrectionError, match="no text"):
        correction_of(row)
    kept = Corrections(str(tmp_path))
    kept.append([Correction("a", "Food", APPLIES)])
    with open(kept.path, "ab") as file:
        file.write(json.dumps(row).encode() + b"\n")
    assert [one.tag for one in kept] == ["Food"]


@given(st.lists(SAID, max_size=12))
def test_laying_over_is_idempotent(said):
    verdicts = Held(said).of("a", "x")
    once = overlay.film(FILM, verdicts)
    assert {tag.tag for tag in overlay.film(once, verdicts).short_list} == {tag.tag for tag in once.short_list}
    spans = overlay.spans([Span("War", 10.0, 20.0, 0.7, 0.8, 3)], verdicts)
    assert all(span.start_s <= span.end_s for span in spans)


@pytest.mark.parametrize("often", [False, True])
def test_search_and_tables_have_corrections_laid_over(tmp_path, often):
    film, other = "/films/a.mp4", "/films/b.mp4"
    folder = str(small_results(tmp_path))

    def found(text, scenes=False):
        with Search(folder, often) as search:
            expression = resolve(parse(text), [*search.vocabulary(), "Lighthouse"])
            return [one.id for one in (search.scenes if scenes else search.films)(expression)]

    assert found("animal") == [film] and found("food", True) == [film] and not found("lighthouse")
    Corrections(folder).append(
        [
            Correction(film, "Animal", REJECTED),
            Correction(other, "Lighthouse", APPLIES, Place(1, 3)),
            Correction("elsewhere", "Food", APPLIES, content="unknown here"),
        ]
    )
    assert not found("animal") and not found("animal", True)
    assert found("lighthouse") == found("lighthouse", True) == [other]
    assert found("food") == [film]
    with Results(folder) as results:
        assert [[tag.tag for tag in row.short_list] for row in results.films()] == [["Food"], ["Lighthouse"], ["War"]]
        assert [[tag.tag for tag in frame.tags] for frame in results.key_frames(film)] == [["Food"], ["Food"], [], []]
        assert [span.tag for span in results.spans(other)] == ["Lighthouse"]
