import errno
import itertools
import json
import os
import subprocess
import sys
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_folders import small_results

from movie_tags.pipeline.commands import main
from movie_tags.results import overlay
from movie_tags.results.corrections import APPLIES, REJECTED, VERDICTS, Correction, Corrections, Held, Place
from movie_tags.results.expressions import And, Not, Or, SearchError, Term, matching, parse, resolve, tags_of
from movie_tags.results.film_tables import Results
from movie_tags.results.parquet import SCHEMAS
from movie_tags.results.schema import to_row
from movie_tags.results.search import Search

VOCABULARY = ("Beach/Sea", "Children", "Violence", "Car chase", "Sword fight", "Sci-fi", "College/Univ.")
MINIMUM = 0.1
METHOD = {"min_confidence": None, "min_relative_strength": MINIMUM}


def tag(name, relative_strength):
    known = {"occurrences": 1, "probability_sum": 0.5, "strength": relative_strength / 2, "peak_probability": 0.5}
    return {"tag": name, "relative_strength": relative_strength, **known, "seconds": 1.0, "share": 0.1}


def film(name, strengths, duration_s=60.0, title=None):
    tags = [tag(*item) for item in sorted(strengths.items(), key=lambda item: -item[1])]
    counts = dict.fromkeys(("frames_sampled", "shots", "key_frames", "key_frames_rejected", "key_frames_failed"), 1)
    kept = [t for t in tags if t["relative_strength"] >= MINIMUM]
    row = {"id": name, "uri": f"/films/{name}.mp4", "title": title or name, "duration_s": duration_s, **counts}
    return {**row, "short_list": kept, "tags": tags}


def span(name, tag, start_s, end_s, probability=0.5):
    row = {"id": name, "tag": tag, "start_s": start_s, "end_s": end_s, "mean_probability": probability}
    return {**row, "peak_probability": probability, "key_frames": 1}


