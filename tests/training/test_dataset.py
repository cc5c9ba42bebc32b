import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.training.data.dataset import (
    SPLITS,
    DatasetError,
    Entry,
    order_tags,
    read_dataset,
    read_index,
    write_index,
)
from movie_tags.training.data.dataset_manifest import make_manifest, manifest_text
from movie_tags.training.data.examples import Candidate
from movie_tags.training.data.splitting import merge, near_duplicates, split_at_random, split_by_source
from movie_tags.training.data.vocabulary import TAGS

FEW_BITS = st.integers(0, 2**64 - 1)


@given(
    st.lists(FEW_BITS, min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 63), max_size=6)), max_size=14),
    st.integers(0, 8),
)
def test_near_duplicates_against_comparing_all_pairs(bases, changes, distance):
    hashes = list(bases)
    for base, bits in changes:  # flips of a few bits, so that many pairs lie just inside or outside the distance
        value = bases[base % len(bases)]
        for bit in bits:
            value ^= 1 << bit
        hashes.append(value)
    parent = list(range(len(hashes)))
    for _ in hashes:
        for i, a in enumerate(hashes):
            for j, b in enumerate(hashes):
                if (a ^ b).bit_count() <= distance:
                    parent[i] = parent[j] = min(parent[i], parent[j])
    assert near_duplicates(hashes, distance) == parent


def test_of_near_duplicates_one_is_kept_with_the_tags_of_all():
    items = [
        Candidate("b/2.jpg", "k2", 0b1, "s", ("Food",)),
        Candidate("a/1.jpg", "k1", 0b0, "s", ("War",)),
        Candidate("c/1.jpg", "k1", 0b0, "s", ("Drama",)),
        Candidate("z.jpg", "k9", 2**60 - 1, "t", ("Food",)),
    ]
    kept, same, near = merge(items, 4)
    assert [(item.id, item.tags) for item in kept] == [("a/1.jpg", ("Drama", "Food", "War")), ("z.jpg", ("Food",))]
    assert same == {"c/1.jpg": "a/1.jpg"}
    assert near == {"b/2.jpg": "a/1.jpg"}


def test_what_near_duplicates_know_together():
    def item(name, tags, maybe=(), complete=False):
        return Candidate(name, name, 0, "s", tags, b"", maybe, complete)

    (kept,), _, _ = merge([item("a", ("War",)), item("b", (), ("War", "Food"), True)])
    assert (kept.tags, kept.maybe, kept.complete) == (("War",), ("Food",), True)
    (kept,), _, _ = merge([item("a", ("War",)), item("b", (), (), True)])  # one of nothing that stands under a tag, too
    assert (kept.tags, kept.complete) == (("War",), False)
    both = [item("a", ("War", "Food"), (), True), item("b", ("War",), ("Drama",), True)]
    (kept,), _, _ = merge(both)  # two labellers of one picture: what both say applies, what one says may
    assert (kept.tags, kept.maybe, kept.complete) == (("War",), ("Drama", "Food"), True)


SOURCED = st.lists(
    st.tuples(st.sampled_from("abcdefghij"), st.sampled_from(["War", "Food", "Drama"])), min_size=1, max_size=80
)


@given(SOURCED)
def test_whole_sources_are_held_out_and_every_tag_can_be_learned(rows):
    items = [Candidate(str(i), str(i), 0, source, (tag,)) for i, (source, tag) in enumerate(rows)]
    chosen = split_by_source(items)
    assert set(chosen) == {source for source, _ in rows} and set(chosen.values()) <= set(SPLITS)
    sizes = Counter(chosen[source] for source, _ in rows)
    assert sizes["test"] <= 0.1 * len(rows) and sizes["validation"] <= 0.1 * len(rows)
    for tag in {tag for _, tag in rows}:
        mine = [chosen[source] for source, t in rows if t == tag]
        assert mine.count("train") >= len(mine) / 2


@given(SOURCED, SOURCED)
def test_settled_sources_stay_where_they_are(rows, more):
    def items(pairs):
        return [Candidate(str(i), str(i), 0, source, (tag,)) for i, (source, tag) in enumerate(pairs)]

    before = split_by_source(items(rows))
    after = split_by_source(items(rows + more), before)
    assert {source: after[source] for source in before} == before


def test_splitting_at_random_is_near_80_10_10():
    counts = Counter(split_at_random(f"key {i}") for i in range(20_000))
    assert [round(counts[split] / 20_000, 2) for split in SPLITS] == [0.8, 0.1, 0.1]


def test_tags_keep_an_earlier_order_then_table_1s_then_the_alphabets():
    assert order_tags({"War", "Zebra", "Food", "Ape", TAGS[0]}, ["War", "Gone"]) == [
        "War",
        TAGS[0],
        "Food",
        "Ape",
        "Zebra",
    ]


def test_an_index_comes_back(tmp_path):
    entries = [Entry("a", "k", "s", "train", ("War", "Été"), ("Food",), True), Entry("b", "l", "s", "test", ())]
    write_index(str(tmp_path / "index.jsonl"), entries)
    assert read_index(str(tmp_path / "index.jsonl")) == entries


def test_a_manifest_counts_and_says_what_was_dropped():
    entries = [Entry("a", "k", "s", "train", ("War", "Food")), Entry("b", "l", "t", "test", ("Food",))]
    manifest = make_manifest(entries, {"c": "a"}, {"d": "b"}, [("e.jpg", "is no picture")], {})
    assert manifest["pictures"] == {"train": 1, "validation": 0, "test": 1}
    assert manifest["tags"]["Food"] == {"train": 1, "validation": 0, "test": 1, "sources": 2}
    text = manifest_text(json.loads(json.dumps(manifest)))
    assert "| Food | 1 | 0 | 1 | 2 |" in text and "e.jpg: is no picture" in text and "d: like b" in text


def test_an_unfinished_data_set_is_refused(tmp_path):
    write_index(str(tmp_path / "index.jsonl"), [])
    with pytest.raises(DatasetError, match="no finished data set"):
        read_dataset(str(tmp_path))
