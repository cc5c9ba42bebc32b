# ruff: noqa: F811
"""Markers for editors, to the frame: read back with OpenTimelineIO, and against timecodes counted one by one."""

import subprocess
from fractions import Fraction

import imageio_ffmpeg
import opentimelineio as otio
import pytest
from exported import FILM as CINEMA
from exported import NTSC, RATES, export, films, write_film  # noqa: F401
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from result_folders import film, frame, span, tag, write_tables

from movie_tags.pipeline.commands import main
from movie_tags.records import Film
from movie_tags.report.exports import frame_rates as frames

DOUBLE = Fraction(60000, 1001)


def ffmpeg(*words):
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, words)], check=True)


def minutes(fps, drop):
    """How many frames each minute of a day has, and which number its first one has: drop-frame leaves out 0 and 1 (0 to
    3 at 60), but not in each tenth minute (SMPTE ST 12-1)."""
    skipped = [fps // 15 if drop and minute % 10 else 0 for minute in range(24 * 60)]
    return [(60 * fps - skip, skip) for skip in skipped]


def code_of(number, fps, drop):
    """The timecode of a frame, minute by minute."""
    for minute, (length, skipped) in enumerate(minutes(fps, drop)):
        if number < length:
            second, frame = divmod(number + skipped, fps)
            return f"{minute // 60:02}:{minute % 60:02}:{second:02}{';' if drop else ':'}{frame:02}"
        number -= length
    return code_of(number, fps, drop)  # the next day


def number_of(code, fps, drop):
    """The frame that has a timecode."""
    hours, minute, second, frame = map(int, code.replace(";", ":").split(":"))
    table = minutes(fps, drop)[: 60 * hours + minute + 1]
    return sum(length for length, _ in table[:-1]) + second * fps + frame - table[-1][1]


def markers_of(tmp_path, path, spans=(("Animal", 2.0, 7.0),), status=0, more=(), to="otio", **rows):
    """Export markers of one film: the text of each file by its suffix."""
    row = film(
        str(path), [tag(name, 1.0, confidence=0.85) for name in dict.fromkeys(name for name, _, _ in spans)], **rows
    )
    stretches = [span(str(path), *one) for one in spans]
    shots = [frame(str(path), t + 0.5, {"Animal": 0.5}, 1.0) for t in range(2, 7)]
    write_tables(tmp_path / "results", tags=[row], spans=stretches, key_frames=shots)
    out = tmp_path / f"out-{to}"
    assert main(["export", str(tmp_path / "results"), "--to", to, "--output", str(out), *more]) == status
    return {p.suffix[1:]: p.read_text() for p in out.glob(f"{path.stem}.*")}


@pytest.mark.parametrize("name", RATES)
def test_otio_markers_stand_on_exact_frames(films, tmp_path, name):
    base = export(films, "otio", tmp_path, status=3)[name]
    timeline = otio.adapters.read_from_file(str(tmp_path / f"{base}.otio"))
    (clip,) = timeline.find_clips()
    rate = RATES[name]
    assert Fraction(clip.source_range.duration.rate).limit_denominator(1001) == rate
    assert clip.source_range.duration.value == round(Fraction("20.02") * rate)
    beach = next(marker for marker in clip.markers if marker.name == "Beach/Sea")
    assert beach.marked_range.start_time.value == int(2 * rate)  # the frame on screen at 2 s
    assert beach.marked_range.end_time_exclusive().value == int(7 * rate)
    assert beach.comment == "90 % sure, 5 s" and beach.metadata["movie_tags"]["seconds"] == 8
    assert clip.media_reference.target_url == (films / name).as_uri()
    assert len(clip.markers) == 3  # no tag off the short list


def test_files_and_clips_are_named_as_an_editor_knows_them(films, tmp_path):
    export(films, "otio", tmp_path, status=3)
    timeline = otio.adapters.read_from_file(str(tmp_path / "pal.otio"))
    assert (timeline.name, next(iter(timeline.find_clips())).name) == ("pal", "pal.mp4")
    edl = (tmp_path / "pal.edl").read_text()
    assert edl.startswith("TITLE: pal\n") and "* FROM CLIP NAME:  pal.mp4\n" in edl


KINDS = [
    (NTSC, None),
    (NTSC, "01:00:00:00"),
    (NTSC, "01:00:00;00"),
    (NTSC, "00:59:50;02"),
    (DOUBLE, "01:00:00:00"),
    (DOUBLE, "09:59:55;04"),
    (CINEMA, "01:00:00:00"),
    (Fraction(24), "10:00:00:12"),
    (Fraction(25), "23:59:50:00"),  # over midnight
    (Fraction(50), "01:00:00:00"),
    (Fraction(60), "01:00:00:00"),
]


def test_a_timecode_in_matroska_counts_too(tmp_path):
    path, mov, mkv = tmp_path / "plain.mp4", tmp_path / "tc.mov", tmp_path / "tc.mkv"
    write_film(path, Fraction(25), 13)
    ffmpeg("-i", path, "-c", "copy", "-timecode", "01:00:00:00", mov)
    ffmpeg("-i", mov, "-map", "0:v", "-c", "copy", mkv)
    assert " 01:00:00:00 " in markers_of(tmp_path, mkv, duration_s=13.0)["edl"]


@pytest.mark.parametrize(("rate", "timecode"), KINDS)
def test_timecodes_count_as_the_film_s_own(tmp_path, rate, timecode):
    """Drop-frame only where the film is: in the EDL, in the markers for Resolve, and in FCPXML."""
    path, out = tmp_path / "plain.mp4", tmp_path / "tc.mov"
    write_film(path, rate, 13)
    ffmpeg("-i", path, "-c", "copy", *(["-timecode", timecode] if timecode else []), out)
    texts = markers_of(tmp_path, out, duration_s=13.0)
    resolve = markers_of(tmp_path, out, duration_s=13.0, to="resolve")["edl"]
    fps, drop = round(rate), bool(timecode and ";" in timecode)
    begin = number_of(timecode or "00:00:00:00", fps, drop)

    def code(frame):
        return code_of(begin + frame, fps, drop)

    whole = f"{code(0)} {code(round(13 * rate))}"
    assert f"{whole} {whole}\n" in texts["edl"] and f"* LOC: {code(int(2 * rate))} " in texts["edl"]
    assert f"\nFCM: {'' if drop else 'NON-'}DROP FRAME\n" in texts["edl"]
    mark = f"{code(int(2 * rate))} {code(int(2 * rate) + 1)}"
    length = int(7 * rate) - int(2 * rate)
    note = f"85 % sure, 5 s |C:ResolveColorBlue |M:Animal |D:{length}"
    assert f"001  001      V     C        {mark} {mark}  \n{note}\n" in resolve
    root = etree.fromstring(texts["fcpxml"].encode())
    formats = {item.get("tcFormat") for name in ("sequence", "clip") for item in root.iter(name)}
    assert formats == {"DF" if drop else "NDF"}
    (asset,), (video,), (mark,) = (list(root.iter(name)) for name in ("asset", "video", "marker"))
    times = [Fraction(item.get("start").rstrip("s")) for item in (asset, video, mark)] if begin else []
    assert times == [begin / rate, begin / rate, (begin + int(2 * rate)) / rate][: len(times)]


@pytest.mark.parametrize("name", RATES)
def test_the_edl_is_read_by_opentimelineio(films, tmp_path, name):
    names = export(films, "otio", tmp_path, status=3)
    timeline = otio.adapters.read_from_file(str(tmp_path / f"{names[name]}.edl"), rate=float(RATES[name]))
    (clip,) = timeline.find_clips()
    assert clip.source_range.duration.value == round(Fraction("20.02") * RATES[name])
    assert [marker.marked_range.start_time.value for marker in clip.markers] == [
        int(s * RATES[name]) for s in (2, 5, 12)
    ]


def test_fcpxml_has_the_true_length_of_a_frame(films, tmp_path):
    names = export(films, "otio", tmp_path, status=3)
    for name, rate in RATES.items():
        path = tmp_path / f"{names[name]}.fcpxml"
        root = etree.parse(path).getroot()
        (form,) = root.iter("format")
        assert form.get("frameDuration") == f"{rate.denominator}/{rate.numerator}s"
        assert (form.get("width"), form.get("height")) == ("64", "48")
        marks = {mark.get("value"): mark for mark in root.iter("marker")}
        start = Fraction(marks["Beach/Sea"].get("start").rstrip("s"))
        assert start == int(2 * rate) / rate
        assert start + Fraction(marks["Beach/Sea"].get("duration").rstrip("s")) == int(7 * rate) / rate
        assert marks["Beach/Sea"].get("note") == "90 % sure, 5 s"
        assert not [mark for mark in marks.values() if "completed" in mark.attrib]  # markers, no tasks
        collection = otio.adapters.read_from_file(str(path))
        assert [clip.name for clip in collection.find_children(descended_from_type=otio.schema.Clip)]


@pytest.mark.parametrize("sound", [False, True])
def test_fcpxml_says_whether_there_is_sound(tmp_path, sound):
    path, out = tmp_path / "plain.mp4", tmp_path / "a.mov"
    write_film(path, 25, 8)
    tone = ["-f", "lavfi", "-i", "anoisesrc=r=48000:d=8", "-ac", 2, "-c:a", "pcm_s16le", "-shortest"] if sound else []
    ffmpeg("-i", path, *tone, "-c:v", "copy", out)
    root = etree.fromstring(markers_of(tmp_path, out, duration_s=8.0)["fcpxml"].encode())
    (asset,) = root.iter("asset")
    said = [asset.get(name) for name in ("hasVideo", "hasAudio", "audioSources", "audioChannels", "audioRate")]
    assert said == (["1", "1", "1", "2", "48000"] if sound else ["1", "0", None, None, None])
    assert [(audio.get("ref"), audio.get("lane")) for audio in root.iter("audio")] == [(asset.get("id"), "-1")] * sound
    collection = otio.adapters.read_from_string(etree.tostring(root).decode(), "fcpx_xml")
    assert "a.mov" in {clip.name for clip in collection.find_children(descended_from_type=otio.schema.Clip)}


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (["-vf", "setsar=4/3"], ("85", "48")),
        (["-vf", "setsar=1/2"], ("32", "48")),
        (["-vf", "setsar=100/1"], ("64", "48")),  # nonsense
        (["-c", "copy", "-display_rotation", "90"], ("48", "64")),
    ],
)
def test_fcpxml_has_the_size_that_players_show(tmp_path, words, size):
    path, out = tmp_path / "plain.mp4", tmp_path / "a.mp4"
    write_film(path, 25, 8)
    if "-display_rotation" in words:
        ffmpeg(*words[2:], "-i", path, *words[:2], out)
    else:
        ffmpeg("-i", path, *words, out)
    (form,) = etree.fromstring(markers_of(tmp_path, out, duration_s=8.0)["fcpxml"].encode()).iter("format")
    assert (form.get("width"), form.get("height")) == size


