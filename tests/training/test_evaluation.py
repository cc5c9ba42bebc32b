import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.training.evaluate.experiments import (
    TableError,
    against_volunteers,
    agreement,
    opinion,
    read_predictions,
    read_ratings,
    read_suggestions,
)

TAGS = ["War", "Food", "Drama", "Robot"]


def test_equations_7_by_hand():
    predicted = {"t1": frozenset({"War", "Food"}), "t2": frozenset({"Drama"})}
    suggested = {
        ("t1", "ann"): frozenset({"War"}),  # precision 1/2, recall 1
        ("t1", "bob"): frozenset({"War", "Food", "Drama"}),  # 1, 2/3
        ("t2", "ann"): frozenset({"Robot"}),  # 0, 0
        ("t2", "bob"): frozenset({"Drama", "Robot"}),  # 1, 1/2
    }
    scores = against_volunteers(predicted, suggested)
    precision, recall = (0.5 + 1 + 0 + 1) / 4, (1 + 2 / 3 + 0 + 0.5) / 4
    assert scores.precision == pytest.approx(precision) and scores.recall == pytest.approx(recall)
    assert scores.f1 == pytest.approx(2 * precision * recall / (precision + recall)) and scores.pairs == 4


@given(
    st.dictionaries(st.tuples(st.sampled_from("xyz"), st.sampled_from("abcd")), st.frozensets(st.sampled_from(TAGS)))
)
def test_predicting_what_everybody_said_is_perfect_and_scores_stay_in_0_to_1(suggested):
    said = {trailer: tags for (trailer, _), tags in suggested.items()}
    if not suggested:
        return
    scores = against_volunteers(said, {pair: said[pair[0]] for pair in suggested})
    assert (scores.precision, scores.recall, scores.f1) == (1, 1, 1)
    scores = against_volunteers(said, suggested)
    assert 0 <= min(scores.precision, scores.recall, scores.f1) <= max(scores.precision, scores.recall) <= 1


def test_an_opinion_score_with_students_interval():
    found = opinion([7, 8, 9, 10])
    # t(0.975, 3) = 3.182446, standard error = 1.2909944 / 2
    assert found.mean == 8.5
    assert (found.low, found.high) == pytest.approx((8.5 - 3.182446 * 0.6454972, 8.5 + 3.182446 * 0.6454972), abs=1e-5)
    assert opinion([5, 5, 5]).low == opinion([5, 5, 5]).high == 5
    assert np.isnan(opinion([5]).low)


def test_agreement():
    alike = {(t, v): frozenset({"War"} if t == "1" else {"Food", "Drama"}) for t in "12" for v in "abc"}
    assert agreement(alike, TAGS) == {"alpha": 1, "pairwise_f1": 1, "volunteers": 3, "trailers": 2}
    random = np.random.default_rng(0)
    noise = {(str(t), v): frozenset(tag for tag in TAGS if random.random() < 0.5) for t in range(200) for v in "ab"}
    assert abs(agreement(noise, TAGS)["alpha"]) < 0.1
    # Krippendorff's alpha by hand: two volunteers, four decisions, one of them disputed: 1 - (2 / 8) / (30 / 56)
    one = {("t", "a"): frozenset({"War"}), ("t", "b"): frozenset({"War", "Food"})}
    assert agreement(one, TAGS)["alpha"] == pytest.approx(1 - (2 / 8) / (2 * 3 * 5 / (8 * 7)))
    assert agreement(one, TAGS)["pairwise_f1"] == pytest.approx(2 / 3)
    assert np.isnan(agreement({("t", "a"): frozenset({"War"})}, TAGS)["alpha"])


def test_tables(tmp_path):
    (tmp_path / "v.csv").write_text("trailer,volunteer,tag\nt,ann,War\nt,ann,Food\nt,bob,\n")
    assert read_suggestions(str(tmp_path / "v.csv")) == {("t", "ann"): {"War", "Food"}, ("t", "bob"): frozenset()}
    (tmp_path / "r.csv").write_text("trailer,volunteer,score\nt,ann,7\nu,ann,8.5\nt,bob,10\n")
    assert read_ratings(str(tmp_path / "r.csv"), 10) == {"t": [7, 10], "u": [8.5]}
    (tmp_path / "r.csv").write_text("trailer,volunteer,score\nt,ann,7\nu,ann,11\n")
    with pytest.raises(TableError, match="line 3: the score '11'"):
        read_ratings(str(tmp_path / "r.csv"), 10)
    (tmp_path / "v.csv").write_text("trailer,tag\nt,War\n")
    with pytest.raises(TableError, match="no column 'volunteer'"):
        read_suggestions(str(tmp_path / "v.csv"))
    with pytest.raises(TableError, match="cannot be read"):
        read_suggestions(str(tmp_path / "none.csv"))
    rows = [
        {"id": "1", "uri": "a/x.mp4", "title": "X", "short_list": [{"tag": "War"}]},
        {"id": "2", "uri": "b/x.mp4", "title": "Y\u2028y", "short_list": []},
    ]
    (tmp_path / "tags.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "tags.parquet")
    for name in ("tags.jsonl", "tags.parquet"):
        found = read_predictions(str(tmp_path / name))
        # x.mp4 would be either
        assert found == {"1": {"War"}, "X": {"War"}, "2": frozenset(), "Y\u2028y": frozenset()}
    (tmp_path / "tags.jsonl").write_text('{"id": "1", "uri": "x", "short_list": []}\n{"id": 1}\n')
    with pytest.raises(TableError, match="row 2: not a row of tags"):
        read_predictions(str(tmp_path / "tags.jsonl"))
