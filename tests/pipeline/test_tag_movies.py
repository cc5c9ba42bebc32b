import pickle
from dataclasses import replace

import apache_beam as beam
import numpy as np
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to
from films import picture, write_video
from untrained import write_untrained

from movie_tags import Method, TagMovies, Work
from movie_tags.records import BLACK, CARD, PICTURE, TITLE_CARD
from movie_tags.transforms.evidence import BELIEVED
from movie_tags.transforms.strength import strengths, totals_of


def test_another_pipeline_can_use_it(tmp_path, small_bundle):
    film = str(write_video(tmp_path / "a.mp4", [picture(k // 50) for k in range(200)]))
    bad = str(tmp_path / "gone.mp4")
    with test_pipeline.TestPipeline() as p:
        found = p | beam.Create([film, bad]) | TagMovies(small_bundle, Method(top_k=1), Work(segment_length=2))
        assert_that(
            found["tags"] | "N" >> beam.MapTuple(lambda v, found: (v.uri, found.shots)),
            equal_to([(film, 4)]),
            "tags",
        )
        key_frames = found["key_frames"] | "T" >> beam.MapTuple(lambda _, k: (k.time_s, len(k.top_k)))
        assert_that(key_frames, equal_to([(0.0, 1), (2.0, 1), (4.0, 1), (6.0, 1)]), "key frames")
        assert_that(
            found["errors"] | "E" >> beam.MapTuple(lambda v, f: (v.uri, f.stage)), equal_to([(bad, "opening")]), "bad"
        )


def hinted_steps(accelerator):
    pipeline = beam.Pipeline()
    _ = pipeline | beam.Create(["a.mp4"]) | TagMovies(work=Work(accelerator=accelerator))
    proto = pipeline.to_runner_api()
    environments = proto.components.environments
    leaves = {n: t for n, t in proto.components.transforms.items() if not t.subtransforms}
    return {
        step.unique_name
        for step in leaves.values()
        if step.environment_id and environments[step.environment_id].resource_hints
    }


def test_only_inference_asks_for_an_accelerator():
    hinted = hinted_steps("type:nvidia-tesla-t4;count:1;install-nvidia-driver")
    assert hinted and all("/RunInference/" in name for name in hinted), hinted
    assert hinted_steps(None) == set()


def film_bundle(folder) -> str:
    """A bundle that says how sure to be of films' tags, and has an output for title cards."""
    vocabulary = ("Animal", "Food", "War", "Music", TITLE_CARD)
    confidence = {"intercept": 2.0, "weights": {"best": 1.0, "mean": 0.5}, "tags": {"War": -20.0}}
    card = {"thresholds": dict.fromkeys(vocabulary, 0.3), "film_confidence": confidence}
    return write_untrained(folder, vocabulary, 32, 7, card)


def _keep(rows, path) -> None:
    path.write_bytes(pickle.dumps(rows))


def test_a_films_own_evidence_decides_and_does_not_depend_on_segments(tmp_path):
    bundle = film_bundle(tmp_path / "bundle")
    pixels = [picture(k // 50) for k in range(400)] + [
        np.random.default_rng(0).integers(0, 16, picture(0).shape, np.uint8)
    ] * 50
    film = str(write_video(tmp_path / "a.mp4", pixels))
    found = []
    for length in (2.0, 60.0):
        with test_pipeline.TestPipeline() as p:
            tables = p | beam.Create([film]) | TagMovies(bundle, Method(), Work(segment_length=length))
            for name in ("tags", "key_frames", "spans"):
                rows = tables[name] | f"{name} rows" >> beam.Values() | f"{name} all" >> beam.combiners.ToList()
                _ = rows | f"{name} kept" >> beam.Map(_keep, tmp_path / name)
        found.append([pickle.loads((tmp_path / name).read_bytes()) for name in ("tags", "key_frames", "spans")])
    one, other = found
    assert one[0] == other[0] and sorted(one[1], key=lambda k: k.time_s) == sorted(other[1], key=lambda k: k.time_s)
    (row,), key_frames, spans = one
    assert row.tags and {tag.tag for tag in row.tags} == {span.tag for span in spans}
    assert all(tag.confidence >= BELIEVED for tag in row.tags) and "War" not in {tag.tag for tag in row.tags}
    assert row.tags == tuple(
        replace(tag, confidence=now.confidence, share=now.share)
        for tag, now in zip(strengths(totals_of(key_frames)), row.tags, strict=True)
    )
    assert {frame.kind for frame in key_frames} == {BLACK, CARD, PICTURE}
    assert not any(frame.tags for frame in key_frames if frame.kind != PICTURE)
    assert all(one.tag != TITLE_CARD for frame in key_frames for one in frame.top_k)