def test_a_varying_rate_is_left_out_with_the_reason(tmp_path, capsys):
    """4 s at 25 frames a second, then 4 s at 12.5: nobody's frame 75 is everybody's."""
    path, out = tmp_path / "plain.mp4", tmp_path / "vfr.mkv"
    write_film(path, 25, 8)
    ffmpeg("-i", path, "-vf", "select='lt(t,4)+not(mod(n,2))'", "-fps_mode", "vfr", out)
    assert markers_of(tmp_path, out, duration_s=8.0, status=3) == {}
    said = capsys.readouterr().err
    assert "frame rate varies" in said and said.count(out.name) == 1  # the film is named once
    found = frames.frames_of(Film(id="x", uri=str(out), title="x", duration_s=8.0))
    assert (found.count, found.at(2.0), found.at(4.0), found.at(6.0), found.at(8.0)) == (150, 50, 100, 125, 150)


def test_time_stamps_that_a_container_rounds_are_constant(tmp_path):
    """Matroska has whole milliseconds."""
    path, out = tmp_path / "plain.mp4", tmp_path / "a.mkv"
    write_film(path, NTSC, 8)
    ffmpeg("-i", path, "-c", "copy", out)
    found = frames.frames_of(Film(id="x", uri=str(out), title="x", duration_s=8.0))
    assert (found.rate, found.count, found.times) == (NTSC, 240, ())


