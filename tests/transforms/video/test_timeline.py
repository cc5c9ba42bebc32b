"""Clocks that start again, jump, or are not there: films made so on purpose, whose every second is known."""

import itertools
import re
import subprocess
from fractions import Fraction

import av
import imageio_ffmpeg
import numpy as np
import pytest
from films import VIDEOS, needs_footage, picture, write_video
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.records import Video
from movie_tags.transforms.shots.detector import rule_of
from movie_tags.transforms.shots.finder import _Close
from movie_tags.transforms.shots.inside import ShotFinder
from movie_tags.transforms.shots.stretches import close, join_all
from movie_tags.transforms.video.draft import Draft
from movie_tags.transforms.video.samples import SegmentReader, read_samples
from movie_tags.transforms.video.screen import Tally
from movie_tags.transforms.video.segments import plan_segments
from movie_tags.transforms.video.timeline import MAX_WARNINGS, Timeline

FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]
CODECS = {"mpg": "mpeg2video", "vob": "mpeg2video"}


def ffmpeg(*words):
    subprocess.run([*FFMPEG, *map(str, words)], check=True)


def part(folder, name, seeds, *words, sound=False):
    """A film of one second a picture, copied into the container that its name says, by further options of ffmpeg."""
    path, suffix = folder / name, name.partition(".")[2]
    pictures = [picture(seed) for seed in seeds for _ in range(25)]
    plain = write_video(folder / "plain.mkv", pictures, codec=CODECS.get(suffix, "libx264"), options={"bf": "2"})
    tone = ["-f", "lavfi", "-i", f"sine=d={len(seeds)}"] if sound else []
    ffmpeg("-i", plain, *tone, "-c:v", "copy", *words, path)
    return path


def joined(path, *parts):
    path.write_bytes(b"".join(one.read_bytes() for one in parts))
    return path


def read(path, length=None, draft=None):
    """(numbers, pictures, segments, tally) of all samples."""
    tally, segments, frames = Tally(), plan_segments(str(path), 1, length, draft), []
    for segment in segments:
        reader = SegmentReader(str(path), segment)
        frames += list(reader)
        tally.add(reader.tally)
    return [frame.index for frame in frames], [frame.pixels for frame in frames], segments, tally


def seeds_of(pictures, seeds):
    """By which seed each of some pictures was made."""
    return [min(seeds, key=lambda seed: np.abs(pixels.astype(int) - picture(seed)).mean()) for pixels in pictures]


