"""Draft sampling against its definition, computed from a film decoded whole."""

import itertools
from fractions import Fraction

import av
import numpy as np
import pytest
from films import VIDEOS, needs_footage, picture, write_video
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reference import is_boundary

from movie_tags.pipeline.method import CODEC_KEY_FRAMES, Method, method_key
from movie_tags.transforms.shots.detector import rule_of
from movie_tags.transforms.shots.inside import ShotFinder, key_frame
from movie_tags.transforms.shots.stretches import close, join_all
from movie_tags.transforms.video.draft import Draft, DraftClock
from movie_tags.transforms.video.rgb import to_rgb
from movie_tags.transforms.video.samples import SegmentReader, read_samples
from movie_tags.transforms.video.screen import Tally
from movie_tags.transforms.video.segments import plan_segments

RULE = rule_of()
SLOW = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def definition(path, fps, max_gap):
    """Everything decoded; then [(ticks after the first frame, pixels)], and the ticks at which the film ends."""
    frames, keys, end = {}, [], 0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type = "NONE"
        for packet in container.demux(stream):
            if packet.size:
                end = max(end, packet.pts + packet.duration)
                if packet.is_keyframe:
                    keys.append(packet.pts)
            for frame in stream.codec_context.decode(packet if packet.size else None):
                frames[frame.pts] = to_rgb(frame)
        tick = stream.time_base
    origin, last = min(frames), max(frames)
    keys = sorted(keys)
    taken = {}
    for k in itertools.count():
        due = origin + k / (Fraction(fps) * tick)
        if due >= end:
            break
        begin = max(pts for pts in keys if pts <= due)
        after = min((pts for pts in keys if pts > due), default=last)
        short = (after - begin) * tick <= max_gap
        shown = begin if short else max(pts for pts in frames if pts <= due)
        taken[shown - origin] = frames[shown]
    return sorted(taken.items()), end - origin, tick


def defined_key_frames(path, fps, max_gap):
    """[(time, start and end of the shot, pixels)] of the shots among these pictures."""
    samples, end, tick = definition(path, fps, max_gap)
    starts = [0] + [i for i in range(1, len(samples)) if is_boundary(samples[i - 1][1], samples[i][1], 0.5)]
    found = []
    for i, after in zip(starts, [*starts[1:], None], strict=True):
        start, until = samples[i][0], end if after is None else samples[after][0]
        middle = (start + until - 1) // 2
        at, pixels = max((sample for sample in samples if sample[0] <= middle), key=lambda sample: sample[0])
        found.append((float(at * tick), float(start * tick), float(until * tick), pixels))
    return found


def read(path, fps, max_gap, length=None):
    segments = plan_segments(str(path), fps, length, Draft(max_gap, 0))
    return [(frame.index, frame.pixels) for s in segments for frame in SegmentReader(str(path), s)], segments


def key_frames(path, fps, max_gap, length, held=1 << 26):
    """As FindShots finds them, without Beam."""
    segments = plan_segments(str(path), fps, length, Draft(max_gap, 0))
    found, stretches = [], []
    for segment in segments:
        reader, finder = SegmentReader(str(path), segment), ShotFinder(segment, RULE, held)
        found += finder.key_frames(reader, reader.tally)
        stretches.append(finder.stretch)
    (whole,) = join_all(reversed(stretches), RULE)
    whole = close(whole)
    for shots in [[shot] for shot in whole.unread] if whole.seekable else [whole.unread] if whole.unread else []:
        for frame in read_samples(str(path), whole.clock, [shot.median for shot in shots], Tally()):
            (shot,) = [shot for shot in shots if shot.first <= frame.index <= shot.last]
            found.append(key_frame(whole.clock, shot, frame))
    assert whole.shots == len(found)
    return sorted(
        ((f.frame.time_s, f.frame.shot_start_s, f.frame.shot_end_s, f.pixels) for f in found), key=lambda f: f[0]
    ), whole


def assert_same(found, expected):
    assert [item[:-1] for item in found] == [item[:-1] for item in expected]
    assert all(np.array_equal(a[-1], b[-1]) for a, b in zip(found, expected, strict=True))


CODECS = [("mp4", "libx264"), ("mkv", "libx264"), ("mp4", "mpeg4"), ("ts", "mpeg2video")]