def test_an_elementary_stream_has_the_rate_that_it_states(tmp_path):
    path, out = tmp_path / "plain.mp4", tmp_path / "a.h264"
    write_film(path, 25, 8)
    ffmpeg("-i", path, "-c", "copy", "-bsf:v", "h264_mp4toannexb", out)
    found = frames.frames_of(Film(id="x", uri=str(out), title="x", duration_s=8.0))
    assert (found.rate, found.count) == (25, 200)


def test_recordings_that_are_joined_are_counted_on(tmp_path):
    """`cat a.ts b.ts`: the time stamps begin anew; players count on."""
    path, one = tmp_path / "plain.mp4", tmp_path / "one.ts"
    write_film(path, 25, 4)
    ffmpeg("-i", path, "-c", "copy", one)
    two = tmp_path / "two.ts"
    two.write_bytes(one.read_bytes() * 2)
    found = frames.frames_of(Film(id="x", uri=str(two), title="x", duration_s=8.0))
    assert (found.rate, found.count, found.at(6.0)) == (25, 200, 150)


def test_markers_say_how_their_ends_are_known(tmp_path):
    """To the frame, as --exact-cuts finds them: a dissolve has no frame that is the cut."""
    path = tmp_path / "a.mp4"
    write_film(path, 25, 8)
    begin, end = 50 / 25, 163 / 25
    shots = [frame(str(path), begin + 1, {"Animal": 0.5}, 2.0, cut="exact", shot_start_s=begin, shot_end_s=end)]
    shots.append(frame(str(path), end + 0.5, {}, 1.0, cut="approximate", shot_start_s=end, shot_end_s=8.0))
    rows = {"tags": [film(str(path), [tag("Animal", 1.0)], duration_s=8.0)], "key_frames": shots}
    write_tables(tmp_path / "results", **rows, spans=[span(str(path), "Animal", begin, end)])
    assert main(["export", str(tmp_path / "results"), "--to", "otio", "--output", str(tmp_path / "out")]) == 0
    (clip,) = otio.adapters.read_from_file(str(tmp_path / "out" / "a.otio")).find_clips()
    (marker,) = clip.markers
    assert (marker.marked_range.start_time.value, marker.marked_range.end_time_exclusive().value) == (50, 163)
    assert [marker.metadata["movie_tags"][name] for name in ("begin", "end")] == ["exact", "approximate"]


