"""Videos of another pipeline as Beam transforms: each once, whatever names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import apache_beam as beam

from movie_tags import storage
from movie_tags.pipeline.distinct import distinct, same_file
from movie_tags.pipeline.inputs import video_at
from movie_tags.records import Failure, Video


class DistinctVideos(beam.PTransform):
    """Videos (or their addresses), in any number and order -> each video once, spread over the workers.

    VIDEOS has each Video; FAILED (Video, Failure) for those whose id is given to several; WARNED (Video, text) where
    other titles or other ids were given to one; MERGED (Video, 1) for each element that named a video once more.
    """

    VIDEOS, FAILED, WARNED, MERGED = "videos", "failed", "warned", "merged"

    def expand(self, named: beam.PCollection) -> dict[str, beam.PCollection]:
        read = named | "AsVideo" >> beam.ParDo(_AsVideo()).with_outputs(self.FAILED, main=self.VIDEOS)
        by_id = (
            read[self.VIDEOS]
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
        failed = [read[self.FAILED], by_id[self.FAILED]] | "Failed" >> beam.Flatten()
        return {
            self.VIDEOS: by_id[self.VIDEOS],
            self.FAILED: failed,
            self.WARNED: warned,
            self.MERGED: by_id[self.MERGED],
        }


class _AsVideo(beam.DoFn):
    """Videos or addresses -> Videos of canonical addresses; a failure for an address that nothing can ever open."""

    def process(self, named: Video | str) -> Iterator:
        given = named if isinstance(named, Video) else Video(named, named)
        try:
            video = video_at(given.uri)
        except storage.AddressError as error:
            yield beam.pvalue.TaggedOutput(DistinctVideos.FAILED, (given, Failure("catalogue", str(error))))
            return
        yield replace(given, uri=video.uri) if isinstance(named, Video) else video


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
