# ruff: noqa: F811
"""Each export read back with the library or the program that its users open it with."""

import base64
import csv as csv_files
import itertools
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import av
import browser
import duckdb
import imageio_ffmpeg
import opentimelineio as otio
import pandas as pd
import pytest
import webvtt
from exported import FORMULA, HOSTILE, RATES, SPANS, export, films, write_film  # noqa: F401
from google.cloud import videointelligence as vi
from hypothesis import given
from hypothesis import strategies as st
from result_folders import film, span, tag, write_tables

from movie_tags.pipeline.commands import main
from movie_tags.records import MODEL, PERSON, Film, Span, TagStrength
from movie_tags.report.exports import (
    FORMATS,
    Options,
    chapters,
    ffmetadata,
    in_folder,
    labelstudio,
    listed_spans,
    load,
    vtt,
)
from movie_tags.report.exports.csv import harmless
from movie_tags.results.film_tables import Results
from movie_tags.results.schema import columns
from movie_tags.training.data.labels import read_spans


def ffmpeg(*words):
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, words)], check=True)


# CSV


def test_csv_is_read_by_pandas_and_duckdb(films, tmp_path):
    export(films, "csv", tmp_path)
    table = pd.read_csv(tmp_path / "films.csv")
    for name, record, own in (
        ("films", Film, set()),
        ("tags", TagStrength, set()),
        ("spans", Span, {"start_s", "end_s"}),
    ):
        plain = {column.name for column in columns(record) if not column.many} - own
        assert plain <= set(pd.read_csv(tmp_path / f"{name}.csv").columns)
    assert list(table["title"]) == [HOSTILE, "'" + FORMULA, "pal.mp4", "gone.mp4"]
    assert table["tags"][0] == f"Beach/Sea; Children; {FORMULA}"
    tags = pd.read_csv(tmp_path / "tags.csv")
    assert list(tags["kept"][:4]) == [1, 1, 1, 0]
    seconds = duckdb.read_csv(str(tmp_path / "spans.csv")).aggregate('tag, sum("end" - start) AS s', "tag").fetchall()
    assert dict(seconds) == pytest.approx({"Beach/Sea": 20, "Children": 60, "'" + FORMULA: 32.08})


def test_no_cell_of_a_csv_is_a_formula(films, tmp_path):
    export(films, "csv", tmp_path)
    for path in tmp_path.glob("*.csv"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            assert not [cell for row in csv_files.reader(file) for cell in row if cell[:1] in "=+-@\t\r" and cell]
    assert [harmless(value) for value in (-1.5, 3, "-x", "a=b", "'s")] == [-1.5, 3, "'-x", "a=b", "'s"]


def test_spans_csv_is_a_data_set_to_train_on(films, tmp_path):
    export(films, "csv", tmp_path)
    video = read_spans(str(tmp_path / "spans.csv"))[0]
    assert video.uri == str(films / "ntsc.mp4")
    assert (video.spans[0].start_s, video.spans[0].end_s, video.spans[0].tag) == (2.0, 7.0, "Beach/Sea")


@given(st.sampled_from(["-intro.mp4", "'-intro.mp4", "''=a", "'s.mp4", "@a", "a-b.mp4"]), st.sampled_from("a-+'="))
def test_spans_csv_gives_back_films_and_tags_that_begin_like_formulas(tmp_path_factory, uri, begin):
    rows = [tuple(map(harmless, ("uri", "start", "end", "tag"))), (harmless(uri), 0, 1, harmless(begin + "x"))]
    path = tmp_path_factory.mktemp("spans") / "spans.csv"
    with path.open("w", newline="") as file:
        csv_files.writer(file).writerows(rows)
    (video,) = read_spans(str(path))
    assert (video.uri, video.spans[0].tag) == (uri, begin + "x")


# Chapters

spans = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 100), st.integers(0, 100), st.integers(1, 9)).map(
        lambda t: Span(t[0], min(t[1:3]) / 2, max(t[1:3]) / 2, t[3] / 10, t[3] / 10, 1)
    ),
    max_size=8,
)


@given(spans, st.integers(1, 60), st.sampled_from([0.0, 5.0, 30.0]))
def test_chapters_cover_the_film_without_gap_or_overlap(found, length, least):
    got = chapters.find_chapters(found, float(length), least)
    if not any(s.start_s < min(s.end_s, length) for s in found):
        assert got == ()
        return
    assert got[0].start_ms == 0 and got[-1].end_ms == length * 1000
    assert all(a.end_ms == b.start_ms for a, b in itertools.pairwise(got))
    assert len(got) == 1 or all(c.end_ms - c.start_ms >= least * 1000 for c in got)
    if not least:
        assert all(a.title != b.title for a, b in itertools.pairwise(got))
        for chapter in got:
            here = [s.mean_probability for s in found if s.start_s * 1000 <= chapter.start_ms < s.end_s * 1000]
            named = [
                s.mean_probability
                for s in found
                if s.tag == chapter.title and s.start_s * 1000 <= chapter.start_ms < s.end_s * 1000
            ]
            assert max(here, default=0) == max(named, default=0)


