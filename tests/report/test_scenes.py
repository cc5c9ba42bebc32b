# ruff: noqa: F811
"""Scenes found by a search, written for editors and read back with the libraries that editors use."""

import re

import av
import opentimelineio as otio
import pytest
from exported import RATES, films  # noqa: F401

from movie_tags.pipeline.commands import main
from movie_tags.records import Film
from movie_tags.report.exports.frame_rates import Frames
from movie_tags.report.exports.scene_timelines import edl_of
from movie_tags.report.exports.scenes import Scene, clock_name, names_of


def search(films, out, *words):
    return main(["search", str(films / "results"), "beach and children", "--scenes", "--output", str(out), *words])


def test_clips_are_the_scenes(films, tmp_path, capsys):
    """Beach/Sea from 2 to 7 s and Children from 5 to 20 s meet from 5 to 7 s; of one film the file is gone."""
    assert search(films, tmp_path, "--to", "clips") == 3
    said = capsys.readouterr()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"{name[:-4]}_00-00-05.000_00-00-07.000.mp4" for name in ("film.mp4", "ntsc.mp4", "pal.mp4")]
    for name in names:
        rate = RATES[name.partition("_")[0] + ".mp4"]
        with av.open(str(tmp_path / name)) as container:
            count = len(list(container.decode(video=0)))
        assert count == sum(5 <= k / rate < 7 for k in range(600))
    assert "gone.mp4" in said.err and re.search(r"\d clips are copies .* \d begin or end between", said.out)
    anew = re.search(r"encoded anew: (.*)\n", said.out)[1].split(", ")
    # What x264 encodes begins with its own settings, which copied packets of these films do not have at 5 s.
    assert anew == [name for name in names if b"x264 - core" in (tmp_path / name).read_bytes()]


def test_a_timeline_has_the_scenes_one_after_another(films, tmp_path):
    assert search(films, tmp_path, "--to", "otio") == 3
    timeline = otio.adapters.read_from_file(str(tmp_path / "scenes.otio"))
    clips = {clip.name: clip for clip in timeline.find_clips()}
    assert set(clips) == set(RATES) and timeline.name == "beach and children"
    for name, clip in clips.items():
        rate = float(RATES[name])
        assert clip.media_reference.target_url == (films / name).as_uri()
        assert clip.source_range.start_time.to_seconds() == pytest.approx(5, abs=1 / rate)
        assert clip.source_range.duration.to_seconds() == pytest.approx(2, abs=1 / rate)


def test_an_edl_for_each_rate(films, tmp_path):
    assert search(films, tmp_path, "--to", "edl") == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "scenes-23.976.edl",
        "scenes-25.edl",
        "scenes-29.97.edl",
    ]
    text = (tmp_path / "scenes-25.edl").read_text()
    assert "001  AX       V     C        00:00:05:00 00:00:07:00 00:00:00:00 00:00:02:00" in text
    (clip,) = otio.adapters.read_from_string(text, "cmx_3600", rate=25).find_clips()
    assert clip.name == "pal.mp4"
    assert (clip.source_range.start_time.value, clip.source_range.duration.value) == (125, 50)


def test_an_edl_counts_as_each_film_does():
    """By hand: at 29.97 frames a second frame 1800 is 00:01:00;02 in drop-frame, else 00:01:00:00."""
    drops = Frames(RATES["ntsc.mp4"], 9000, 64, 48, "00:00:00;00")
    counts = Frames(RATES["ntsc.mp4"], 9000, 64, 48, "01:00:00:00")
    events = [
        (Scene(Film(id=name, uri=f"/{name}"), 60.06, 61.061), frames)
        for name, frames in (("a.mp4", drops), ("b.mp4", counts))
    ]
    lines = edl_of(events, "x").splitlines()
    assert lines == [
        "TITLE: x",
        "FCM: DROP FRAME",
        "001  AX       V     C        00:01:00;02 00:01:01;02 00:00:00;00 00:00:01;00",
        "* FROM CLIP NAME: a.mp4",
        "FCM: NON-DROP FRAME",
        "002  AX       V     C        01:01:00:00 01:01:01:00 00:00:01;00 00:00:02;00",
        "* FROM CLIP NAME: b.mp4",
    ]


def test_times_in_names():
    expected = ["00-00-00.000", "00-01-12.480", "01-00-00.000"]
    assert [clock_name(seconds) for seconds in (0, 72.48, 3599.9996)] == expected


def test_no_two_clips_have_one_name():
    films = [Film(id=uri, uri=uri) for uri in ("/a/x.mp4", "/b/X.mkv", "/c/x.mp4", "/d/x.mp4")]
    names = [name for _, name in names_of(Scene(film, 1, 2) for film in films)]
    assert names == [f"{name}_00-00-01.000_00-00-02.000" for name in ("x", "X.mkv", "x.mp4", "x.mp4-2")]


@pytest.mark.parametrize("words", [["--to", "otio"], ["--scenes", "--to", "otio"], ["--output", "x"]])
def test_options_that_belong_together(films, words, capsys):
    assert main(["search", str(films / "results"), "beach", *words]) == 2
    assert "--output" in capsys.readouterr().err
