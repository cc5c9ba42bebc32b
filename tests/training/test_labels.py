import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from films import SHARED, needs_footage, picture, write_video
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.training.data.examples import Candidate, ReadLabelled, candidate, from_example, to_example
from movie_tags.training.data.frames import choose_samples, frames_of_spans, labelled_frames, to_jpeg
from movie_tags.training.data.labels import (
    FrameLabels,
    LabelError,
    LabelledPicture,
    LabelledVideo,
    Span,
    find_pictures,
    read_frames,
    read_labels,
    read_spans,
    seconds,
)
from movie_tags.training.data.vocabulary import TAGS, folder_name, tag_of_folder


def test_table_1_has_50_tags():
    assert len(TAGS) == len(set(TAGS)) == 50
    assert {"Beach/Sea", "College/Univ.", "Sci-fi", "Drama"} <= set(TAGS)


def test_folder_names_lead_back():
    assert all(tag_of_folder(folder_name(tag)) == tag for tag in TAGS)
    assert folder_name("College/Univ.") == "College_Univ"
    assert tag_of_folder("Time_travel") == "Time travel"


@pytest.mark.parametrize(
    ("text", "value"), [("12", 12), ("12.5", 12.5), ("1:02", 62), ("01:02:03", 3723), ("0:00:00.25", 0.25)]
)
def test_times(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "x", "1:60", "1:2:3:4", "-1", "nan", "inf", None, "1:-2"])
def test_times_that_are_none(text):
    with pytest.raises(ValueError, match="not a time"):
        seconds(text)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 15), st.sampled_from("abc")), max_size=6),
    st.integers(1, 40),
    st.booleans(),
)
def test_samples_of_a_shot_against_their_definition(rows, length, every):
    spans = [Span(start, start + n, tag) for start, n, tag in rows]
    chosen = choose_samples([(k, float(k)) for k in range(length)], spans, every)
    for k in range(length):
        holding = [span for span in spans if span.start_s <= k < span.end_s]
        if k in chosen:
            assert chosen[k] == tuple(sorted({span.tag for span in holding})) != ()
        if every:
            assert (k in chosen) == bool(holding)
    for span in spans:  # each span that meets the shot is represented, by one sample unless others ask for more
        inside = [k for k in range(length) if span.start_s <= k < span.end_s]
        assert not inside or any(k in chosen for k in inside)
    if not every:
        assert len(chosen) <= len(spans)


def test_frames_of_spans_of_a_film_whose_pictures_are_known(tmp_path):
    shots = [picture(seed) for seed in (1, 2, 3)]
    film = write_video(tmp_path / "f.mp4", [pixels for pixels in shots for _ in range(100)])  # three shots of 4 s
    video = LabelledVideo(str(film), (Span(0, 12, "War"), Span(5, 7, "Food"), Span(8.5, 8.9, "Drama")))
    found = list(frames_of_spans(video, 1, 0.5, 0.2, every=False))
    assert [(at, tags) for at, tags, _ in found] == [(1, ("War",)), (5, ("Food", "War")), (9, ("War",))]
    for (_, _, pixels), shown in zip(found, shots, strict=True):
        assert np.abs(pixels.astype(int) - shown).mean() < 12
    every = list(frames_of_spans(video, 1, 0.5, 0.2, every=True))
    assert [at for at, _, _ in every] == list(range(12))
    assert all(pixels is None for _, _, pixels in frames_of_spans(video, 1, 0.5, 24, every=True))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("uri,start,end\nf,0,1\n", "no column 'tag'"),
        ("uri,start,end,tag\nf,0,1,War\nf,5,4,War\n", "line 3: its end is not after its start"),
        ("uri,start,end,tag\nf,0,one,War\n", "line 2: 'one' is not a time"),
        ("uri,start,end,tag\nf,0,1,\n", "line 2: uri or tag is empty"),
        ("uri,start,end,tag\n", "no rows"),
    ],
)
def test_tables_of_spans_that_make_no_sense(tmp_path, text, complaint):
    path = tmp_path / "spans.csv"
    path.write_text(text)
    with pytest.raises(LabelError, match=complaint) as error:
        read_spans(str(path))
    assert str(path) in str(error.value)