def test_chapters_are_cut_where_the_strongest_tag_changes():
    found = [Span("a", 0.0, 30.0, 0.5, 0.5, 1), Span("b", 20.0, 40.0, 0.9, 0.9, 1)]
    got = chapters.find_chapters(found, 60.0)
    assert [(c.start_ms, c.end_ms, c.title) for c in got] == [
        (0, 20_000, "a"),
        (20_000, 40_000, "b"),
        (40_000, 60_000, chapters.NO_TAG),
    ]


def test_a_chapter_that_a_person_gave_keeps_its_bounds():
    given = Span("Food", 2.0, 8.0, 1.0, 1.0, 0, PERSON)

    def got(*found):
        return [(c.start_ms, c.end_ms, c.title) for c in chapters.find_chapters(found, 10.0)]

    assert got(given) == [(0, 2000, chapters.NO_TAG), (2000, 8000, "Food"), (8000, 10_000, chapters.NO_TAG)]
    assert got(given, Span("War", 0.0, 10.0, 0.9, 0.9, 1))[1:] == [(2000, 8000, "Food"), (8000, 10_000, "War")]
    assert got(replace(given, by=MODEL)) == [(0, 10_000, "Food")]  # the shortest chapter is 5 s


def test_spans_end_with_the_film(tmp_path):
    rows = [span("a", "War", 8.0, 11.0), span("a", "War", 10.5, 11.0), span("b", "War", 8.0, 11.0)]
    films = [
        film("a", [tag("War", 1.0)], duration_s=10.01),
        film("b", [tag("War", 1.0)], duration_s=0.0),
    ]
    write_tables(tmp_path, tags=films, spans=rows)
    with Results(str(tmp_path)) as results:
        ends = [[s.end_s for s in listed_spans(results, one, Options())] for one in results.films()]
    assert ends == [[10.01], [11.0]]


