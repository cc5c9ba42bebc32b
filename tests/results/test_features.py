"""Features kept: what quantising costs, and files of them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from movie_tags.models.quantised import BLOCK, quantise, restore, restore_all
from movie_tags.records import KeyFrameFeatures
from movie_tags.results import features
from movie_tags.results.features import read

NUMBERS = st.floats(-100, 100, width=32)


@given(arrays.arrays(np.float32, st.integers(1, 2 * BLOCK + 3), elements=NUMBERS))
def test_a_vector_comes_back_within_half_a_step_of_its_square_root(vector):
    back = restore(quantise(vector))
    assert back.dtype == np.float32 and back.shape == vector.shape
    for begin in range(0, len(vector), BLOCK):
        own, again = vector[begin : begin + BLOCK], back[begin : begin + BLOCK]
        step = np.sqrt(np.abs(own).max()) / (255 if (vector < 0).any() else 511)
        root, root_again = (np.sign(x) * np.sqrt(np.abs(x)) for x in (own, again))
        assert np.abs(root - root_again).max() <= step * 0.51 + 1e-5


def test_what_is_no_vector_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        quantise(np.array([1.0, np.nan]))
    for data in (b"", b"x", quantise(np.ones(100))[:-30]):
        with pytest.raises(ValueError, match="no features"):
            restore(data)


def test_it_is_small():
    assert len(quantise(np.random.default_rng(0).random(2680))) <= 3072


def test_a_part_of_them_is_read_by_video(tmp_path):
    rows = [
        KeyFrameFeatures(float(t), quantise(np.full(5, t + 1.0)), id=id) for id in ("a", "b", "é") for t in range(3)
    ]
    for number, piece in enumerate((rows[:4], rows[4:])):
        table = pa.Table.from_pylist([vars(row) for row in piece], features.parquet_schema())
        pq.write_table(table, tmp_path / f"features-{number}.parquet", compression="zstd")
    assert list(read(str(tmp_path))) == rows
    assert list(read(str(tmp_path), {"b"})) == rows[3:6]


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, BLOCK + 9)), elements=NUMBERS))
def test_many_come_back_as_each_alone(vectors):
    vectors[0] = np.abs(vectors[0])  # rows of both kinds
    rows = [quantise(vector) for vector in vectors]
    assert np.array_equal(restore_all(rows), np.stack([restore(row) for row in rows]))


def test_rows_of_several_widths_are_refused():
    for rows in ([quantise(np.ones(9)), quantise(np.ones(10))], [quantise(np.ones(9)), b"x" * 20]):
        with pytest.raises(ValueError, match="no features"):
            restore_all(rows)
