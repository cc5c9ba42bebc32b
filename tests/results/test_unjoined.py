import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_folders import film, frame, span, tag, write_tables

from movie_tags.pipeline.commands import main
from movie_tags.results.expressions import And, Not, Or, Term
from movie_tags.results.unjoined import amount, holds

TERMS = st.sampled_from("abcd").map(lambda name: Term(name, (name,)))
EXPRESSIONS = st.recursive(
    TERMS,
    lambda part: st.one_of(
        part.map(Not),
        st.lists(part, min_size=1, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(part, min_size=1, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=6,
)


def written(expression):
    """The same in Python's own words, for `eval`."""
    match expression:
        case Term(_, (name,)):
            return f"('{name}' in tags)"
        case Not(part):
            return f"(not {written(part)})"
        case And(parts):
            return "(" + " and ".join(map(written, parts)) + ")"
        case Or(parts):
            return "(" + " or ".join(map(written, parts)) + ")"


@given(EXPRESSIONS, st.dictionaries(st.sampled_from("abcd"), st.floats(0.01, 1)))
def test_an_expression_holds_as_python_says(expression, tags):
    assert holds(expression, tags) == eval(written(expression), {"tags": tags})
    if holds(expression, tags):
        found = amount(expression, tags)
        assert found is None or found in tags.values()


def test_amounts():
    a, b, c = (Term(name, (name,)) for name in "abc")
    tags = {"a": 0.9, "b": 0.4}
    assert amount(And((a, b)), tags) == 0.4 and amount(Or((a, b)), tags) == 0.9
    assert amount(Or((And((a, c)), b)), tags) == 0.4  # what does not hold does not count
    assert amount(And((a, Not(c))), tags) == 0.9 and amount(Not(c), tags) is None
    assert amount(Term("x", ("b", "a")), tags) == 0.9


@pytest.fixture()
def results(tmp_path):
    """A film of 16 s in which War is in shots 0 to 2 and 6 to 8 s, one span of 0 to 8, and Food in the second shot."""
    shots = [{"War": 0.8}, {"Food": 0.6}, {"Food": 0.5}, {"War": 0.4, "Food": 0.3}, {}]
    write_tables(
        tmp_path,
        tags=[film("a", [tag("War", 1.0, confidence=0.9), tag("Food", 0.5, confidence=0.8)], duration_s=16.0)],
        key_frames=[frame("a", 2 * k + 1.0, top) for k, top in enumerate(shots)],
        spans=[span("a", "War", 0, 8), span("a", "Food", 2, 8)],
    )
    return tmp_path


def found(results, capsys, *words):
    assert main(["search", str(results), *words, "--scenes", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [(row["start_s"], row["end_s"]) for row in rows]


def test_scenes_come_shot_by_shot(results, capsys):
    assert found(results, capsys, "war") == [(0, 8)]
    assert found(results, capsys, "war", "--unjoined") == [(0, 2), (6, 8)]
    assert found(results, capsys, "war and food", "--unjoined") == [(6, 8)]


def test_unjoined_is_of_scenes(results, capsys):
    assert main(["search", str(results), "war", "--unjoined"]) == 2
    assert "give --scenes" in capsys.readouterr().err