def test_vtt_is_read_by_webvtt_and_by_ffmpeg(films, tmp_path):
    name = export(films, "vtt", tmp_path)["pal.mp4"]
    cues = webvtt.read(tmp_path / f"{name}.metadata.vtt")
    got = [(cue.start_in_seconds, json.loads(cue.text)["tag"]) for cue in cues]
    assert got == [(2, "Beach/Sea"), (5, "Children"), (12, FORMULA)]
    track = tmp_path / f"{name}.chapters.vtt"
    assert next(cue.text for cue in webvtt.read(track)) == "Beach/Sea"
    ffmpeg("-i", films / "pal.mp4", "-i", track, "-c", "copy", "-c:s", "mov_text", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.subtitles
    with av.open(str(track)) as container:
        first = next(packet for packet in container.demux() if packet.size)
        assert bytes(first) == b"Beach/Sea" and first.pts == 0


TRACK = """
const done = arguments[1], video = document.createElement("video"), track = document.createElement("track");
const fail = () => done("no track"), ends = (cue) => [cue.startTime, cue.endTime, cue.getCueAsHTML().textContent];
track.kind = "metadata"; track.src = "data:text/vtt;base64," + arguments[0];
track.onload = () => done([...track.track.cues].map(ends)); track.onerror = fail;
video.append(track); document.body.append(video); track.track.mode = "hidden";
"""


@pytest.mark.skipif(browser.why_not() is not None, reason=str(browser.why_not()))
def test_vtt_is_read_by_a_browser(tmp_path):
    """Any title comes out as the text it is, in a film of more than an hour."""
    titles = [HOSTILE, "a --> b", "&amp; <b>", "Beach/Sea"]
    cues = [chapters.Chapter(k * 1_000_000, (k + 1) * 1_000_000, title) for k, title in enumerate(titles)]
    text = vtt.as_text((c.start_ms, c.end_ms, vtt.cue_text(c.title)) for c in cues)
    with browser.opened() as driver:
        driver.get("data:text/html,<body>")
        found = driver.execute_async_script(TRACK, base64.b64encode(text.encode()).decode())
    assert found == [[c.start_ms / 1000, c.end_ms / 1000, " ".join(c.title.split())] for c in cues]


def test_ffmetadata_is_muxed_by_ffmpeg(films, tmp_path):
    name = export(films, "ffmetadata", tmp_path)["ntsc.mp4"]
    source, out = tmp_path / f"{name}.ffmetadata", tmp_path / "out.mp4"
    ffmpeg("-i", films / "ntsc.mp4", "-i", source, "-map_chapters", "1", "-codec", "copy", out)
    with av.open(str(out)) as container:
        found = [(float(c["start"] * c["time_base"]), c["metadata"]["title"]) for c in container.chapters()]
    with Results(str(films / "results")) as results:
        wanted = chapters.chapters_of(results, next(results.films()), Options())
    assert found == [(c.start_ms / 1000, c.title) for c in wanted]


@pytest.mark.parametrize("title", [HOSTILE, "a=b;c#d\\", "\\\\;", "[CHAPTER]", ";x"])
def test_any_title_passes_through_ffmetadata(films, tmp_path, title):
    source, out = tmp_path / "x.ffmetadata", tmp_path / "out.mkv"
    source.write_text(ffmetadata.as_text([chapters.Chapter(0, 5000, title), chapters.Chapter(5000, 9000, "next")]))
    ffmpeg("-i", films / "pal.mp4", "-i", source, "-map_chapters", "1", "-codec", "copy", out)
    with av.open(str(out)) as container:
        assert [c["metadata"]["title"].rstrip() for c in container.chapters()] == [" ".join(title.split()), "next"]


@pytest.fixture(scope="module")
def late(tmp_path_factory):
    """Results of a film whose pictures begin 6 s after its sound, as recorders make; they last 12 s."""
    folder = tmp_path_factory.mktemp("late")
    write_film(folder / "pictures.mp4", 25, 12)
    sound = ["-f", "lavfi", "-i", "anoisesrc=d=18", "-c:v", "copy", "-map", "0:v", "-map", "1:a"]
    ffmpeg("-itsoffset", 6, "-i", folder / "pictures.mp4", *sound, folder / "late.mp4")
    uri = str(folder / "late.mp4")
    row = film(uri, [tag("Animal", 1.0), tag("Food", 0.5)], duration_s=12.0, start_s=6.0)
    spans = [span(uri, "Animal", 0, 7, 0.9), span(uri, "Food", 7, 12)]
    write_tables(folder / "results", tags=[row], spans=spans)
    return folder


@pytest.mark.parametrize("suffix", ["chapters.vtt", "metadata.vtt"])
def test_web_players_are_told_times_of_their_own_clock(late, tmp_path, suffix):
    assert main(["export", str(late / "results"), "--to", "vtt", "--output", str(tmp_path)]) == 0
    cues = webvtt.read(tmp_path / f"late.{suffix}")
    assert [(cue.start_in_seconds, cue.end_in_seconds) for cue in cues] == [(6, 13), (13, 18)]


def test_chapters_lie_where_the_pictures_do(late, tmp_path):
    """In the film that ffmpeg has muxed: the chapter of its first picture begins with that picture."""
    assert main(["export", str(late / "results"), "--to", "ffmetadata", "--output", str(tmp_path)]) == 0
    chapters = ["-i", tmp_path / "late.ffmetadata", "-map_chapters", 1, "-c", "copy"]
    ffmpeg("-i", late / "late.mp4", *chapters, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        first = next(container.decode(container.streams.video[0]))
        begins = [float(c["start"] * c["time_base"]) for c in container.chapters()]
    assert begins == [0, pytest.approx(first.time), pytest.approx(first.time + 7)]


def test_label_studio_numbers_frames_by_a_player_s_clock_and_back(late, tmp_path):
    assert main(["export", str(late / "results"), "--to", "labelstudio", "--output", str(tmp_path)]) == 0
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    assert [r["value"]["ranges"] for r in task["predictions"][0]["result"]] == [
        [{"start": 151, "end": 325}],
        [{"start": 326, "end": 450}],
    ]
    (tmp_path / "project.json").write_text(json.dumps(annotated([task])))
    found = labelstudio.read(str(tmp_path / "project.json"))
    assert [(one.tag, one.start_s, one.end_s) for one in found] == [("Animal", 0, 7), ("Food", 7, 12)]


def test_editors_are_told_frames_of_the_picture(late, tmp_path):
    assert main(["export", str(late / "results"), "--to", "otio", "--output", str(tmp_path)]) == 0
    edl = (tmp_path / "late.edl").read_text()
    assert "00:00:00:00 00:00:12:00" in edl and "* LOC: 00:00:07:00 CYAN    FOOD, RELATIVE STRENGTH 0.50, 5 S\n" in edl


# Labels


def test_fiftyone_labels_have_the_documented_form(films, tmp_path):
    export(films, "fiftyone", tmp_path, status=3)
    media, labels = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("data", "labels"))
    assert set(media) == set(labels["labels"]) and not any("." in key for key in media)
    keys = {Path(uri).name: key for key, uri in media.items()}
    assert set(keys) == set(RATES)
    assert all(os.path.exists(uri) for uri in media.values())
    beach = labels["labels"][keys["pal.mp4"]][0]
    assert (beach["label"], beach["support"]) == ("Beach/Sea", [51, 175])  # from 1, both included
    assert set(labels["classes"]) == {"Beach/Sea", "Children", FORMULA}


def annotated(tasks):
    """What Label Studio exports when a person accepts each prediction as it is."""
    return [
        {
            "id": k,
            "data": task["data"],
            "annotations": [{"result": task["predictions"][0]["result"]}],
            "predictions": [],
        }
        for k, task in enumerate(tasks)
    ]


def test_label_studio_is_told_where_its_films_are(films, tmp_path, capsys):
    export(films, "labelstudio", tmp_path, status=3)
    said = capsys.readouterr().out
    root = Path(re.search(r"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=(\S+),", said).group(1))
    assert f"Local files for {films}" in said and root == films.parent
    for task in json.loads((tmp_path / "tasks.json").read_text()):
        address = urlsplit(task["data"]["video"])
        assert address.path == "/data/local-files/" and (root / parse_qs(address.query)["d"][0]).is_file()
        assert task["data"]["title"] == "pal" or not task["data"]["uri"].endswith("pal.mp4")


def test_label_studio_and_back(films, tmp_path, capsys):
    export(films, "labelstudio", tmp_path, status=3)
    config = ElementTree.parse(tmp_path / "config.xml").getroot()
    assert [label.get("value") for label in config.iter("Label")] == ["Beach/Sea", "Children", "Weak", FORMULA]
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    (tmp_path / "project.json").write_text(json.dumps(annotated(tasks)))
    back = tmp_path / "SPANS.csv"
    assert main(["export", str(tmp_path / "project.json"), "--from", "labelstudio", "--output", str(back)]) == 0
    videos = {Path(video.uri).name: video for video in read_spans(str(back))}
    assert set(videos) == set(RATES)
    for name, rate in RATES.items():
        assert videos[name].uri == str(films / name)
        kept = [row for row in SPANS if row[0] != "Weak"]
        for got, (wanted, start, end, _) in zip(videos[name].spans, kept, strict=True):
            assert got.tag == wanted
            assert 0 <= start - got.start_s < 1 / rate and 0 <= end - got.end_s < 1 / rate


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("not JSON", "is no JSON"),
        ("[]", "nobody has marked"),
        ('[{"video": "x", "tags": []}]', "not as .* made it"),
        ('[{"data": {"uri": "a", "fps": 25}, "annotations": [{"was_cancelled": true, "result": []}]}]', "nobody"),
    ],
)
def test_what_is_no_export_of_label_studio_is_said_in_words(tmp_path, content, reason):
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(labelstudio.LabelStudioError, match=reason):
        labelstudio.read(str(tmp_path / "p.json"))