def write_results(folder, films, spans=None, kind="jsonl", vocabulary=VOCABULARY):
    """A folder of results of some rows."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {"tags": films, "spans": spans, "errors": [], "key_frames": []}
    for name, rows in tables.items():
        if rows is None:
            continue
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(rows, SCHEMAS[name]), folder / f"{name}.parquet")
        else:
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    (folder / "run.json").write_text(
        json.dumps({"run_id": "1", "method": METHOD, "model": {"vocabulary": list(vocabulary)}})
    )
    return str(folder)


@pytest.mark.parametrize("full_at", ["film", "spans"])
def test_corrections_that_could_not_be_laid_over_are_laid_over_by_the_next_question(tmp_path, monkeypatch, full_at):
    folder = write_results(tmp_path, [film("a", {"Children": 0.9})], [span("a", "Children", 0, 9)])
    Corrections(folder).append(
        [Correction("a", "Children", REJECTED, Place(3, 3.5)), Correction("a", "Violence", APPLIES, Place(2, 5))]
    )

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Search(folder) as search:
        asked = And((Term("Children", ("Children",)), Term("Violence", ("Violence",))))
        with monkeypatch.context() as full, pytest.raises(OSError):
            full.setattr(overlay, full_at, fail)
            search.scenes(asked)
        assert [one.id for one in search.films(asked)] == ["a"]
        assert [(one.start_s, one.end_s) for one in search.scenes(asked)] == [(2, 3), (3.5, 5)]


def test_not_binds_tightest_then_and_then_or():
    assert parse("a or b and not c") == Or((Term("a"), And((Term("b"), Not(Term("c"))))))
    assert parse("(a or b) AND NOT (c or d)") == And((Or((Term("a"), Term("b"))), Not(Or((Term("c"), Term("d"))))))
    assert parse("not not a") == Not(Not(Term("a")))


def test_words_side_by_side_are_one_tag_and_quotes_may_hold_anything():
    assert parse("sword fight and beach/sea") == And((Term("sword fight"), Term("beach/sea")))
    quoted = Term("search and rescue", quoted=True), Term("not (yet)", quoted=True)
    assert parse("\"search and rescue\" or 'not (yet)'") == Or(quoted)
    assert parse("android or nothing") == Or((Term("android"), Term("nothing")))  # no operators inside words
    assert parse("orée not notó") == And((Term("orée"), Not(Term("notó"))))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("drama -action", "drama and not action"),
        ("drama !action", "drama and not action"),
        ("beach, kids", "beach and kids"),
        ("beach + kids & dog", "beach and kids and dog"),
        ("cops | robots", "cops or robots"),
        ("(beach or forest) -violence", "(beach or forest) and not violence"),
        ("a b -c d or e", "a b and not c d or e"),
        ("sci-fi -vehicle crash", "sci-fi and not vehicle crash"),
    ],
)
def test_people_type_signs_for_words(typed, meant):
    assert parse(typed) == parse(meant)


@pytest.mark.parametrize("text", ["", "  ", "and", "a and", "not", "(a", "a)", "a or or b", '"a', "()", "a -"])
def test_what_is_no_expression_is_said_in_words(text):
    with pytest.raises(SearchError, match="cannot be understood"):
        parse(text)


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("beach", ("Beach/Sea",)),
        ("SEA", ("Beach/Sea",)),
        ("beach/sea", ("Beach/Sea",)),
        ("sea beach", ("Beach/Sea",)),
        ("sci fi", ("Sci-fi",)),
        ("univ", ("College/Univ.",)),
        ("chase", ("Car chase",)),
    ],
)
def test_a_tag_is_named_by_words_of_it(term, found):
    assert matching(term, VOCABULARY) == found


def test_a_whole_tag_wins_over_parts_of_others_and_parts_may_mean_several():
    assert matching("car", ("Car", "Car chase")) == ("Car",)
    assert matching("car", ("Car race", "Car chase")) == ("Car race", "Car chase")


@pytest.mark.parametrize(
    ("term", "nearest"),
    [("beech", "Beach/Sea"), ("violense", "Violence"), ("childen", "Children"), ("sci-fy", "Sci-fi")],
)
def test_the_nearest_three_tags_are_named_for_a_misspelt_one(term, nearest):
    with pytest.raises(SearchError, match=f"did you mean {nearest}, .* or ") as caught:
        matching(term, VOCABULARY)
    assert sum(tag in str(caught.value) for tag in VOCABULARY) == 3


def test_words_side_by_side_are_a_tag_or_else_several():
    beach, kids = Term("beach", ("Beach/Sea",)), Term("kids", ("Children",))
    assert resolve(parse("sword fight"), VOCABULARY) == Term("sword fight", ("Sword fight",))
    assert resolve(parse("beach kids"), VOCABULARY) == And((beach, kids))
    chase = Term("car chase", ("Car chase",))
    assert resolve(parse("kids car chase beach"), VOCABULARY) == And((kids, chase, beach))
    with pytest.raises(SearchError, match="no tag 'xyzzy'"):
        resolve(parse("beach xyzzy"), VOCABULARY)
    with pytest.raises(SearchError, match="no tag 'beach kids'"):
        resolve(parse("'beach kids'"), VOCABULARY)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("-violence kids", "not violence and kids"),
        ("not violence kids car chase", "not violence and kids and car chase"),
        ("-sword fight kids", "not 'sword fight' and kids"),
        ("beach -violence kids", "beach and not violence and kids"),
        ("not (violence kids)", "not (violence and kids)"),
        ("not ((violence kids)) beach", "not (violence and kids) and beach"),
        ("not not violence kids", "not not violence and kids"),
    ],
)
def test_not_is_of_the_first_tag_alone_of_words_side_by_side(typed, meant):
    """A search for what is not violent never finds what is."""
    for carried in map(set, itertools.chain.from_iterable(itertools.combinations(VOCABULARY[:5], n) for n in range(6))):
        assert holds(resolve(parse(typed), VOCABULARY), carried) == holds(resolve(parse(meant), VOCABULARY), carried)


def test_a_tag_that_the_model_does_not_have_is_said_not_to_be_looked_for():
    with pytest.raises(SearchError, match="no tag Prison: it was not looked for"):
        matching("jail", VOCABULARY)


def test_part_of_a_word_is_no_match():
    with pytest.raises(SearchError):
        matching("each", ("Beach/Sea",))
    with pytest.raises(SearchError, match="no tag"):
        matching("!!!", ("Beach/Sea",))


# The same search by brute force, moment by moment.


def holds(expression, carried):
    match expression:
        case Term(_, tags):
            return any(tag in carried for tag in tags)
        case Not(of):
            return not holds(of, carried)
        case And(parts):
            return all(holds(part, carried) for part in parts)
        case Or(parts):
            return any(holds(part, carried) for part in parts)


def strength_of(expression, carried):
    match expression:
        case Term(_, tags):
            return max((carried[tag] for tag in tags if tag in carried), default=None)
        case Not():
            return None
        case And(parts):
            return min((s for s in (strength_of(p, carried) for p in parts) if s is not None), default=None)
        case Or(parts):
            found = (strength_of(p, carried) for p in parts if holds(p, carried))
            return max((s for s in found if s is not None), default=None)


TAGS = VOCABULARY[:3]
expressions = st.recursive(
    st.sampled_from(TAGS).map(lambda name: Term(name, (name,))) | st.just(Term("any", TAGS[:2])),
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple))
        | st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple))
    ),
    max_leaves=5,
)


def written(expression, around):
    """An expression as people type it, with parentheses around each part as drawn."""
    match expression:
        case Term(text):
            text = f'"{text}"' if text in TAGS else "(beach or kids)"
        case Not(of):
            text = f"not {written(of, around)}"
        case And(parts):
            text = "(" + " and ".join(written(part, around) for part in parts) + ")"
        case Or(parts):
            text = "(" + " or ".join(written(part, around) for part in parts) + ")"
    return "(" * (depth := next(around)) + text + ")" * depth


@settings(deadline=None)
@given(expressions, st.lists(st.integers(0, 2), min_size=1), st.sets(st.sampled_from(TAGS)))
def test_parentheses_may_stand_around_anything(expression, depths, carried):
    text = written(expression, itertools.cycle(depths))
    assert holds(resolve(parse(text), TAGS), carried) == holds(expression, carried), text


strengths = st.dictionaries(st.sampled_from(TAGS), st.integers(0, 10).map(lambda n: n / 10), max_size=3)
catalogues = st.lists(strengths, min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(
    catalogue=catalogues,
    expression=expressions,
    minimum=st.none() | st.sampled_from([0.0, 0.3, 1.0]),
    kind=st.sampled_from(["jsonl", "parquet"]),
)
def test_films_are_those_of_brute_force(tmp_path_factory, catalogue, expression, minimum, kind):
    folder = tmp_path_factory.mktemp("films")
    path = write_results(folder, [film(f"f{k}", tags) for k, tags in enumerate(catalogue)], [], kind)
    least = MINIMUM if minimum is None else minimum
    expected = {}
    for k, tags in enumerate(catalogue):
        carried = {name: r for name, r in tags.items() if r >= least}
        if holds(expression, carried):
            expected[f"f{k}"] = strength_of(expression, carried)
    with Search(path) as search:
        found = search.films(expression, minimum)
    assert {one.id: one.sure for one in found} == expected
    order = [-1 if one.sure is None else one.sure for one in found]
    assert order == sorted(order, reverse=True)


@st.composite
def timelines(draw):
    """A film's length and its spans, in whole seconds; those of one tag never overlap."""
    length, spans = draw(st.integers(1, 12)), []
    for name in TAGS:
        cuts = sorted(draw(st.sets(st.integers(0, length), max_size=6)))
        for start, end in zip(cuts[::2], cuts[1::2], strict=False):
            spans.append((name, start, end, draw(st.integers(1, 10)) / 10))
    return length, spans


