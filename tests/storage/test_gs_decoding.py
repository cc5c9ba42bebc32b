"""Films on gs:// in decoder processes, which read nothing remote themselves, against an emulator on loopback."""

import numpy as np
import pytest
from decoder_work import modules
from films import picture, write_video

from movie_tags import storage
from movie_tags.transforms.video.decoder_process import stream
from movie_tags.transforms.video.decoding import Decoding
from movie_tags.transforms.video.errors import VideoError
from movie_tags.transforms.video.limits import Limits
from movie_tags.transforms.video.screen import Tally


def read(limits, uri):
    decoding, tally = Decoding(limits), Tally()
    segments = decoding.plan(uri, 1, 3)
    return segments, [frame for segment in segments for frame in decoding.samples(uri, segment, tally)], tally


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("films") / "a.mkv", [picture(k // 20) for k in range(300)])


def test_a_decoder_process_reads_a_remote_film_through_its_worker(gs, film):
    uri = gs.put(film, "a.mkv")
    segments, frames, tally = read(Limits(), uri)
    expected = read(None, str(film))
    assert len(segments) > 2 and (segments, tally) == (expected[0], expected[2])
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(frames, expected[1], strict=True))
    assert "apache_beam" not in list(stream(Limits(), modules))  # a decoder process is small


def test_what_the_storage_refuses_is_said_and_may_be_tried_again(gs, film, monkeypatch):
    uri = gs.put(film, "a.mkv")
    with pytest.raises(VideoError, match="cannot be opened: there is no such object") as raised:
        read(Limits(), uri + "x")
    assert raised.value.retryable
    whole, asked = storage.ranges(uri), []

    def fetch(start, end):
        asked.append(start)
        if len(asked) > 2:
            raise OSError("the line is cut")
        return whole.fetch(start, end)

    monkeypatch.setattr(storage, "ranges", lambda uri: storage.Ranges(fetch, whole.size))
    with pytest.raises(VideoError, match="the line is cut") as raised:
        read(Limits(), uri)
    assert raised.value.retryable