def test_unjoined_markers_are_shots(tmp_path):
    path = tmp_path / "a.mp4"
    write_film(path, 25, 8)
    joined, shots = (
        otio.adapters.read_from_string(markers_of(tmp_path, path, duration_s=8.0, more=more)["otio"])
        for more in ([], ["--unjoined"])
    )
    ranges = [
        [(m.marked_range.start_time.value, m.marked_range.duration.value) for c in t.find_clips() for m in c.markers]
        for t in (joined, shots)
    ]
    assert ranges == [[(50, 125)], [(25 * s, 25) for s in range(2, 7)]]


def test_a_film_that_is_gone_or_nowhere_is_named_with_the_remedy(films, tmp_path, capsys):
    export(films, "otio", tmp_path, status=3)
    assert "gone.mp4 is not there any more, and its frame rate is needed; put the film back" in capsys.readouterr().err
    write_tables(tmp_path / "r", tags=[film("a.mp4", [tag("Animal", 1.0)])], spans=[span("a.mp4", "Animal", 0, 2)])
    for name in ("otio", "fiftyone", "labelstudio"):
        assert main(["export", str(tmp_path / "r"), "--to", name]) == 3
        assert "a.mp4 is a relative address" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stated", "true"),
    [("2997/100", NTSC), ("23976/1000", CINEMA), ("24", 24), ("59.94", DOUBLE), ("8", 8), ("12.5", 12.5)],
)
def test_rates_that_containers_round_are_made_exact(stated, true):
    assert frames.exact(Fraction(stated)) == true


@given(st.fractions(1, 120), st.floats(0, 5000), st.floats(0, 5000))
def test_frames_of_a_stretch_lie_in_the_film(rate, start, end):
    found = frames.Frames(rate, 1000, 1, 1)
    first, after = found.between(min(start, end), max(start, end))
    assert 0 <= first < after <= 1000


@given(st.sampled_from([NTSC, CINEMA, DOUBLE, Fraction(25)]), st.integers(0, 500_000))
def test_a_frame_s_own_time_however_rounded_is_that_frame(rate, number):
    found = frames.Frames(rate, 10**6, 1, 1)
    assert {found.at(round(float(number / rate), digits)) for digits in (4, 6, 12)} == {number}


def test_frames_that_are_missing_where_a_stream_was_cut_change_no_number():
    times = [number / 25 for number in range(100)]
    assert frames.constant_rate([*times[:-2], times[-1]], [Fraction(25)]) == 25
    assert frames.constant_rate([*times[:50], *times[51:]], [Fraction(25)]) is None


@given(st.lists(st.integers(1, 200), min_size=2, max_size=50), st.integers(-5000, 5000))
def test_times_are_in_order_whatever_the_order_of_decoding(steps, begin):
    stamps = [begin / 100]
    for step in steps:
        stamps.append(stamps[-1] + step / 1000)
    mixed = [stamp for pair in zip(stamps[1::2], stamps[::2], strict=False) for stamp in pair]  # as with B-frames
    shown = frames.in_order(mixed)
    assert shown == pytest.approx([stamp - stamps[0] for stamp in stamps[: len(mixed)]])
    again = frames.in_order([*stamps, *stamps]) if stamps[-1] - stamps[0] > 2 * frames.BACK_S else None
    assert again is None or (len(again) == 2 * len(stamps) and again == sorted(again))