def test_spans_are_gathered_by_video(tmp_path):
    path = tmp_path / "spans.csv"
    path.write_text("uri,start,end,tag\na.mp4,0:10,0:20,War\nb.mp4,0,1,Food\na.mp4,0,5,Food\n")
    assert read_spans(str(path)) == [
        LabelledVideo("a.mp4", (Span(0, 5, "Food"), Span(10, 20, "War"))),
        LabelledVideo("b.mp4", (Span(0, 1, "Food"),)),
    ]


def test_pictures_of_a_folder(tmp_path):
    names = ("Beach_Sea/one__1.jpg", "Beach_Sea/plain.png", "Time_travel/two__1.JPG", "stray.jpg", "War/notes.txt")
    for name in (*names, "_none/one__9.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(to_jpeg(picture(1)))
    (tmp_path / "War/moving.gif").write_bytes(b"GIF89a")
    found, passed_over = find_pictures(str(tmp_path))
    assert [(p.uri[len(str(tmp_path)) + 1 :], p.tags, p.source, p.complete) for p in found] == [
        ("Beach_Sea/one__1.jpg", ("Beach/Sea",), "one", False),
        ("Beach_Sea/plain.png", ("Beach/Sea",), "plain.png", False),
        ("Time_travel/two__1.JPG", ("Time travel",), "two", False),
        ("_none/one__9.jpg", (), "one", True),
    ]
    assert [(path.rpartition("/")[2], reason.split(";")[0]) for path, reason in passed_over] == [
        ("moving.gif", "is of a kind that cannot be read"),
        ("stray.jpg", "is not in a tag's folder (TAG/NAME.jpg)"),
    ]
    with pytest.raises(LabelError, match="no pictures of the form"):
        find_pictures(str(tmp_path / "War"))


def test_a_candidate_survives_its_example():
    item = Candidate("x.jpg", "ab", 2**64 - 1, "one", ("Beach/Sea", "été"), b"\x00\xff", ("War",), True)
    for complete, film in ((True, False), (False, True)):
        item = replace(item, complete=complete, film=film)
        back = from_example(to_example(item))
        assert (back, back.image) == (item, item.image)


def test_a_perceptual_hash_bears_scaling_but_not_another_picture():
    def scene(seed: int):
        coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
        return cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC)

    one, small, other = (
        candidate("x", to_jpeg(p), "s", ["War"]).hash
        for p in (scene(3), cv2.resize(scene(3), (160, 120), interpolation=cv2.INTER_AREA), scene(4))
    )
    assert (one ^ small).bit_count() <= 4 < (one ^ other).bit_count()
    assert candidate("x", b"no picture", "s", ["War"]) is None
    assert json.loads(json.dumps(one)) == one


def test_a_table_of_frames_in_either_form(tmp_path):
    csv, lines = tmp_path / "frames.csv", tmp_path / "frames.jsonl"
    csv.write_text("file,time_s,tags,maybe,film\na/b.mp4,1:02,War; Food,Drama,\nc.jpg,,,War,one\n/x/d.mp4,2,,,two\n")
    rows = [
        {"file": "a/b.mp4", "time_s": 62, "tags": ["War", "Food"], "maybe": ["Drama"], "card": False},
        {"file": "c.jpg", "film": "one", "time_s": 7, "tags": [], "maybe": ["War"]},
        {"file": "/x/d.mp4", "time_s": 2.0, "tags": [], "group": "two"},
    ]
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    expected = [
        LabelledPicture(f"{tmp_path}/c.jpg", (), "one", ("War",), True, True),
        LabelledVideo(f"{tmp_path}/a/b.mp4", (), (FrameLabels(62, ("Food", "War"), ("Drama",)),), ""),
        LabelledVideo("/x/d.mp4", (), (FrameLabels(2, ()),), "two"),
    ]
    assert read_labels(str(csv)) == read_labels(str(lines)) == expected


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("f.csv", "file,time_s\na.mp4,1\n", "no column 'tags'"),
        ("f.csv", "file,time_s,tags\n", "no rows"),
        ("f.csv", "file,time_s,tags\na.mp4,,War\n", "line 2: '' is not a time"),
        ("f.csv", "file,time_s,tags\n,1,War\n", "line 2: file is empty"),
        ("f.jsonl", '{"file": "a.mp4", "time_s": 1, "tags": ["War"]}\nnothing\n', "line 2: not an object of JSON"),
        ("f.jsonl", '{"file": "a.mp4", "time_s": 1, "tags": [3]}\n', "line 1: .* is not a list of tags"),
        ("f.jsonl", "[1]\n", "line 1: not an object with 'file'"),
    ],
)
def test_tables_of_frames_that_make_no_sense(tmp_path, name, text, complaint):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(LabelError, match=complaint) as error:
        read_frames(str(path))
    assert str(path) in str(error.value)


