"""Inputs as Beam transforms: read on the workers, so that any number is no problem, and each video once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import apache_beam as beam
from apache_beam.metrics import Metrics

from movie_tags import storage
from movie_tags.pipeline.inputs import InputError, Inputs, expand, video_at
from movie_tags.pipeline.listing import NotLookedAt
from movie_tags.progress import report_progress
from movie_tags.records import Failure, Video


class ReadInputs(beam.PTransform):
    """Inputs -> VIDEOS, the Videos they stand for, and FAILED, (Video, Failure)."""

    VIDEOS, FAILED = "videos", "failed"

    def __init__(self, inputs: Inputs):
        super().__init__()
        self.inputs = inputs

    def expand(self, root: beam.pvalue.PBegin) -> beam.pvalue.DoOutputsTuple:
        return (
            root
            | "Inputs" >> beam.Create(self.inputs.uris, reshuffle=False)
            | "Expand" >> beam.ParDo(_Expand(self.inputs)).with_outputs(self.FAILED, main=self.VIDEOS)
        )


class _Expand(beam.DoFn):
    def __init__(self, inputs: Inputs):
        self.inputs = inputs
        self.read = Metrics.counter("catalogue", "videos_read")

    def process(self, uri: str) -> Iterator:
        skipped = NotLookedAt()
        try:
            for item in expand(uri, self.inputs, skipped):
                if item.failure is None:
                    self.read.inc()
                    yield item.video
                else:
                    yield beam.pvalue.TaggedOutput(ReadInputs.FAILED, (item.video, item.failure))
        except InputError as error:
            failure = Failure("catalogue", str(error), True)
            yield beam.pvalue.TaggedOutput(ReadInputs.FAILED, (Video(uri, uri), failure))
        if skipped.files or skipped.notes:
            report_progress(not_looked_at=dict(skipped.files), notes=skipped.notes)


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
            | "SameFile" >> beam.FlatMapTuple(_same_file)
        )
        warned = [by_id[self.WARNED], shared] | "Warned" >> beam.Flatten()
        return {name: by_id[name] for name in (self.VIDEOS, self.FAILED, self.MERGED)} | {self.WARNED: warned}


class _OneAnId(beam.DoFn):
    """The videos under one id -> the one video, or a failure for each where they are different files."""

    def process(self, element: tuple[str, Iterable[Video]]) -> Iterator:
        video_id, videos = element[0], list(element[1])
        by_file: dict[str, list[Video]] = {}
        for video in sorted(videos):
            by_file.setdefault(storage.identity(video.uri), []).append(video)
        for same in by_file.values():
            for _ in same[1:]:
                yield beam.pvalue.TaggedOutput(DistinctVideos.MERGED, (same[0], 1))
        if len(by_file) > 1:
            # Their results could not be told apart.
            reason = f"its id {video_id!r} is given to {len(by_file)} videos; give each an id of its own"
            for same in by_file.values():
                yield beam.pvalue.TaggedOutput(DistinctVideos.FAILED, (same[0], Failure("catalogue", reason)))
            return
        ((file, same),) = by_file.items()
        chosen = next((video for video in same if video.uri == file), same[0])  # the file itself before links to it
        titles = sorted({video.title for video in same if video.uri == chosen.uri})
        chosen = replace(chosen, title=titles[0] or titles[-1])
        if len(titles) > 1:
            text = f"it was named with {len(titles)} titles: {', '.join(repr(title) for title in titles)}"
            yield beam.pvalue.TaggedOutput(DistinctVideos.WARNED, (chosen, text))
        yield chosen


def _same_file(identity: str, videos: Iterable[Video]) -> Iterator[tuple[Video, str]]:
    """A warning for each of several videos that are one file: each is decoded and tagged by itself."""
    together = sorted(videos)
    for video in together[1:]:
        yield video, f"it is the same file as {together[0].id!r} and was tagged a second time"