SUFFIXES = {
    "ts": (),
    "mpg": (),
    "mkv": (),
    "live.mkv": ("-f", "matroska", "-live", "1"),
    "frag.mp4": ("-movflags", "+frag_keyframe+empty_moov+default_base_moof"),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("first,second", [((1, 2, 3), (4, 5, 6, 7, 8)), ((4, 5, 6, 7, 8), (1, 2, 3)), ((1, 2), (3, 4))])
def test_joined_recordings_are_seen_to_their_end(tmp_path, suffix, first, second):
    words = SUFFIXES[suffix]
    parts = [part(tmp_path, f"{k}.{suffix}", seeds, *words) for k, seeds in enumerate((first, second))]
    path = joined(tmp_path / f"joined.{suffix}", *parts)
    numbers, pictures, _, tally = read(path)
    lost = 1 if suffix == "frag.mp4" else 0  # of the second's first fragment FFmpeg decodes nothing
    slack = 1 if suffix == "mpg" else 0  # and takes the first's last picture for a frame later than it is
    seconds = len(first + second)
    assert numbers == list(range(len(numbers))) and seconds <= len(numbers) <= seconds + slack
    seen = [seed for seed, _ in itertools.groupby(seeds_of(pictures, range(1, 9)))]
    assert seen == [*first, *second[lost:]]
    assert tally.end_s == pytest.approx(seconds, abs=0.1)
    assert any("start again" in warning for warning in tally.warnings)
    cut = read(path, 1)
    assert cut[0] == numbers and all(np.array_equal(a, b) for a, b in zip(cut[1], pictures, strict=True))
    assert cut[3].warnings == tally.warnings


def test_shots_and_warnings_of_joined_recordings_reach_the_film(tmp_path):
    parts = [part(tmp_path, f"{k}.ts", seeds, sound=True) for k, seeds in enumerate([(1, 1, 2), (3, 3)])]
    path = joined(tmp_path / "joined.ts", *parts)
    (segment,) = plan_segments(str(path))
    finder, reader = ShotFinder(segment, rule_of()), SegmentReader(str(path), segment)
    found = list(finder.key_frames(reader, reader.tally))
    (whole,) = join_all([finder.stretch], rule_of())
    assert [item.frame.shot_start_s for item in found] == [0, 2, 3] and close(whole).end_s == pytest.approx(5, abs=0.1)
    assert len(whole.warnings) == 1
    again = read_samples(str(path), segment.clock, [1, 4], Tally())
    assert seeds_of([frame.pixels for frame in again], range(1, 4)) == [1, 3]


@pytest.mark.parametrize("codecs", [("mpeg2video", "libx264"), ("libx264", "mpeg2video")])
@pytest.mark.parametrize("offset", [0, 9])
def test_a_second_codec_in_one_stream_is_said_to_be_lost(tmp_path, codecs, offset):
    """Also where the second recording's time stamps go on from the first's."""
    parts = []
    for k, (codec, seeds) in enumerate(zip(codecs, [range(9), range(9, 17)], strict=True)):
        plain = write_video(tmp_path / f"{k}.mkv", [picture(seed) for seed in seeds for _ in range(25)], codec=codec)
        parts.append(tmp_path / f"{k}.ts")
        ffmpeg("-i", plain, "-c:v", "copy", "-output_ts_offset", k * offset, parts[-1])
    _, pictures, _, tally = read(joined(tmp_path / "joined.ts", *parts))
    assert seeds_of(pictures[:9], range(17)) == list(range(9))
    (lost,) = (warning for warning in tally.warnings if "could not be decoded" in warning)
    begin, seconds = map(int, re.search(r"from (\d+) s on, (\d+) s", lost).groups())
    assert begin in (8, 9) and begin + seconds in (16, 17, 18)
    assert not any("are lost" in warning for one in parts for warning in read(one)[3].warnings)


def test_many_joins_are_many_pictures_and_few_warnings(tmp_path):
    one = part(tmp_path, "one.ts", (1, 2))
    numbers, pictures, _, tally = read(joined(tmp_path / "joined.ts", *[one] * 6))
    assert len(numbers) == 12 and seeds_of(pictures, (1, 2)) == [1, 2] * 6
    assert len(tally.warnings) == MAX_WARNINGS


@pytest.mark.parametrize("draft", [None, Draft(60, 0)])
@pytest.mark.parametrize("pause", [30, 5 * 3600])
@pytest.mark.parametrize("sound", [True, False])
def test_a_paused_recorder_leaves_a_gap(tmp_path, pause, sound, draft):
    parts = [
        part(tmp_path, f"{k}.ts", seeds, "-output_ts_offset", k * pause, sound=sound)
        for k, seeds in enumerate([(1, 2, 3), (4, 5, 6)])
    ]
    numbers, pictures, segments, tally = read(joined(tmp_path / "paused.ts", *parts), draft=draft)
    assert [round(segments[0].clock.seconds(number)) for number in numbers] == [0, 1, 2, 3, 4, 5]
    assert seeds_of(pictures, range(1, 7)) == [1, 2, 3, 4, 5, 6]
    assert tally.end_s == pytest.approx(6, abs=0.2) and "jump ahead" in tally.warnings[0]


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_a_still_picture_is_no_gap(tmp_path, suffix):
    """In a transport stream only the sound tells the two apart."""
    times = [0, 1, 2, 16, 17]
    plain = write_video(tmp_path / "plain.mkv", [picture(k) for k in range(5)], times, options={"bf": "0"})
    path = tmp_path / f"still.{suffix}"
    ffmpeg("-i", plain, "-f", "lavfi", "-i", "sine=d=18", "-c:v", "copy", "-max_interleave_delta", 0, path)
    numbers, pictures, _, tally = read(path)
    assert numbers == list(range(18)) and seeds_of(pictures, range(5)) == [0, 1, *[2] * 14, 3, 4]
    assert tally.warnings == ()


@pytest.mark.parametrize("suffix,length", [("mkv", None), ("mkv", 1), ("mp4", None), ("mp4", 1), ("mp4", 3000)])
@pytest.mark.parametrize("draft", [None, Draft(60, 0)])
def test_a_jump_of_hours_costs_what_lies_beyond(tmp_path, suffix, length, draft):
    times = [*(Fraction(k, 5) for k in range(20)), *(7200 + Fraction(k, 5) for k in range(20))]
    path = write_video(tmp_path / f"a.{suffix}", [picture(k // 5) for k in range(40)], times, options={"g": "5"})
    numbers, pictures, segments, tally = read(path, length, draft)
    assert [round(segments[0].clock.seconds(number)) for number in numbers] == [0, 1, 2, 3]
    assert seeds_of(pictures, range(8)) == [0, 1, 2, 3]
    assert tally.end_s == pytest.approx(4, abs=0.3)
    assert len(tally.warnings) == 1 and "7,196 s" in tally.warnings[0] and "left out" in tally.warnings[0]


def test_a_long_still_picture_is_no_jump(tmp_path):
    times = [*range(3), 3000, 6000, 6001]
    path = write_video(tmp_path / "a.mp4", [picture(k) for k in range(6)], times, options={"g": "1"})
    for length in (None, 1000, 100):
        numbers, _, _, tally = read(path, length)
        assert numbers[-1] == 6001 and tally.warnings == ()


def test_a_clock_of_33_bits_runs_over(tmp_path):
    path = part(tmp_path, "a.ts", (1, 2, 3, 4), "-output_ts_offset", 2**33 / 90000 - 3)
    numbers, pictures, _, tally = read(path)
    assert numbers == [0, 1, 2, 3] and seeds_of(pictures, range(1, 5)) == [1, 2, 3, 4] and tally.warnings == ()


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("rate", [25, 30, Fraction(24000, 1001)])
@pytest.mark.parametrize("name", ["raw.bin", "raw.mp4"])
def test_streams_without_time_stamps_are_counted_by_their_rate(tmp_path, codec, rate, name):
    plain, path = tmp_path / "plain.mkv", tmp_path / name
    with av.open(str(plain), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"x265-params": "log-level=none", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for k in range(int(4 * rate)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(int((k + 1) / rate)), "rgb24")))
        container.mux(stream.encode(None))
    ffmpeg("-i", plain, "-c", "copy", "-f", {"libx264": "h264", "libx265": "hevc"}[codec], path)
    numbers, pictures, segments, tally = read(path)
    assert numbers[:4] == [0, 1, 2, 3] and seeds_of(pictures[:4], range(4)) == [0, 1, 2, 3]
    assert tally.end_s == pytest.approx(4, abs=0.1)
    assert "no time stamps" in segments[0].warnings[0]
    (again,) = read_samples(str(path), segments[0].clock, [2], Tally())
    assert np.array_equal(again.pixels, pictures[2])


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("late", [0, 6])
def test_where_the_video_begins_on_a_players_clock(tmp_path, suffix, late):
    plain = write_video(tmp_path / "plain.mp4", [picture(k // 25) for k in range(50)])
    path = tmp_path / f"late.{suffix}"
    ffmpeg("-f", "lavfi", "-i", "sine=d=9", "-itsoffset", late, "-i", plain, "-c:v", "copy", path)
    segments = plan_segments(str(path), 1, 1)
    assert [segment.start_s for segment in segments] == pytest.approx([late] * len(segments), abs=0.1)
    assert read(path)[0] == [0, 1]


@needs_footage
@pytest.mark.parametrize(
    "name,shots,start_s",
    [("hdr/hdr_pq.mp4", 3, 0), ("hdr/hdr_hlg.mp4", 3, 0), ("video-starts-late/video_starts_late.mp4", 3, 6)],
)
def test_shots_and_start_of_the_cases_of_people(name, shots, start_s):
    path = str(VIDEOS.parent / "people" / name)
    (segment,) = plan_segments(path)
    finder, reader = ShotFinder(segment, rule_of()), SegmentReader(path, segment)
    list(finder.key_frames(reader, reader.tally))
    (film,) = [item for item in _Close().process((Video("a", path), [finder.stretch])) if isinstance(item, tuple)]
    assert (film[1].shots, film[1].start_s) == (shots, start_s)


class Packet:
    """What the time line asks of a packet."""

    size, stream_index, time_base = 1, 0, Fraction(1, 100)

    def __init__(self, dts, pts, duration=4):
        self.dts, self.pts, self.duration = dts, pts, duration


def counted(packets, **more):
    timeline = Timeline(Packet.time_base, 4, **more)
    return [(packet.dts, packet.pts) for packet in timeline.count(packets, 0)], timeline


recordings = st.lists(
    st.tuples(st.integers(0, 2**33), st.lists(st.integers(1, 90), min_size=1, max_size=12)), min_size=1, max_size=5
)


@given(recordings)
def test_recordings_follow_one_another_without_gap_or_overlap(recordings):
    """Whatever clocks they begin with: each keeps its own gaps, and begins when the one before has ended."""
    packets, expected, end = [], [], None
    for begun, gaps in recordings:
        times = list(itertools.accumulate(gaps, initial=begun))
        before = packets[-1].dts if packets else None
        if before is not None and -10 <= times[0] - before <= 1000:  # no break can be told: as it is
            return
        packets += [Packet(t, t) for t in times]
        start = times[0] if end is None else end
        expected += [start + t - times[0] for t in times]
        end = max(expected) + 4
    found, timeline = counted(packets, in_one_piece=True, may_jump=True)
    assert [pts for _, pts in found] == expected
    assert len(timeline.warnings) == min(len(recordings) - 1, MAX_WARNINGS)


@given(st.lists(st.integers(1, 900), min_size=1, max_size=50), st.booleans(), st.booleans())
def test_clocks_that_go_on_are_left_alone(gaps, in_one_piece, may_jump):
    times = list(itertools.accumulate(gaps, initial=7))
    found, timeline = counted([Packet(t - 3, t) for t in times], in_one_piece=in_one_piece, may_jump=may_jump)
    assert found == [(t - 3, t) for t in times] and not timeline.warnings and not timeline.begins_anew


def test_one_damaged_time_stamp_moves_nothing_else():
    times = [0, 4, 8, 10**9, 16, 20]
    found, _ = counted([Packet(t, t) for t in times], in_one_piece=True, may_jump=True)
    assert [pts for _, pts in found] == [0, 4, 8, 12, 16, 20]


def test_decoding_times_never_go_back_at_a_join():
    second = [Packet(-8, 0), Packet(-4, 8), Packet(0, 4), Packet(4, 12)]  # pictures in another order than coded
    found, _ = counted([Packet(t, t) for t in (0, 4, 8)] + second, in_one_piece=True, may_jump=True)
    assert found[3:] == [(8, 12), (8, 20), (12, 16), (16, 24)]


def test_what_breaks_off_ends_and_is_told():
    def packets():
        yield from [Packet(0, 0), Packet(4, 4)]
        raise av.error.InvalidDataError(1, "broken")

    found, timeline = counted(packets())
    assert len(found) == 2 and timeline.broken


@needs_footage
@pytest.mark.parametrize("name,seconds", [("two_recordings.ts", 20), ("two_cells.vob", 20), ("short_then_long.ts", 14)])
def test_the_cases_of_people(name, seconds):
    numbers, _, _, tally = read(VIDEOS.parent / "people" / "clock-resets" / name)
    assert numbers == list(range(seconds)) and tally.end_s == pytest.approx(seconds)