def test_files_that_cannot_be_read_or_written_are_named(films, tmp_path, capsys):
    assert main(["export", str(tmp_path / "gone.json"), "--from", "labelstudio"]) == 2
    assert "gone.json: cannot be read: No such file" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["export", str(films / "results"), "--to", "csv", "--output", str(tmp_path / "file")]) == 2
    assert "file: cannot be written to: File exists" in capsys.readouterr().err


def test_video_intelligence_is_read_by_googles_own_types(films, tmp_path):
    name = export(films, "video-intelligence", tmp_path)["pal.mp4"]
    text = (tmp_path / f"{name}.json").read_text()
    (result,) = vi.AnnotateVideoResponse.from_json(text).annotation_results
    assert result.input_uri == str(films / "pal.mp4")
    labels = {label.entity.description: label for label in result.segment_label_annotations}
    assert list(labels) == ["Beach/Sea", "Children", FORMULA]
    (whole,) = labels["Beach/Sea"].segments
    assert whole.confidence == pytest.approx(0.9)
    assert whole.segment.end_time_offset.total_seconds() == 20.02
    shots = {label.entity.description: label.segments for label in result.shot_label_annotations}
    assert set(shots) == {"Beach/Sea", "Children"}  # of its listed tags alone
    assert [s.segment.start_time_offset.total_seconds() for s in shots["Children"]] == [2.0, 7.0]
    assert [s.confidence for s in shots["Children"]] == pytest.approx([0.25, 0.7])
    # What scripts for the REST interface walk through.
    first = json.loads(text)["annotationResults"][0]["segmentLabelAnnotations"][0]
    assert first["segments"][0]["segment"]["endTimeOffset"] == "20.020s"


