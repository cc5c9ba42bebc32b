"""Pictures as a player shows them, against FFmpeg's own filters and films made oddly on purpose."""

import subprocess
from fractions import Fraction

import av
import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from films import VIDEOS, needs_footage, picture, write_video
from hypothesis import given
from hypothesis import strategies as st

from movie_tags.transforms.video import colour
from movie_tags.transforms.video.fields import is_combed, one_field
from movie_tags.transforms.video.rgb import ANALYSIS_SHORT_SIDE, shown_size, to_rgb
from movie_tags.transforms.video.samples import SegmentReader
from movie_tags.transforms.video.segments import plan_segments

FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error"]


def first_picture(path):
    (segment, *_) = plan_segments(str(path))
    return next(iter(SegmentReader(str(path), segment))).pixels


def ffmpeg(*words):
    return subprocess.run([*FFMPEG, *map(str, words)], check=True, capture_output=True).stdout


def shown_by_ffmpeg(path, folder, *filters):
    shown = str(folder / "shown.png")
    ffmpeg("-i", path, "-frames:v", "1", *(["-vf", ",".join(filters)] if filters else []), "-y", shown)
    return cv2.cvtColor(cv2.imread(shown), cv2.COLOR_BGR2RGB)


def assert_alike(found, expected, apart=5):
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < apart


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("flips", [(), ("-display_hflip",), ("-display_vflip",), ("-display_hflip", "-display_vflip")])
def test_display_matrices_are_honoured_as_ffmpeg_does(tmp_path, degrees, flips):
    level, turned = tmp_path / "level.mp4", tmp_path / "turned.mp4"
    write_video(level, [picture(4)] * 3)
    ffmpeg("-display_rotation", degrees, *flips, "-i", level, "-c", "copy", turned)
    assert_alike(first_picture(turned), shown_by_ffmpeg(turned, tmp_path))


@pytest.mark.parametrize(
    "suffix,codec,aspect",
    [
        ("mkv", "libx264", Fraction(16, 9)),
        ("mp4", "libx264", Fraction(10, 11)),
        ("ts", "libx264", Fraction(10, 11)),
        ("ts", "mpeg2video", Fraction(64, 45)),
    ],
)
def test_pixels_are_made_square(tmp_path, suffix, codec, aspect):
    square, odd = tmp_path / f"square.{suffix}", tmp_path / f"odd.{suffix}"
    write_video(square, [picture(4, 288, 360)] * 3, codec=codec)
    ffmpeg("-i", square, "-vf", f"setsar={aspect}", "-c:v", codec, odd)
    found = first_picture(odd)
    # MPEG-2 states the shape of the screen, 16:9 or 4:3, and that only roughly
    assert found.shape[0] == 288 and abs(found.shape[1] - 360 * aspect) <= (12 if codec == "mpeg2video" else 1)
    assert_alike(found, cv2.resize(first_picture(square), found.shape[1::-1]), 8)


def test_the_short_side_counts_after_squaring_and_turning(tmp_path):
    path, odd = tmp_path / "a.mp4", tmp_path / "odd.mp4"
    write_video(path, [picture(4, 576, 720)] * 3)
    ffmpeg("-display_rotation", 90, "-i", path, "-c", "copy", "-bsf:v", "h264_metadata=sample_aspect_ratio=64/45", odd)
    assert first_picture(odd).shape == (640, 360, 3)


@given(st.integers(16, 4000), st.integers(16, 4000), st.fractions(Fraction(1, 6), 6, max_denominator=99) | st.none())
def test_shown_sizes(width, height, aspect):
    size = shown_size(width, height, aspect)
    assert min(size) >= 1 and min(size) <= max(ANALYSIS_SHORT_SIDE, 1)
    believed = aspect if aspect and Fraction(1, 4) <= aspect <= 4 and abs(aspect - 1) >= 0.02 else 1
    assert size[0] / size[1] == pytest.approx(float(width * believed / height), rel=1.5 / min(size))
    if min(width * believed, height) <= ANALYSIS_SHORT_SIDE:
        assert size[1] == height  # nothing is enlarged but the side that was squeezed


