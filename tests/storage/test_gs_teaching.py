"""The page on which a model learns, over results on gs://: what was said, the model and the tables all lie there."""

import json
import time

import pytest
from films import picture, write_video
from review_server import Asker, served
from untrained import with_sigmoids

from movie_tags.pipeline.commands import main
from movie_tags.report.review.work import DONE, RUNNING
from movie_tags.results.film_tables import slug
from movie_tags.results.folder import ResultsFolder

pytest.importorskip("sklearn")
SHOWN = {"a": (1, 2, 3), "b": (1, 4, 5), "c": (6, 7, 8)}


def asked_until(asker, seconds=300):
    """What the page of learning says once nothing goes on any more."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = json.loads(asker.ask("/api/learning")[1])
        if now["job"]["state"] != RUNNING:
            return now
        time.sleep(0.2)
    raise AssertionError(now)


def test_a_model_learns_and_all_is_tagged_again_on_gs(gs, small_bundle, tmp_path):
    model = with_sigmoids(small_bundle, tmp_path / "bundle")
    (tmp_path / "films").mkdir()
    for name, seeds in SHOWN.items():
        write_video(tmp_path / "films" / f"{name}.mp4", [picture(seed) for seed in seeds for _ in range(50)])
    folder = gs.put(tmp_path / "bundle", "bundle").removesuffix("bundle") + "results"
    assert main(["tag", str(tmp_path / "films"), "--output", folder, "--model", model, "--direct_num_workers=1"]) == 0
    films = {film.title: slug(film) for film in ResultsFolder(folder).read("tags")}
    with served(folder) as page:
        asker = Asker(page)
        for film, time_s in (("a.mp4", 0.0), ("b.mp4", 0.0), ("a.mp4", 4.0)):
            said = {"name": films[film], "tag": "Temple", "verdict": "applies", "start_s": time_s, "end_s": time_s + 2}
            assert asker.say(said)[0] == 200
        assert asker.say({"then": True}, "/api/learn")[0] == 200
        now = asked_until(asker)
        assert now["job"]["kind"] == "retag" and now["job"]["state"] == DONE, now["job"]
        (learned, origin) = now["models"]
        assert learned["uri"].startswith(f"{folder}/models/learned-") and learned["used"] and not origin["used"]
        assert f"--model {learned['uri']}" in now["retagged"]["nightly"]
    assert ResultsFolder(folder).last_run.model["bundles"][0]["uri"] == learned["uri"]
    found = {film.title: {tag.tag for tag in film.tags} for film in ResultsFolder(folder).read("tags")}
    assert {title for title, tags in found.items() if "Temple" in tags} >= {"a.mp4", "b.mp4"}
