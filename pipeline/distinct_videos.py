"""Videos of another pipeline as Beam transforms: each once, whatever names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import apache_beam as beam

from movie_tags import storage
from movie_tags.pipeline.distinct import distinct, same_file
from movie_tags.pipeline.inputs import video_at
from movie_tags.records import Video


class DistinctVideos(beam.PTransform):
    """Videos (or their addresses), in any number and order -> each video once, spread over the workers.

    VIDEOS has each Video; FAILED (Video, Failure) for those whose id is given to several; WARNED (Video, text) where
    other titles or other ids were given to one; MERGED (Video, 1) for each element that named a video once more.
    """

    VIDEOS, FAILED, WARNED, MERGED = "videos", "failed", "warned", "merged"

    def expand(self, named: beam.PCollection) -> dict[str, beam.PCollection]:
        by_id = (
            named
            | "AsVideo" >> beam.Map(lambda video: video if isinstance(video, Video) else video_at(video))
            | "ById" >> beam.Map(lambda video: (video.id, video))
            | "GroupIds" >> beam.GroupByKey()
            | "OneAnId" >> beam.ParDo(_OneAnId()).with_outputs(self.FAILED, self.WARNED, self.MERGED, main=self.VIDEOS)
        )
        shared = (
            by_id[self.VIDEOS]
            | "ByIdentity" >> beam.Map(lambda video: (storage.identity(video.uri), video))
            | "GroupFiles" >> beam.GroupByKey()
            | "SameFile" >> beam.FlatMapTuple(lambda _, videos: same_file(videos))
        )
        warned = [by_id[self.WARNED], shared] | "Warned" >> beam.Flatten()
        return {name: by_id[name] for name in (self.VIDEOS, self.FAILED, self.MERGED)} | {self.WARNED: warned}


class _OneAnId(beam.DoFn):
    """The videos under one id -> the one video, or a failure for each where they are different files."""

    def process(self, element: tuple[str, Iterable[Video]]) -> Iterator:
        found = distinct(*element)
        for video in found.merged:
            yield beam.pvalue.TaggedOutput(DistinctVideos.MERGED, (video, 1))
        for failed in found.failed:
            yield beam.pvalue.TaggedOutput(DistinctVideos.FAILED, failed)
        if found.warning:
            yield beam.pvalue.TaggedOutput(DistinctVideos.WARNED, (found.video, found.warning))
        if found.video:
            yield found.video
