import itertools
import subprocess
from collections import namedtuple
from fractions import Fraction

import av
import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from films import VIDEOS, needs_footage, picture, write_video
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import sample as reference_sample

from movie_tags.transforms.video.errors import VideoError
from movie_tags.transforms.video.exact import SampleClock, mark_needed, on_screen
from movie_tags.transforms.video.rgb import to_rgb
from movie_tags.transforms.video.samples import SegmentReader, read_samples
from movie_tags.transforms.video.screen import Screen, Tally
from movie_tags.transforms.video.segments import Segment, plan_segments

Packet = namedtuple("Packet", "pts dts size")


def read(path, fps=1, segment_length=None):
    segments = plan_segments(str(path), fps, segment_length)
    frames = [frame for segment in segments for frame in SegmentReader(str(path), segment)]
    return [frame.index for frame in frames], [frame.pixels for frame in frames], segments


def assert_same(found, expected):
    assert len(found) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def looks_like(pixels, seed):
    return np.abs(pixels.astype(int) - picture(seed)).mean() < 12


def test_constant_rate_gives_the_frame_of_each_second(tmp_path):
    path = write_video(tmp_path / "a.mp4", [picture(k // 25) for k in range(100)])
    indices, frames, _ = read(path)
    assert indices == [0, 1, 2, 3]
    assert all(looks_like(frame, k) for k, frame in enumerate(frames))


def test_variable_rate_follows_presentation_times(tmp_path):
    times = [0, 0.3, 0.99, 1.01, 3.5, 3.9]
    path = write_video(tmp_path / "vfr.mp4", [picture(k) for k in range(6)], times)
    indices, frames, _ = read(path)
    assert indices[:4] == [0, 1, 2, 3]
    # at 0 s picture 0; at 1 s the one shown since 0.99; at 2 and 3 s the one since 1.01
    assert [looks_like(frames[k], seed) for k, seed in enumerate([0, 2, 3, 3])] == [True] * 4


def test_time_counts_from_the_first_frame(tmp_path):
    times = [Fraction(k, 5) + 7 for k in range(15)]
    path = write_video(tmp_path / "late.mkv", [picture(k // 5) for k in range(15)], times)
    indices, frames, _ = read(path)
    assert indices == [0, 1, 2]
    assert all(looks_like(frame, k) for k, frame in enumerate(frames))


def test_a_still_last_frame_is_seen(tmp_path):
    assert read(write_video(tmp_path / "one.mp4", [picture(3)]))[0] == [0]


@pytest.mark.parametrize(
    "suffix,codec", [("mp4", "libx264"), ("mkv", "libx264"), ("mp4", "mpeg4"), ("ts", "mpeg2video")]
)
@pytest.mark.parametrize("fps", [1, 2.5])
def test_cutting_changes_nothing(tmp_path, suffix, codec, fps):
    options = {"g": "40", "bf": "2"}
    path = write_video(tmp_path / f"a.{suffix}", [picture(k // 7) for k in range(300)], codec=codec, options=options)
    indices, whole, _ = read(path, fps)
    assert_same(whole, reference_sample(path, fps))
    assert indices == list(range(len(whole)))
    for length in (1, 3.3):
        cut_indices, cut, segments = read(path, fps, length)
        assert cut_indices == indices
        assert_same(cut, whole)
        assert len(segments) > 2 or suffix == "ts"


def test_single_samples_are_the_same_frames(tmp_path):
    path = write_video(tmp_path / "a.mp4", [picture(k // 7) for k in range(300)], options={"g": "90"})
    _, whole, segments = read(path, 1, 3)
    clock = segments[0].clock
    for k in range(len(whole)):
        (frame,) = read_samples(str(path), clock, [k], Tally())
        assert frame.index == k and np.array_equal(frame.pixels, whole[k])
    assert list(read_samples(str(path), clock, [len(whole)], Tally())) == []


@pytest.mark.parametrize("suffix,codec", [("mp4", "libx264"), ("ts", "mpeg2video")])
def test_several_samples_are_read_in_one_pass(tmp_path, suffix, codec):
    path = write_video(tmp_path / f"a.{suffix}", [picture(k // 7) for k in range(300)], codec=codec)
    _, whole, segments = read(path)
    tally = Tally()
    found = list(read_samples(str(path), segments[0].clock, [9, 2, 5, 99], tally))
    assert [frame.index for frame in found] == [2, 5, 9]
    assert_same([frame.pixels for frame in found], [whole[k] for k in (2, 5, 9)])
    assert tally.decoded <= 300


@pytest.mark.parametrize("fps,length", [(1, 1), (0.1, 2), (0.25, 1.5)])
def test_a_cut_film_decodes_hardly_more_than_an_uncut_one(tmp_path, fps, length):
    path = write_video(tmp_path / "a.mp4", [picture(k // 9) for k in range(512)], options={"g": "25", "bf": "2"})

    def decoded(segment_length):
        readers = [SegmentReader(str(path), segment) for segment in plan_segments(str(path), fps, segment_length)]
        frames = [frame.index for reader in readers for frame in reader]
        return frames, sum(reader.tally.decoded for reader in readers), max(reader.tally.end_s for reader in readers)

    whole, uncut, end = decoded(None)
    cut, parts, cut_end = decoded(length)
    assert cut == whole and cut_end == end
    # A segment decodes until a frame of the next is out of the decoder: those that are in it are a few.
    assert parts <= uncut + 8 * len(plan_segments(str(path), fps, length))


def test_a_last_segment_without_a_sample_costs_itself_alone(tmp_path):
    # Key frames at 0, 4.2 s; the last segment is 0.6 s long and no sample falls due in it.
    path = write_video(
        tmp_path / "a.mp4",
        [picture(k // 9) for k in range(120)],
        options={"g": "105", "sc_threshold": "0", "keyint_min": "105"},
    )
    segments = plan_segments(str(path), 0.2, 4)
    assert len(segments) == 2
    last = SegmentReader(str(path), segments[1])
    assert list(last) == []
    assert last.tally.decoded <= 15 and last.tally.end_s == pytest.approx(4.8)


def test_what_cannot_be_decoded_from_a_segments_start_is_looked_for_before_it(tmp_path):
    path = write_video(
        tmp_path / "a.mkv", [picture(k // 9) for k in range(1000)], codec="mpeg4", options={"g": "250", "bf": "0"}
    )
    segments = plan_segments(str(path), 1, 9)
    first, second = segments[0], segments[1]
    broken = Segment(1, 2, second.clock, first.clock.origin + 1, None, second.seek, True)  # no such access point
    reader = SegmentReader(str(path), broken)
    whole = read(path)
    assert [frame.index for frame in reader] == whole[0][1:]


@pytest.mark.parametrize("ahead", [10**9, 10**15])
@pytest.mark.timeout(60)
def test_a_picture_far_ahead_is_left_out_and_no_loop_runs_over_the_leap(ahead):
    """Billions of samples ahead: what a damaged file states."""
    clock = SampleClock(0, Fraction(1, 1000), Fraction(1))
    times = [0, 1000, 2000, 2000 + ahead * 1000, 3000, 4000]
    packets = [Packet(t, t, 1) for t in times]
    marked = list(mark_needed(packets, clock, 0))
    assert [packet for packet, _ in marked] == packets
    assert all(needed for packet, needed in marked if packet.pts in (0, 1000, 3000, 4000))
    frames = [(t, Shown(t, 1000)) for t in times]
    screen = Screen(clock, Tally())
    assert [k for k, _ in on_screen(screen.watch(frames), clock, 0, None)] == [0, 1, 2, 3, 4]
    assert screen.tally.end_s == 5 and "jump ahead" in screen.warning
    assert len(list(on_screen(frames[:3], clock, 0, times[3]))) < 4000


@needs_footage
@pytest.mark.timeout(120)
def test_a_file_with_a_time_stamp_far_ahead_comes_to_an_end():
    path = VIDEOS / "hostile" / "far_timestamp.ivf"
    assert len(read(path)[0]) < 100


@needs_footage
@pytest.mark.parametrize(
    "name",
    [
        "films/compiled_mixed_single_shots_known_cuts.mp4",
        "films/music_video_drama_hevc_720p_first60s.ts",
        "clips/island_drone_koh_lipe2_hevc_37s.mp4",
        "clips/bear_catching_fish_240p_vp8.webm",
        "odd/yuv444_decodes_partly_green_cockatoo.mp4",
        "odd/neg_ctts_1fps_704x576.mp4",
        "odd/fragment_overlap_bbb.mp4",
        "odd/portrait_rotate_issue505.mp4",
        "odd/resolution_changes_midstream_vp8.webm",
    ],
)
def test_real_footage_is_sampled_as_the_reference_does(name):
    expected = reference_sample(VIDEOS / name)
    assert_same(read(VIDEOS / name)[1], expected)
    assert_same(read(VIDEOS / name, 1, 2)[1], expected)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_honoured_as_ffmpeg_does(tmp_path, degrees):
    level, turned, shown = (str(tmp_path / name) for name in ("level.mp4", "turned.mp4", "shown.png"))
    write_video(level, [picture(4)] * 30)
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error"]
    subprocess.run([*ffmpeg, "-display_rotation", str(degrees), "-i", level, "-c", "copy", turned], check=True)
    subprocess.run([*ffmpeg, "-i", turned, "-frames:v", "1", shown], check=True)
    expected = cv2.cvtColor(cv2.imread(shown), cv2.COLOR_BGR2RGB)
    found = read(turned)[1][0]
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 5


def test_large_frames_are_shrunk_by_area(tmp_path):
    big = np.kron(picture(1), np.ones((8, 8, 1), np.uint8))
    _, (frame, *_), _ = read(write_video(tmp_path / "big.mp4", [big] * 3))
    assert frame.shape == (360, 480, 3)


BROKEN = {
    "empty.mp4": (b"", "empty"),
    "text.mp4": (b"this is no film\n" * 100, "not a video"),
    "list.m3u8": (b"#EXTM3U\n#EXTINF:10,\nother.ts\n#EXT-X-ENDLIST\n", "playlist|not a video"),
    "list.ffconcat": (b"ffconcat version 1.0\nfile other.ts\n", "playlist|not a video"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_video_says_so(tmp_path, name):
    write_video(tmp_path / "other.ts", [picture(0)] * 30, codec="mpeg2video")
    data, reason = BROKEN[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(VideoError, match=reason):
        plan_segments(str(tmp_path / name))


def test_missing_file_says_so(tmp_path):
    with pytest.raises(VideoError, match="No such file"):
        plan_segments(str(tmp_path / "nowhere.mp4"))


def test_sound_alone_says_so(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="no video stream"):
        plan_segments(str(path))


def test_truncated_file_gives_what_it_has(tmp_path):
    whole = write_video(tmp_path / "a.mkv", [picture(k // 5) for k in range(250)])
    frames = read(whole)[1]
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    found = read(cut)[1]
    assert 2 <= len(found) < len(frames)
    assert_same(found, frames[: len(found)])


class Shown(namedtuple("Shown", "name duration")):
    pass


@given(
    gaps=st.lists(st.integers(1, 40), min_size=1, max_size=40),
    fps=st.sampled_from([Fraction(1), Fraction(3), Fraction(1, 2), Fraction(24000, 1001)]),
    duration=st.integers(0, 60),
)
def test_on_screen_is_the_definition(gaps, fps, duration):
    times = list(itertools.accumulate(gaps))
    clock = SampleClock(times[0], Fraction(1, 10), fps)
    frames = [(time, Shown(i, duration)) for i, time in enumerate(times)]
    found = [(k, shown.name) for k, shown in on_screen(frames, clock, 0, None)]
    expected = []
    for k in itertools.count():
        if clock.due(k) > times[-1]:
            if clock.due(k) < times[-1] + duration:
                expected.append((k, len(times) - 1))
            break
        expected.append((k, max(i for i, time in enumerate(times) if time <= clock.due(k))))
    assert found == expected


@given(st.lists(st.tuples(st.integers(1, 9), st.permutations(range(4))), min_size=1, max_size=15), st.booleans())
@settings(max_examples=200)
def test_marking_never_leaves_out_a_sample(groups, times_missing):
    """Groups of four pictures, each decoded in some order; decoding times are as late as presentation allows."""
    pts, at = [], 0
    for gap, order in groups:
        pts += [at + (i + 1) * gap for i in order]
        at += 4 * gap
    dts = list(itertools.accumulate(reversed(pts), min))[::-1]
    packets = [
        Packet(p, None if times_missing and i % 5 == 4 else d, 1) for i, (p, d) in enumerate(zip(pts, dts, strict=True))
    ]
    clock = SampleClock(min(pts), Fraction(1, 6), Fraction(1))
    marked = list(mark_needed(packets, clock, 0))
    assert [packet for packet, _ in marked] == packets
    needed = {packet.pts for packet, is_needed in marked if is_needed}
    k = 0
    while clock.due(k) <= max(pts):
        assert max(p for p in pts if p <= clock.due(k)) in needed
        k += 1


def test_marking_leaves_out_most_pictures():
    packets = [Packet(p, p, 1) for p in range(1000)]
    marked = list(mark_needed(packets, SampleClock(0, Fraction(1, 25), Fraction(1)), 0))
    assert sum(needed for _, needed in marked) < 100


def test_to_rgb_keeps_small_frames():
    frame = av.VideoFrame.from_ndarray(picture(5), "rgb24")
    assert np.array_equal(to_rgb(frame), picture(5))
