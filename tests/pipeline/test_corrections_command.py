"""`movie-tags corrections`, and annotations as corrections."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_folders import small_results

from movie_tags.errors import UserError
from movie_tags.pipeline.commands import main
from movie_tags.pipeline.commands.corrections import take_marked
from movie_tags.records import Film, Span
from movie_tags.results import overlay
from movie_tags.results.corrections import APPLIES, Correction, Corrections, Held, Place
from movie_tags.results.film_tables import Results
from movie_tags.results.marked import corrections_of

A, B = "/films/a.mp4", "/films/b.mp4"


def short_lists(folder):
    with Results(str(folder)) as results:
        return {film.id: [tag.tag for tag in film.short_list] for film in results.films()}


def test_said_listed_carried_elsewhere_and_taken_back(tmp_path, capsys):
    here, there = small_results(tmp_path / "here"), small_results(tmp_path / "there")
    assert main(["corrections", str(here), "--film", "a.mp4", "--rejected", "Animal", "--by", "Ann"]) == 0
    assert main(["corrections", str(here), "--film", B, "--applies", "Temple", "--start", "1", "--end", "3"]) == 0
    assert main(["corrections", str(here)]) == 0
    assert "Ann: Animal rejected in /films/a.mp4" in capsys.readouterr().out
    assert main(["corrections", str(here), "--export", str(tmp_path / "said.jsonl")]) == 0
    for _ in range(2):  # the second time nothing is added
        assert main(["corrections", str(there), "--import", str(tmp_path / "said.jsonl")]) == 0
    assert list(Corrections(str(there))) == list(Corrections(str(here)))
    assert short_lists(there)[A] == ["Food"] and short_lists(there)[B] == ["Temple"]
    assert main(["corrections", str(there), "--film", "a.mp4", "--withdraw", "Animal"]) == 0
    assert short_lists(there)[A] == ["Animal", "Food"]
    assert main(["corrections", str(there), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["verdict"] == "withdrawn"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--film", "a.mp4"], "goes with one of"),
        (["--applies", "War"], "goes with one of"),
        (["--film", "nowhere", "--applies", "War"], "no film of"),
        (["--film", A, "--applies", " "], "names its 'film' and its 'tag'"),
        (["--film", A, "--applies", "War", "--start", "3"], "is no stretch of a film"),
        (["--import", "FILE"], "line 2"),
    ],
)
def test_mistakes(tmp_path, capsys, words, complaint):
    folder = small_results(tmp_path)
    file = tmp_path / "said.jsonl"
    file.write_text('{"film": "a", "tag": "War", "verdict": "applies"}\n{"film": "a"}\n')
    assert main(["corrections", str(folder), *(word.replace("FILE", str(file)) for word in words)]) == 2
    assert complaint in capsys.readouterr().err
    assert not list(Corrections(str(folder)))


def test_an_annotation_confirms_what_it_left_and_rejects_what_it_took_away(tmp_path):
    folder = str(small_results(tmp_path))
    take_marked(folder, {A: [("Animal", Place(0.0, 2.02)), ("Temple", Place(3.0, 5.0))]}, "Ann")
    with Results(folder) as results:
        assert [(s.tag, s.start_s, s.end_s) for s in results.spans(A)] == [("Animal", 0, 2), ("Temple", 3, 5)]
        assert [tag.tag for tag in results.film(A).short_list] == ["Animal", "Temple"]
    with pytest.raises(UserError, match="is not among the films"):
        take_marked(folder, {"/films/nowhere.mp4": []}, "Ann")


def test_what_was_corrected_in_label_studio_becomes_corrections(tmp_path, capsys):
    folder = small_results(tmp_path / "results")

    def task(uri, *spans):
        regions = [
            {"type": "timelinelabels", "value": {"ranges": [{"start": first, "end": last}], "timelinelabels": [tag]}}
            for tag, first, last in spans
        ]
        return {"data": {"video": "x", "uri": uri, "fps": 25.0}, "annotations": [{"result": regions}]}

    project = tmp_path / "project.json"
    project.write_text(json.dumps([task(A, ("Animal", 1, 50), ("Temple", 76, 125)), task("/films/c.mp4")]))
    assert main(["export", str(project), "--from", "labelstudio", "--output", str(folder)]) == 0
    assert "of 2 films" in capsys.readouterr().out
    assert short_lists(folder)[A] == ["Animal", "Temple"]


TIMES = st.tuples(st.integers(0, 30), st.integers(1, 9)).map(lambda pair: (float(pair[0]), float(sum(pair))))
STRETCHES = st.lists(st.tuples(st.sampled_from(["War", "Food"]), TIMES), max_size=6, unique=True)


@given(STRETCHES, STRETCHES)
def test_after_an_annotation_every_mark_is_there_and_nothing_away_from_marks(shown, marked):
    spans = [Span(tag, *times, 0.5, 0.5, 1) for tag, times in shown]
    film = Film(id="a", duration_s=60.0)
    said = corrections_of(film, spans, [(tag, Place(*times)) for tag, times in marked], "Ann")
    now = overlay.spans(spans, Held(said).of("a"))

    def at(stretches, second):
        return {tag for tag, (start, end) in stretches if start <= second < end}

    for second in range(40):
        there = at([(s.tag, (s.start_s, s.end_s)) for s in now], second)
        assert at(marked, second) <= there <= at(marked, second) | at(shown, second)


def test_what_separates_lines_elsewhere_is_carried(tmp_path, capsys):
    one, other = (small_results(tmp_path / name) for name in ("one", "other"))
    said = Correction("/films/a.mp4", "sea\u2028side\x85", APPLIES)
    Corrections(str(one)).append([said])
    assert main(["corrections", str(one), "--export", str(tmp_path / "said.jsonl")]) == 0
    assert main(["corrections", str(other), "--import", str(tmp_path / "said.jsonl")]) == 0
    assert [found.tag for found in Corrections(str(other))] == ["sea\u2028side"]  # without what is blank at its end
