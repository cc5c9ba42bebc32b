import apache_beam as beam
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to
from films import picture, write_video

from movie_tags import Method, TagMovies, Work


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
