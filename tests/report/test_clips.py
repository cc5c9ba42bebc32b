"""Clips against films whose every picture is known, read back with PyAV and ffmpeg."""

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
from films import VIDEOS, needs_footage, picture, write_video
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.report.exports.clips import COPIED, ENCODED, Part, decoding_times, to_copy, write_clip
from movie_tags.transforms.video.errors import VideoError
from movie_tags.transforms.video.samples import read_samples
from movie_tags.transforms.video.screen import Tally
from movie_tags.transforms.video.segments import plan_segments


def numbered(k):
    """Picture number k of a film, written on it in eight black and white columns."""
    bits = np.array([k >> i & 1 for i in range(8)], np.uint8) * 200 + 20
    return np.tile(np.repeat(bits, 16)[None, :, None], (96, 1, 3))


def shown(path):
    """(time in seconds, number of the picture in the film) of each frame of a clip, as a player shows it."""
    with av.open(str(path)) as container:
        frames = [(float(f.pts * f.time_base), f.to_ndarray(format="gray")) for f in container.decode(video=0)]
    columns = [(time, pixels.reshape(96, 8, 16).mean((0, 2)) > 120) for time, pixels in frames]
    return [(pytest.approx(time, abs=1e-3), int((bits << np.arange(8)).sum())) for time, bits in columns]


@pytest.mark.parametrize("suffix,codec", [("mp4", "libx264"), ("mkv", "libx264"), ("ts", "libx264"), ("mp4", "mpeg4")])
@pytest.mark.parametrize("start,end,how", [(25, 50, COPIED), (0, 25, COPIED), (25, 75, COPIED), (30, 50, ENCODED)])
def test_a_clip_has_its_very_frames(tmp_path, suffix, codec, start, end, how):
    bf = "0" if codec == "mpeg4" else "2"  # its key frames wait for the pictures before them
    options = {"g": "25", "bf": bf, "x264-params": "scenecut=0:open-gop=0", "crf": "5"}
    film = write_video(tmp_path / f"a.{suffix}", [numbered(k) for k in range(100)], codec=codec, options=options)
    clip = write_clip(str(film), str(tmp_path / "clip"), start / 25, end / 25)
    assert (clip.how, clip.frames) == (how, end - start)
    frames = shown(clip.path)
    assert [number for _, number in frames] == list(range(start, end))
    assert [time for time, _ in frames] == [k / 25 for k in range(end - start)]