@pytest.mark.parametrize("suffix,codec", CODECS)
@pytest.mark.parametrize("fps", [1, 2.5])
@pytest.mark.parametrize("max_gap", [0, 1.5, 60])
def test_a_draft_is_its_definition_however_it_is_cut(tmp_path, suffix, codec, fps, max_gap):
    options = {"g": "60", "bf": "2"}
    path = write_video(tmp_path / f"a.{suffix}", [picture(k // 37) for k in range(300)], codec=codec, options=options)
    expected, _, _ = definition(path, fps, max_gap)
    for length in (None, 1, 3.3):
        found, _ = read(path, fps, max_gap, length)
        assert_same(found, expected)


@given(
    shots=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 90)), min_size=1, max_size=8),
    keyint=st.sampled_from([1, 12, 40, 120]),
    open_gop=st.booleans(),
    max_gap=st.sampled_from([0, 0.7, 2, 5]),
    length=st.sampled_from([0.5, 1, 2.7, 6]),
    held=st.sampled_from([1 << 26, 60_000]),
)
@settings(max_examples=25, **SLOW)
def test_shots_of_a_draft_are_the_same_however_it_is_cut(tmp_path, shots, keyint, open_gop, max_gap, length, held):
    pictures = [picture(seed) for seed, frames in shots for _ in range(frames)]
    options = {"g": str(keyint), "x264-params": f"open-gop={int(open_gop)}:scenecut=40"}
    path = write_video(tmp_path / "a.mkv", pictures, options=options)
    expected = defined_key_frames(path, 1, max_gap)
    for cut in (None, length):
        found, whole = key_frames(path, 1, max_gap, cut, held)
        assert_same(found, expected)
        assert whole.sampled == len(definition(path, 1, max_gap)[0])


@needs_footage
@pytest.mark.parametrize(
    "name",
    [
        "films/sintel_trailer_480p.mp4",
        "films/elephants_dream_72s_360p.ts",
        "clips/island_drone_koh_lipe2_hevc_37s.mp4",
        "clips/bear_catching_fish_240p_vp8.webm",
        "clips/bear_catching_fish_240p_theora.ogg",
        "clips/mixed_scenes_av1_allintra_1fps.ivf",
    ],
)
def test_drafts_of_real_footage_are_their_definition(name):
    expected = defined_key_frames(VIDEOS / name, 1, 4)
    for length in (None, 2, 15):
        assert_same(key_frames(VIDEOS / name, 1, 4, length)[0], expected)


def test_little_is_decoded(tmp_path):
    path = write_video(tmp_path / "a.mp4", [picture(k // 50) for k in range(500)], options={"g": "50"})
    reader = SegmentReader(str(path), plan_segments(str(path), 1, None, Draft(3, 0))[0])
    assert [frame.index * reader.segment.clock.time_base for frame in reader] == [2 * k for k in range(10)]
    assert reader.tally.decoded == 10
    assert reader.tally.end_s == 20


def test_of_many_key_frames_no_more_are_decoded_than_exact_sampling_takes(tmp_path):
    path = write_video(tmp_path / "a.mp4", [picture(k) for k in range(100)], options={"g": "1"})
    reader = SegmentReader(str(path), plan_segments(str(path), 1, None, Draft(3, 0))[0])
    exact = list(SegmentReader(str(path), plan_segments(str(path), 1)[0]))
    assert_same([(f.pixels,) for f in reader], [(f.pixels,) for f in exact])
    assert reader.tally.decoded == len(exact) == 4


def test_a_file_that_breaks_off_gives_what_it_has(tmp_path):
    whole = write_video(tmp_path / "a.mkv", [picture(k // 50) for k in range(500)], options={"g": "50"})
    frames, _ = read(whole, 1, 3)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    found, _ = read(cut, 1, 3)
    assert 2 <= len(found) < len(frames)
    assert_same(found, frames[: len(found)])


def test_a_draft_has_a_key_of_its_own_and_exact_sampling_the_one_it_had():
    exact, draft = Method(), Method(sampling=CODEC_KEY_FRAMES)
    assert method_key(exact, "model") == method_key(Method(max_key_frame_gap=7), "model")
    assert (
        len({method_key(m, "model") for m in (exact, draft, Method(sampling=CODEC_KEY_FRAMES, max_key_frame_gap=7))})
        == 3
    )


def test_numbers_of_a_draft_are_ticks():
    clock = DraftClock(100, Fraction(1, 600), Fraction(1), Fraction(4))
    assert clock.seconds(900) == 1.5
    assert clock.last_number(900, 2.0) == 1199


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_short_film_is_sampled_exactly(tmp_path, suffix):
    path = write_video(tmp_path / f"a.{suffix}", [picture(k // 50) for k in range(500)], options={"g": "200"})  # 20 s
    exact = plan_segments(str(path), 1)
    assert plan_segments(str(path), 1, None, Draft(60, 21)) == exact
    (draft,) = plan_segments(str(path), 1, None, Draft(60, 19))
    assert isinstance(draft.clock, DraftClock) and draft.clock.max_gap == 60
