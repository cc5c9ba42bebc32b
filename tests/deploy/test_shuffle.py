"""What crosses a shuffle is small, on any engine: counted in the local one, which holds it as it would be sent."""

import apache_beam as beam
import pytest
from apache_beam.coders.coder_impl import create_InputStream
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.execution import GroupingBuffer
from films import picture, write_video

from movie_tags import TagMovies, Work

LARGEST = 16 * 1024
"""Bytes of one element: a third of the smallest picture that travels with --accelerator (128 x 128 x 3)."""
SHOT_S, SEGMENT_S = 3, 10


@pytest.fixture
def shuffled(monkeypatch):
    """The sizes of the elements that were grouped, in bytes, as they are coded."""
    sizes = []
    append = GroupingBuffer.append

    def counting(self, elements_data):
        stream = create_InputStream(elements_data)
        coder = self._pre_grouped_coder.get_impl()
        while stream.size() > 0:
            before = stream.size()
            coder.decode_from_stream(stream, True)
            sizes.append(before - stream.size())
        append(self, elements_data)

    monkeypatch.setattr(GroupingBuffer, "append", counting)
    return sizes


def tag(films, **work):
    options = PipelineOptions([], runner="FnApiRunner", direct_running_mode="in_memory", direct_num_workers=1)
    with beam.Pipeline(options=options) as pipeline:
        results = pipeline | beam.Create([str(film) for film in films]) | TagMovies(work=Work(**work))
        results["errors"] | beam.Map(lambda error: pytest.fail(str(error)))


def film(path, seconds):
    pictures = [picture(k // SHOT_S, 360, 640) for k in range(seconds)]
    return write_video(path, pictures, times=range(seconds))


def test_elements_are_small_and_few(tmp_path, shuffled):
    totals = {}
    for seconds in (60, 240):
        shuffled.clear()
        tag([film(tmp_path / f"{seconds}.mp4", seconds)], segment_length=SEGMENT_S)
        print(f"{seconds} s: {len(shuffled)} elements, {sum(shuffled):,} bytes, the largest {max(shuffled):,}")
        assert max(shuffled) < LARGEST
        totals[seconds] = sum(shuffled)
    # A second of film costs less than a thousandth of its one frame.
    assert (totals[240] - totals[60]) / 180 < picture(0, 360, 640).nbytes / 1000


def test_the_count_would_see_pixels(tmp_path, shuffled):
    """With --accelerator key frames do travel, as small as the model's input."""
    tag([film(tmp_path / "a.mp4", 12)], accelerator="type:nvidia-tesla-t4;count:1")
    assert max(shuffled) > LARGEST
