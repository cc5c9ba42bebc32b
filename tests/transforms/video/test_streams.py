"""Which of several video streams is the film."""

from fractions import Fraction

import av
import numpy as np
import pytest
from films import picture

from movie_tags.transforms.video.reader import open_video


def write_streams(path, *streams):
    """Streams of (codec, pictures, frames a second, (height, width), flags): a film and what stands beside it."""
    with av.open(str(path), "w") as container:
        made = []
        for codec, _, rate, size, flags in streams:
            stream = container.add_stream(codec, rate=rate)
            stream.height, stream.width = size
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.disposition = flags
            made.append(stream)
        packets = []
        for stream, (_, count, rate, size, _) in zip(made, streams, strict=True):
            for k in range(count):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture(k, *size)), "rgb24")
                frame.pts, frame.time_base = k, Fraction(1, rate)
                packets += stream.encode(frame)
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return str(path)


DEFAULT, NONE, STILL = 1, 0, av.stream.Disposition.still_image.value
SMALL, LARGE = (96, 128), (192, 256)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov"])
@pytest.mark.parametrize(
    "beside,flags",
    [
        (("mjpeg", 1, 25, LARGE, NONE), DEFAULT),  # a cover without its flag
        (("mjpeg", 1, 25, LARGE, DEFAULT), NONE),  # a cover that is the default
        (("mjpeg", 1, 25, LARGE, STILL), NONE),
        (("mjpeg", 2, 1, SMALL, NONE), DEFAULT),  # a preview
        (("libx264", 40, 25, SMALL, NONE), DEFAULT),  # a small copy
    ],
)
def test_the_film_is_chosen_not_what_comes_before_it(tmp_path, suffix, beside, flags):
    film = ("libx264", 40, 25, LARGE, flags)
    for streams, expected in ([(beside, film), 1], [(film, beside), 0]):
        with open_video(write_streams(tmp_path / f"a.{suffix}", *streams)) as source:
            assert source.stream.index == expected
            first = next(packet for packet in source.packets())  # nothing was read of it yet
            assert first.is_keyframe and first.pts == (source.stream.start_time or 0)


def test_of_equals_the_default_is_chosen_then_the_first(tmp_path):
    film = ("libx264", 50, 25, SMALL)
    for flags, expected in [((NONE, DEFAULT), 1), ((DEFAULT, DEFAULT), 0), ((NONE, NONE), 0)]:
        path = write_streams(tmp_path / "a.mkv", (*film, flags[0]), (*film, flags[1]))
        with open_video(path) as source:
            assert source.stream.index == expected