def test_hd_without_a_stated_matrix_is_that_of_bt709():
    pixels = np.zeros((720, 1280, 3), np.uint8)
    pixels[:] = (40, 180, 60)

    def coded(matrix, height, width):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), "rgb24")
        frame = frame.reformat(format="yuv444p", dst_colorspace=matrix)
        frame.colorspace = 2
        return to_rgb(frame)

    assert np.abs(coded("ITU709", 720, 1280).astype(int) - pixels[0, 0]).max() <= 3
    assert np.abs(coded("ITU601", 720, 1280).astype(int) - pixels[0, 0]).max() > 10
    assert np.abs(coded("ITU601", 480, 640).astype(int) - pixels[0, 0]).max() <= 3


@pytest.mark.parametrize("system,transfer", [("smpte2084", 16), ("arib-std-b67", 18)])
def test_dark_and_middle_tones_are_those_of_zscale(system, transfer):
    """Below the knee of the curve a standard display shows the same light; zscale computes it by code of its own."""
    random = np.random.default_rng(0)
    codes = (random.random((64, 64, 3)) * (0.44 if transfer == 16 else 0.55) * 65535).astype(np.uint16)
    words = f"-f rawvideo -pix_fmt rgb48le -s 64x64 -i - -vf setparams=color_primaries=bt2020:color_trc={system}:"
    words += "colorspace=gbr:range=full,zscale=t=linear:p=bt709:npl=203:agamma=0,format=gbrpf32le -f rawvideo -"
    raw = subprocess.run([*FFMPEG, *words.split()], input=codes.tobytes(), check=True, capture_output=True).stdout
    green, blue, red = np.frombuffer(raw, np.float32).reshape(3, 64, 64)
    expected = 255 * np.clip(np.stack([red, green, blue], -1), 0, 1) ** (1 / 2.4)
    found = colour.to_standard_range(Coded(transfer), codes)
    dark = (colour.pq_nits(codes) if transfer == 16 else colour.hlg_nits(codes)).max(-1) < 80
    assert dark.mean() > 0.3
    assert np.abs(found[dark] - expected[dark]).max() < 3


class Coded:
    """What colour.py asks of a frame."""

    color_primaries = 9

    def __init__(self, transfer):
        self.color_trc = transfer


def test_known_values_of_the_standards():
    assert colour.pq_light(np.array([0.0, 0.5081, 0.7518, 1.0])) == pytest.approx([0, 100, 1000, 10_000], rel=0.002)
    # BT.2408: HLG's white at 75 % is 203 nits on a display of 1000 nits
    grey = np.full((1, 1, 3), round(0.75 * 65535), np.uint16)
    assert colour.hlg_nits(grey)[0, 0] == pytest.approx([203] * 3, rel=0.01)


@given(st.lists(st.floats(0, 10_000), min_size=2, max_size=30))
def test_the_curve_keeps_order_and_ends_at_white(nits):
    nits = np.sort(np.array(nits))
    shown = colour.roll_off(nits)
    assert (np.diff(shown) >= -1e-6).all() and (shown <= nits + 1e-3).all() and (shown <= colour.WHITE + 1e-6).all()
    assert np.allclose(shown[nits < 80], nits[nits < 80], rtol=1e-3, atol=1e-3)


