import pytest
from films import VIDEOS, needs_footage, picture, write_video

from movie_tags.pipeline import sizing
from movie_tags.pipeline.beam.options import local_options
from movie_tags.pipeline.sizing import cpu_seconds, is_little


@pytest.fixture
def film(tmp_path):
    return str(write_video(tmp_path / "a.mp4", [picture(k // 25) for k in range(250)]))


def test_the_guess_follows_pixels_and_seconds(film, tmp_path):
    large = write_video(tmp_path / "large.mp4", [picture(k, 192, 256) for k in range(250)])
    longer = write_video(tmp_path / "longer.mp4", [picture(k) for k in range(500)])
    pixels = 96 * 128 * 250 * sizing.DECODING_S
    assert cpu_seconds(film) == pytest.approx(pixels + 10 * sizing.TAGGING_S, rel=0.01)
    assert cpu_seconds(str(large)) - cpu_seconds(film) == pytest.approx(3 * pixels, rel=0.01)
    assert cpu_seconds(str(longer)) == pytest.approx(2 * cpu_seconds(film), rel=0.01)


def test_little_work_is_done_in_one_process(film, tmp_path, monkeypatch):
    (tmp_path / "bad.mp4").write_bytes(b"no film")
    assert is_little([str(tmp_path)])
    monkeypatch.setattr(sizing, "WORTH_WORKERS_S", cpu_seconds(film) * 1.5)
    assert is_little([film])
    assert not is_little([film, film])


def test_what_is_far_or_many_is_worth_workers(film, tmp_path, monkeypatch):
    assert not is_little(["gs://bucket/a.mp4"])
    catalogue = tmp_path / "c.csv"
    catalogue.write_text(f"uri\n{film}\n{film}\n{film}\n")
    assert is_little([str(catalogue)])
    monkeypatch.setattr(sizing, "MOST_FILES", 2)
    assert not is_little([str(catalogue)])


def test_the_number_asked_for_always_wins():
    def never():
        raise AssertionError("was asked")

    assert local_options(["--direct_num_workers", "2"], never)[1] == 2
    assert local_options(["--runner", "FlinkRunner"], never)[1] == 0
    assert local_options([], lambda: 1)[1] == 1


@needs_footage
def test_a_real_clip_is_little_work():
    assert is_little([str(VIDEOS / "clips" / "kids_basketball_240p.mp4")])
