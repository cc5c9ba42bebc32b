import io
import struct
import subprocess

import av
import imageio_ffmpeg
import pytest
from films import picture, write_video
from google.api_core.exceptions import Forbidden, NotFound

from movie_tags.storage import StorageError
from movie_tags.transforms.video.containers import missing_bytes
from movie_tags.transforms.video.errors import VideoError
from movie_tags.transforms.video.reader import failure_of
from movie_tags.transforms.video.segments import plan_segments

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()


def test_storage_refusals_are_said_plainly():
    assert "no such object" in failure_of(NotFound("GET https://storage/x?y=z"), "opening").reason
    assert "permission refused" in failure_of(Forbidden("GET https://storage/x?y=z"), "opening").reason


@pytest.mark.parametrize(
    "error,again",
    [
        (StorageError("the network is down"), True),
        (TimeoutError("too long"), True),
        (VideoError("is not a video"), False),
        (VideoError("cannot be opened", retryable=True), True),
        (av.error.InvalidDataError(1, "broken"), False),
        (av.error.PermissionError(13, "no"), False),  # FFmpeg's, of what is in the file
    ],
)
def test_trying_again_helps_where_the_storage_failed(error, again):
    assert failure_of(error, "sampling").retryable is again


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_file_cut_off_lacks_bytes(tmp_path, suffix):
    whole = tmp_path / f"a.{suffix}"
    write_video(whole, [picture(k // 5) for k in range(100)], codec="mpeg4")
    data = whole.read_bytes()
    assert missing_bytes(io.BytesIO(data)) == 0
    assert missing_bytes(io.BytesIO(data[:-1000])) == 1000
    assert missing_bytes(io.BytesIO(data + b"x")) == 0


def test_a_truncated_matroska_film_gets_a_warning(tmp_path):
    whole, cut = tmp_path / "a.mkv", tmp_path / "cut.mkv"
    write_video(whole, [picture(k // 5) for k in range(250)])
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert [segment.warnings for segment in plan_segments(str(whole), 1, 2)] == [()] * 5
    first, *others = plan_segments(str(cut), 1, 2)
    assert f"lacks the last {whole.stat().st_size - cut.stat().st_size:,} bytes" in first.warnings[0]
    assert all(segment.warnings == () for segment in others)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x" * 200,
        b"\x1a\x45\xdf\xa3",
        b"\x1a\x45\xdf\xa3\x00" * 20,
        b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff",  # a live stream: no length stated
        struct.pack(">I4s", 0, b"mdat"),
        struct.pack(">I4s", 3, b"ftyp") * 9,
        struct.pack(">I4sI", 1, b"mdat", 7),
    ],
)
def test_heads_that_tell_nothing_raise_nothing(data):
    assert missing_bytes(io.BytesIO(data)) == 0


def reason_of(path):
    with pytest.raises(VideoError) as raised:
        plan_segments(str(path))
    assert not raised.value.retryable
    return raised.value.reason


def test_parts_of_a_stream_are_called_what_they_are(tmp_path):
    whole = tmp_path / "whole.mp4"
    plain = write_video(tmp_path / "plain.mp4", [picture(k // 25) for k in range(50)])
    fragments = ["-movflags", "+frag_keyframe+empty_moov+default_base_moof"]
    subprocess.run([FFMPEG, "-v", "error", "-i", plain, "-c", "copy", *fragments, whole], check=True)
    data = whole.read_bytes()
    begun = data.index(b"moof") - 4
    (tmp_path / "init.mp4").write_bytes(data[:begun])
    (tmp_path / "1.m4s").write_bytes(data[begun:])
    assert "initialisation segment of a stream" in reason_of(tmp_path / "init.mp4")
    assert "fragment of a stream without its header" in reason_of(tmp_path / "1.m4s")


@pytest.mark.parametrize("name", ["a.webp", "a.mp4"])
def test_pictures_that_move_are_called_so(tmp_path, name):
    source = ["-f", "lavfi", "-i", "testsrc=s=64x64:r=5:d=1", "-c:v", "libwebp_anim", "-f", "webp"]
    subprocess.run([FFMPEG, "-v", "error", *source, tmp_path / name], check=True)
    assert "animated WebP" in reason_of(tmp_path / name)


def test_only_what_says_so_is_called_encrypted(tmp_path):
    plain = write_video(tmp_path / "plain.mp4", [picture(k // 25) for k in range(50)])
    key = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "ab" * 16, "-encryption_kid", "cd" * 16]
    subprocess.run([FFMPEG, "-v", "error", "-i", plain, "-c", "copy", *key, tmp_path / "locked.mp4"], check=True)
    assert "encrypted" in reason_of(tmp_path / "locked.mp4")
    head, middle, rest = plain.read_bytes().partition(b"mdat")
    (tmp_path / "damaged.mp4").write_bytes(head + middle + bytes(len(rest)))
    assert "encrypted" not in reason_of(tmp_path / "damaged.mp4")


def test_films_of_which_players_show_the_first_alone_get_a_warning(tmp_path):
    one = write_video(tmp_path / "one.mp4", [picture(k // 25) for k in range(50)]).read_bytes()
    (tmp_path / "twice.mp4").write_bytes(one + one)
    for length in (None, 1):
        first, *others = plan_segments(str(tmp_path / "twice.mp4"), 1, length)
        assert "2 films one after another" in first.warnings[0] and not others