def test_packets_are_copied_as_they_are(tmp_path):
    film = write_video(tmp_path / "a.mp4", [picture(k // 25) for k in range(100)], options={"g": "25"})
    clip = write_clip(str(film), str(tmp_path / "clip"), 1, 3)

    def packets(path):
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(video=0) if packet.size]

    assert clip.how == COPIED
    assert packets(clip.path) == packets(film)[25:75]


def test_what_hangs_on_pictures_outside_is_not_copied():
    """Against decoding orders written down by hand: (presentation, decoding, key frame)."""
    closed = [(0, -2, True), (3, -1, False), (1, 0, False), (2, 1, False), (4, 2, True), (7, 3, False), (5, 4, False)]
    assert to_copy(closed, Part(0, 4)) == [0, 3, 1, 2]
    assert to_copy(closed, Part(4, 8)) == [4, 7, 5]
    assert to_copy(closed, Part(0, 3)) == []  # 1 and 2 hang on 3
    assert to_copy(closed, Part(1, 4)) == []  # no key frame
    leading = [(4, 0, True), (2, 1, False), (3, 2, False), (5, 3, False)]
    assert to_copy(leading, Part(4, 6)) == [4, 5]  # what is shown before it is left out
    assert to_copy(leading, Part(2, 6)) == []
    assert to_copy([(pts, None, is_key) for pts, _, is_key in closed], Part(0, 4)) == [0, 3, 1, 2]


@given(st.permutations(range(8)), st.integers(1, 500))
def test_decoding_times_ascend_and_precede_presentation(order, tick):
    presented = [tick * k for k in order]
    decoded = decoding_times(presented)
    assert all(b > a for a, b in itertools.pairwise(decoded))
    assert all(dts <= pts for dts, pts in zip(decoded, presented, strict=True))
    assert any(dts == pts for dts, pts in zip(decoded, presented, strict=True))  # no later than need be


def write_with_sound(path, seconds=4):
    """A film of known pictures and a tone that is louder each second, in AAC."""
    with av.open(str(path), "w") as made:
        video = made.add_stream("libx264", rate=25, options={"g": "25", "bf": "0", "x264-params": "scenecut=0"})
        video.width, video.height, video.pix_fmt = 128, 96, "yuv420p"
        sound = made.add_stream("aac", rate=48000, layout="mono")
        for k in range(25 * seconds):
            made.mux(video.encode(av.VideoFrame.from_ndarray(numbered(k), "rgb24")))
            tone = np.sin(np.arange(1920) * 0.05) * (k // 25 + 1) / 5
            frame = av.AudioFrame.from_ndarray(tone.astype(np.float32)[None], "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, k * 1920, Fraction(1, 48000)
            made.mux(sound.encode(frame))
        for stream in (video, sound):
            made.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("start,how", [(1, COPIED), (1.2, ENCODED)])
def test_sound_comes_along_in_step(tmp_path, start, how):
    film = write_with_sound(tmp_path / "a.mp4")
    clip = write_clip(str(film), str(tmp_path / "clip"), start, 3)
    assert clip.how == how
    with av.open(clip.path) as container:
        (stream,) = container.streams.audio
        frames = list(container.decode(stream))
        assert frames[0].time == pytest.approx(0, abs=0.03)
        assert frames[-1].time == pytest.approx(3 - start, abs=0.06)
        loud = {round(f.time - start % 1, 2): float(np.abs(f.to_ndarray()).max()) for f in frames}
    half_a_second_in = min(loud, key=lambda time: abs(time - 0.5 + 2 * (start % 1)))
    assert loud[half_a_second_in] == pytest.approx(2 / 5, abs=0.06)


@needs_footage
@pytest.mark.parametrize("name", ["portrait_rotate_issue505.mp4", "displaymatrix_scrunch_white_zombie.mov"])
def test_pictures_stand_as_players_show_them(tmp_path, name):
    """Of a film that is stored turned; a stretch that does not begin with a key frame is encoded upright."""

    def sample(path, number):
        clock = plan_segments(str(path), 25)[0].clock
        return next(read_samples(str(path), clock, [number], Tally())).pixels.astype(int)

    clip = write_clip(str(VIDEOS / "odd" / name), str(tmp_path / "clip"), 0.2, 0.6)
    assert clip.how == ENCODED
    expected = sample(VIDEOS / "odd" / name, 6)
    found = sample(clip.path, 1)
    assert max(np.abs(np.subtract(found.shape, expected.shape))) <= 2  # encoders want even sizes
    height, width = np.minimum(found.shape, expected.shape)[:2]
    assert np.abs(found[:height, :width] - expected[:height, :width]).mean() < 8


def test_nothing_is_left_of_a_clip_that_fails(tmp_path):
    film = write_video(tmp_path / "a.mp4", [numbered(k) for k in range(50)])
    with pytest.raises(VideoError, match="shows no frame between 5 and 6 s"):
        write_clip(str(film), str(tmp_path / "clip"), 5, 6)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@needs_footage
@pytest.mark.parametrize("name", ["films/elephants_dream_72s_360p.ts", "clips/bear_catching_fish_240p_vp8.webm"])
def test_clips_of_real_films(tmp_path, name):
    clip = write_clip(str(VIDEOS / name), str(tmp_path / "clip"), 0.9, 2.9)
    with av.open(clip.path) as container:
        frames = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    assert len(frames) == clip.frames and frames[0] == pytest.approx(0, abs=0.05) and 1.8 <= frames[-1] < 2.05
    assert all(b > a for a, b in itertools.pairwise(frames))
