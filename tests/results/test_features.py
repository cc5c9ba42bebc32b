"""Features kept: what quantising costs, and files of them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from movie_tags.models.quantised import BLOCK, products, quantise, restore, restore_all
from movie_tags.records import KeyFrameFeatures
from movie_tags.results.features import read
from movie_tags.results.schema import parquet_schema

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
        table = pa.Table.from_pylist([vars(row) for row in piece], parquet_schema(KeyFrameFeatures))
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


@given(
    arrays.arrays(np.float32, st.tuples(st.integers(1, 70), st.sampled_from([1, BLOCK, BLOCK + 9])), elements=NUMBERS),
    st.integers(0, 2**32),
    st.data(),
)
def test_products_of_quantised_vectors_are_those_of_the_restored(vectors, seed, data):
    vectors[::2] = np.abs(vectors[::2])  # rows of both kinds
    vectors[np.abs(vectors) < 1e-3] = 0
    end = data.draw(st.integers(1, vectors.shape[1]))
    columns = data.draw(st.none() | st.tuples(st.integers(0, end - 1), st.just(end)))
    rows = [quantise(vector) for vector in vectors]
    back = restore_all(rows).astype(float)[:, slice(*columns or (None,))]
    directions = np.random.default_rng(seed).standard_normal((back.shape[1], 3)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    lengths = np.linalg.norm(back, axis=1)[:, None]
    expected = np.divide(back @ directions, lengths, out=np.zeros((len(rows), 3)), where=lengths > 0)
    bytes_of = np.stack([np.frombuffer(row, np.uint8) for row in rows])
    assert products(bytes_of, directions, columns) == pytest.approx(expected, abs=2e-6)


def test_products_with_directions_of_another_width_are_refused():
    data, directions = np.frombuffer(quantise(np.ones(9)), np.uint8)[None], np.ones((9, 1), np.float32)
    for wrong in ((data, directions[1:]), (data, directions, (0, 8)), (data, directions, (1, 10))):
        with pytest.raises(ValueError, match="no features of that width"):
            products(*wrong)
    with pytest.raises(ValueError, match="no features"):
        products(data[:, :-1], directions)