def otio_tags(path):
    timeline = otio.adapters.read_from_file(str(path / "pal.otio"))
    return {marker.name for clip in timeline.find_clips() for marker in clip.markers}


def csv_tags(path):
    table = pd.read_csv(path / "tags.csv")
    of_film = table[table["id"].str.endswith("pal.mp4") & (table["kept"] == 1)]["tag"]
    spans = pd.read_csv(path / "spans.csv")
    assert set(of_film) == set(spans[spans["id"].str.endswith("pal.mp4")]["tag"])
    return {tag.removeprefix("'") for tag in of_film}


def fiftyone_tags(path):
    media, labels = (json.loads((path / f"{name}.json").read_text()) for name in ("data", "labels"))
    (key,) = (key for key, uri in media.items() if uri.endswith("pal.mp4"))
    return {found["label"] for found in labels["labels"][key]}


def label_studio_tags(path):
    tasks = json.loads((path / "tasks.json").read_text())
    task = next(task for task in tasks if task["data"]["uri"].endswith("pal.mp4"))
    return {tag for found in task["predictions"][0]["result"] for tag in found["value"]["timelinelabels"]}


def test_files_are_named_as_the_films_are_and_no_two_alike(tmp_path):
    uris = [
        "/a/one.mp4",
        "/a/two.mkv",
        "/a/two.ts",
        "/a/Three.mp4",
        "/b/three.mp4",
        "/c/v1.2 \u00fc?.mov",
        "/a/" + "x" * 250,
    ]
    write_tables(tmp_path / "r", tags=[film(uri) for uri in uris])
    with Results(str(tmp_path / "r")) as results:
        names = [name for _, name in in_folder(results)]
    assert names[:3] == ["one", "two.mkv", "two.ts"] and names[5:] == ["v1.2 \u00fc_", "x" * 180]
    assert [name.rpartition("-")[0] for name in names[3:5]] == ["Three", "three"]
    assert len({name.casefold() for name in names}) == len(names)


TAGS_BY = {
    "csv": csv_tags,
    "nfo": lambda path: {item.text for item in ElementTree.parse(path / "pal.nfo").findall("tag")},
    "vtt": lambda path: {json.loads(cue.text)["tag"] for cue in webvtt.read(path / "pal.metadata.vtt")},
    "otio": otio_tags,
    "resolve": lambda path: set(re.findall(r"\|M:(.*) \|D:", (path / "pal.edl").read_text())),
    "fiftyone": fiftyone_tags,
    "labelstudio": label_studio_tags,
    "video-intelligence": lambda path: {
        label.entity.description
        for label in vi.AnnotateVideoResponse.from_json((path / "pal.json").read_text())
        .annotation_results[0]
        .segment_label_annotations
    },
    "xmp": lambda path: {
        item.text for item in ElementTree.parse(path / "pal.mp4.xmp").iter() if item.tag.endswith("}li")
    },
}


@pytest.mark.parametrize("name", TAGS_BY)
@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ([], {"Beach/Sea", "Children", FORMULA}),
        (["--min-confidence", "0.05"], {"Beach/Sea", "Children", FORMULA, "Weak"}),
        (["--min-confidence", "0.5"], {"Beach/Sea", "Children"}),
    ],
)
def test_every_format_has_the_same_tags(films, tmp_path, name, more, wanted):
    main(["export", str(films / "results"), "--to", name, "--output", str(tmp_path), *more])
    assert TAGS_BY[name](tmp_path) == wanted


def test_every_format_is_listed_and_can_be_written_to_a_default_folder(films, capsys):
    for name in FORMATS:
        assert load(name).write
    assert main(["export", str(films / "results"), "--to", "csv"]) == 0
    assert (films / "results" / "exports" / "csv" / "films.csv").exists()
    with pytest.raises(SystemExit):
        main(["export", str(films / "results"), "--to", "docx"])
    assert main(["export", str(films), "--to", "csv"]) == 2
    assert "holds no results" in capsys.readouterr().err


def test_a_library_that_is_missing_is_named_with_the_extra(films, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "webvtt", None)
    monkeypatch.delitem(sys.modules, "movie_tags.report.exports.vtt", raising=False)
    assert main(["export", str(films / "results"), "--to", "vtt", "--output", str(tmp_path)]) == 2
    assert "--to vtt needs the package webvtt: pip install 'movie-tags[export]'" in capsys.readouterr().err