@settings(max_examples=60, deadline=None)
@given(
    films=st.lists(timelines(), min_size=1, max_size=3),
    expression=expressions,
    kind=st.sampled_from(["jsonl", "parquet"]),
    often=st.booleans(),
    at_a_time=st.sampled_from([1, 2, 20_000]),
)
def test_scenes_are_those_of_brute_force(tmp_path_factory, films, expression, kind, often, at_a_time):
    rows, spans, expected = [], [], {}
    for k, (length, found) in enumerate(films):
        name = f"f{k}"
        rows.append(film(name, dict.fromkeys((tag for tag, *_ in found), 0.5), float(length)))
        spans += [span(name, tag, float(start), float(end), p) for tag, start, end, p in found]
        scene = []
        for second in range(length + 1):
            carried = {tag: p for tag, start, end, p in found if start <= second < end}
            if second < length and holds(expression, carried):
                scene.append(strength_of(expression, carried))
                continue
            if scene:
                known = [p for p in scene if p is not None]
                mean = sum(known) / len(known) if known else None
                expected[name, float(second - len(scene)), float(second)] = mean
            scene = []
    path = write_results(tmp_path_factory.mktemp("scenes"), rows, spans, kind)
    with Search(path, often) as search, patch("movie_tags.results.search.FILMS", at_a_time):
        found = search.scenes(expression)
    assert {(one.id, one.start_s, one.end_s) for one in found} == set(expected)
    for one in found:
        assert one.sure == pytest.approx(expected[one.id, one.start_s, one.end_s], abs=1e-6)