def coded_high(path, pictures, system):
    """An SDR film's pictures as PQ or HLG, 10 bits, by zscale."""
    sdr = path.with_name("sdr.mp4")
    write_video(sdr, pictures, options={"crf": "10"})
    zscale = f"zscale=t={system}:p=bt2020:m=bt2020nc:r=limited:npl=203:agamma=0,format=yuv420p10le"
    tags = ["-color_primaries", "bt2020", "-color_trc", system, "-colorspace", "bt2020nc"]
    ffmpeg("-i", sdr, "-vf", f"setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709,{zscale}", *tags,
           "-c:v", "libx265", "-x265-params", "log-level=none", "-crf", "10", path)  # fmt: skip


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("system", ["smpte2084", "arib-std-b67"])
def test_films_of_high_range_look_as_in_standard_range(tmp_path, suffix, system):
    pictures = [picture(k, 180, 320) for k in (1, 2)]
    path = tmp_path / f"high.{suffix}"
    coded_high(path, [pictures[k // 25] for k in range(50)], system)
    (segment,) = plan_segments(str(path))
    found = [frame.pixels for frame in SegmentReader(str(path), segment)]
    for pixels, expected in zip(found, pictures, strict=True):
        hsv, wanted = (cv2.cvtColor(p, cv2.COLOR_RGB2HSV).astype(int) for p in (pixels, expected))
        assert abs(hsv[..., 1].mean() - wanted[..., 1].mean()) < 25  # grey without the curve
        assert np.abs(pixels.astype(int) - expected).mean() < 25


def grey(seed, height, width):
    """Without colour, which two fields of 4:2:0 share."""
    blurred = cv2.GaussianBlur(picture(seed, height, width), (0, 0), 2)
    return cv2.cvtColor(cv2.cvtColor(blurred, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_what_the_container_alone_says_of_colours_counts(tmp_path, suffix):
    """FFmpeg's HEVC decoder forgets what the container said where its own headers say nothing."""
    tags = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"]
    source = ["-f", "lavfi", "-i", "testsrc2=s=128x96:r=5:d=1", "-pix_fmt", "yuv420p10le"]
    ffmpeg(*source, "-c:v", "libx265", "-x265-params", "log-level=none", tmp_path / "plain.mp4")
    ffmpeg("-i", tmp_path / "plain.mp4", "-c", "copy", *tags, tmp_path / f"tagged.{suffix}")
    with av.open(str(tmp_path / "plain.mp4")) as container:
        frame = next(container.decode(video=0))
    plain = to_rgb(frame)
    frame.color_trc, frame.color_primaries, frame.colorspace = 16, 9, 9
    found = first_picture(tmp_path / f"tagged.{suffix}")
    assert np.array_equal(found, to_rgb(frame)) and not np.array_equal(found, plain)


def fields_of(before, after):
    woven = before.copy()
    woven[1::2] = after[1::2]
    return woven


def moved(pixels, by):
    return np.roll(pixels, by, axis=1)


@pytest.mark.parametrize("flagged", [True, False])
def test_fields_of_two_instants_are_not_combed(tmp_path, flagged):
    still = grey(7, 288, 360)
    path = tmp_path / "a.ts"
    flags = ["-flags", "+ildct+ilme", "-field_order", "tt"] if flagged else []
    write_video(tmp_path / "woven.mkv", [fields_of(still, moved(still, 14))] * 12, codec="ffv1")
    scanned = ["-vf", "setfield=tff"] if flagged else []
    ffmpeg("-i", tmp_path / "woven.mkv", *scanned, "-c:v", "mpeg2video", "-q:v", "2", *flags, path)
    found = first_picture(path).astype(int)
    apart = np.abs(found - still).mean(), np.abs(found - fields_of(still, moved(still, 14))).mean()
    assert (apart[0] < apart[1] / 2) == flagged


def test_a_still_picture_flagged_as_interlaced_stays_sharp(tmp_path):
    path = tmp_path / "a.ts"
    write_video(tmp_path / "still.mkv", [picture(7, 288, 360)] * 12, codec="ffv1")
    ffmpeg("-i", tmp_path / "still.mkv", "-vf", "setfield=tff", "-c:v", "mpeg2video", "-q:v", "2",
           "-flags", "+ildct+ilme", "-field_order", "tt", path)  # fmt: skip
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert frame.interlaced_frame and not is_combed(frame)
    assert np.array_equal(to_rgb(frame), frame.to_ndarray(format="rgb24"))


@pytest.mark.parametrize("format", ["yuv420p", "yuv422p10le", "uyvy422", "gray", "rgb24"])
def test_any_format_of_fields_is_judged_and_mended(format):
    still = grey(7, 96, 128)
    frames = [
        av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=format)
        for pixels in (still, fields_of(still, moved(still, 14)))
    ]
    assert [is_combed(frame) for frame in frames] == [False, True]
    found = one_field(frames[1]).to_ndarray(format="rgb24").astype(int)
    expected = frames[0].to_ndarray(format="rgb24")
    assert np.abs(found - expected).mean() < 8


@needs_footage
def test_the_cases_of_people():
    people = VIDEOS.parent / "people"
    assert first_picture(people / "anamorphic" / "anamorphic.mkv").shape == (360, 640, 3)
    assert first_picture(people / "anamorphic" / "anamorphic_pal.mpg").shape[1] == 512
    for name in ("cover_first_not_attached.mkv", "two_streams_mjpeg_first.mkv"):
        path = str(people / "cover-first" / name)
        (segment,) = plan_segments(path)
        frames = [frame.pixels for frame in SegmentReader(path, segment)]
        assert len(frames) == 12 and frames[0].shape == (360, 640, 3) and frames[0].std() > 20