def test_labelled_frames_are_those_on_screen_at_their_times(tmp_path):
    shots = [picture(seed) for seed in (1, 2, 3)]
    film = write_video(tmp_path / "f.mp4", [pixels for pixels in shots for _ in range(50)])  # three shots of 2 s
    labels = tuple(FrameLabels(at, (), ()) for at in (0, 1.5, 2.25, 5.9, 40))
    found = dict(labelled_frames(LabelledVideo(str(film), (), labels), 1))
    assert found.keys() == set(labels) and found[labels[-1]] is None
    for label, shown in zip(labels, (0, 0, 1, 2), strict=False):
        assert np.abs(found[label].astype(int) - shots[shown]).mean() < 12
    video = LabelledVideo(str(film), (), (FrameLabels(3, ("War",), ("Food",)), FrameLabels(9, ())), "the film")
    read, dropped = ReadLabelled(1, 0.5, 0.2, False).process(video)
    assert (read.tags, read.maybe, read.complete, read.source) == (("War",), ("Food",), True, "the film")
    assert dropped.value == (f"{film}#t=9", "the video has no frame then")


@pytest.mark.parametrize("labels", ["spans", "frames"])
def test_a_film_that_ends_its_decoder_costs_itself_alone(harmful, tmp_path, labels):
    film = write_video(tmp_path / "f.mp4", [picture(seed) for seed in (1, 2, 3, 4) for _ in range(25)])
    bad = tmp_path / "leave-sampling.mp4"
    bad.symlink_to(film)
    marked = {"spans": (Span(0, 4, "War"),), "frames": tuple(FrameLabels(at, ("War",)) for at in range(4))}
    read = ReadLabelled(1, 0.5, 0.2, True)
    *_, dropped = read.process(LabelledVideo(str(bad), **{labels: marked[labels]}))
    assert dropped.value == (str(bad), "its decoder ended with status 7")
    found = list(read.process(LabelledVideo(str(film), **{labels: marked[labels]})))
    assert [item.tags for item in found] == [("War",)] * 4


@pytest.mark.parametrize(("pattern", "complaint"), [("(.+", "is no regular expression"), (".+?__", "has no group")])
def test_a_pattern_that_names_no_source_is_refused(tmp_path, pattern, complaint):
    with pytest.raises(LabelError, match=complaint):
        find_pictures(str(tmp_path), pattern)


def test_a_picture_whose_name_has_nothing_in_the_group_is_a_source_of_its_own(tmp_path):
    (tmp_path / "War").mkdir()
    (tmp_path / "War/1.jpg").write_bytes(to_jpeg(picture(1)))
    ((found,), _) = find_pictures(str(tmp_path), "(film.)?")
    assert found.source == "1.jpg"


@needs_footage
def test_the_shared_labels_are_read_as_they_are():
    frames = read_labels(str(SHARED / "frames/LABELS.jsonl"))
    videos = read_labels(str(SHARED / "videos/KEY_FRAMES.jsonl"))
    assert len(frames) > 700 and all(isinstance(item, LabelledPicture) and item.complete for item in frames)
    assert len({item.source for item in frames}) > 80
    assert sum(len(item.frames) for item in videos) == 545 and all(Path(item.uri).exists() for item in videos)