PLACES = st.just((None, None)) | st.tuples(st.integers(0, 9), st.integers(0, 5)).map(lambda at: (at[0], sum(at)))
CORRECTIONS = st.builds(
    lambda k, tag, verdict, place, known: Correction(f"f{k}", tag, verdict, Place(*place), f"content {k}" * known),
    st.integers(0, 3),
    st.sampled_from(TAGS),
    st.sampled_from(VERDICTS),
    PLACES,
    st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(
    films=st.lists(st.tuples(timelines(), strengths), min_size=1, max_size=3),
    said=st.lists(CORRECTIONS, max_size=8),
    expression=expressions,
    minimum=st.none() | st.sampled_from([0.0, 0.3, 1.0]),
    often=st.booleans(),
)
def test_what_people_say_is_found_as_in_tables_that_say_so(tmp_path_factory, films, said, expression, minimum, often):
    rows, spans = [], []
    for k, ((length, found), tags) in enumerate(films):
        seen = {**tags, **{tag: 0.5 for tag, *_ in found}}
        rows.append({**film(f"f{k}", seen, float(length)), "content": f"content {k}"})
        spans += [span(f"f{k}", tag, float(start), float(end), p) for tag, start, end, p in found]
    path = write_results(tmp_path_factory.mktemp("model"), rows, spans)
    with Search(path, often) as search:
        Corrections(path).append(said)
        search.follow(Held(Corrections(path)))
        found = search.films(expression, minimum), search.scenes(expression, minimum)
    with Results(path) as results:
        corrected = list(results.films())
        told = [to_row(one) for row in corrected for one in results.spans(row.id)]
    with Search(write_results(tmp_path_factory.mktemp("told"), [*map(to_row, corrected)], told)) as search:
        assert found == (search.films(expression, minimum), search.scenes(expression, minimum))


def test_scenes_of_tags_too_weak_in_their_film_do_not_count(tmp_path):
    path = write_results(
        tmp_path,
        [film("a", {"Beach/Sea": 0.2}), film("b", {"Beach/Sea": 0.9})],
        [span("a", "Beach/Sea", 1.0, 2.0), span("b", "Beach/Sea", 3.0, 4.0)],
    )
    beach = Term("beach", ("Beach/Sea",))
    with Search(path) as search:
        assert {one.id for one in search.scenes(beach)} == {"a", "b"}
        assert {one.id for one in search.scenes(beach, 0.5)} == {"b"}
        assert len(search.scenes(beach, limit=1)) == 1


def test_a_span_that_ends_after_its_film_is_cut_there(tmp_path):
    path = write_results(tmp_path, [film("a", {"Violence": 1.0}, 9.5)], [span("a", "Violence", 8.0, 10.0)])
    with Search(path) as search:
        (one,) = search.scenes(Term("violence", ("Violence",)))
    assert (one.start_s, one.end_s) == (8.0, 9.5)


def test_names_are_taken_literally(tmp_path):
    """Brackets and stars in a folder's name, quotes in tags and titles."""
    name = 'it\'s "so" -- ;'
    path = write_results(tmp_path / "a[1]*?b", [film("a", {name: 1.0}, title="<script>")], [], vocabulary=(name,))
    with Search(path) as search:
        expression = resolve(Term(name), search.vocabulary())
        assert tags_of(expression) == (name,)
        assert [one.title for one in search.films(expression)] == ["<script>"]


def test_a_view_that_is_published_meanwhile_is_not_mixed_in(tmp_path):
    for view, start in (("one", 1.0), ("two", 5.0)):
        write_results(tmp_path / "views" / view, [film("f", {"Violence": 1.0})], [span("f", "Violence", start, 9.0)])
    (tmp_path / "latest").symlink_to("views/one")
    with Search(str(tmp_path)) as search:
        assert len(search.films(Term("Violence", ("Violence",)))) == 1
        (tmp_path / "latest").unlink()
        (tmp_path / "latest").symlink_to("views/two")
        (scene,) = search.scenes(Term("Violence", ("Violence",)))
        assert scene.start_s == 1.0


def test_shards_are_read_together_and_without_run_json_the_tags_found_are_the_vocabulary(tmp_path):
    for k, name in enumerate(("a", "b")):
        row = film(name, {"Robot": 1.0})
        (tmp_path / f"tags-0000{k}-of-00002.jsonl").write_text(json.dumps(row) + "\n")
    with Search(str(tmp_path)) as search:
        assert search.vocabulary() == ["Robot"]
        expression = resolve(parse("robot"), search.vocabulary())
        assert {one.id for one in search.films(expression)} == {"a", "b"}
        with pytest.raises(SearchError, match=r"spans\.jsonl is missing"):
            search.scenes(expression)


def test_the_command_says_what_it_finds_and_what_is_wrong(tmp_path, capsys):
    path = write_results(
        tmp_path / "results",
        [film("a", {"Beach/Sea": 1.0, "Violence": 0.5}, 4000.0), film("b", {"Beach/Sea": 0.4})],
        [span("a", "Beach/Sea", 61.0, 3723.5)],
    )
    assert main(["search", path, "beach and not violence", "--json"]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["id"], row["sure"]) == ("b", 0.4)
    assert main(["search", path, "beach", "--scenes", "--json"]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (row["start"], row["end"]) == ("00:01:01.000", "01:02:03.500")
    assert main(["search", path, "beach", "-violence", "--json"]) == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == ["b"]
    assert main(["search", path, "beach and not violence"]) == 0
    assert capsys.readouterr().out.split("  ")[0] == "relative strength 0.40"
    assert main(["search", path, "seaside", "--json"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 2 and said.err == "movie-tags: seaside: taken for Beach/Sea\n"
    assert main(["search", path, "beach and robotz"]) == 2
    assert "no tag 'robotz'" in capsys.readouterr().err
    assert main(["search", str(tmp_path / "nowhere"), "beach"]) == 2
    assert "holds no results" in capsys.readouterr().err
    (tmp_path / "results" / "tags.jsonl").write_text("{broken\n")
    assert main(["search", path, "beach"]) == 2
    assert "tags.jsonl, line 1: not a row of JSON" in capsys.readouterr().err


def test_the_search_needs_neither_beam_nor_tensorflow():
    code = (
        "import sys; import movie_tags.pipeline.commands.search; "
        "assert not {'apache_beam', 'tensorflow', 'cv2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_scenes_of_very_many_tags(tmp_path):
    tags = [f"word {k}" for k in range(200)]
    folder = small_results(tmp_path)
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "model": {**run["model"], "vocabulary": tags}}))
    Corrections(str(folder)).append([Correction("/films/a.mp4", "word 187", APPLIES, Place(1, 3))])
    with Search(str(folder)) as search:
        either = Or(tuple(Term(tag, (tag,)) for tag in tags))
        assert [(one.start_s, one.end_s) for one in search.scenes(either)] == [(1.0, 3.0)]
        assert search.scenes(either, limit=-1) == []


def test_how_sure_a_film_is_found_is_a_confidence_only_if_all_its_tags_have_one(tmp_path):
    folder = small_results(tmp_path)  # whose model says none
    film_ = "/films/a.mp4"
    Corrections(str(folder)).append([Correction(film_, "Children", APPLIES)])
    with Search(str(folder)) as search:
        found = lambda text: {  # noqa: E731
            one.id: one.confident for one in search.films(resolve(parse(text), [*search.vocabulary(), "Children"]))
        }
        assert found("children") == {film_: True}
        assert found("food")[film_] is False and found("food and children") == {film_: False}
