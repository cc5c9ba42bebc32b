"""Shots: videos -> shot boundaries by a detector -> the median frame of each shot (section 4.4).

A segment hands on the key frames of the shots that lie wholly inside it (`inside`); joining what the segments say of
their samples (`stretches`) tells which samples are the key frames of the others. Those are read again, as are the key
frames of shots too long to be held in memory.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import apache_beam as beam
from apache_beam.metrics import Metrics

from movie_tags.progress import report_progress
from movie_tags.records import EXACT, Failure, Film, Video
from movie_tags.stopping import INTERRUPTED, StopFile, Stopped, until_stopped
from movie_tags.storage import is_remote
from movie_tags.transforms.shots.cuts import Cut, locate
from movie_tags.transforms.shots.detector import Rule
from movie_tags.transforms.shots.inside import ShotFinder, key_frame
from movie_tags.transforms.shots.stretches import Shot, Stretch, close, join_all
from movie_tags.transforms.video.between import Between
from movie_tags.transforms.video.clock import Clock
from movie_tags.transforms.video.decoding import Decoding
from movie_tags.transforms.video.draft import Draft
from movie_tags.transforms.video.limits import Limits
from movie_tags.transforms.video.reader import failure_of
from movie_tags.transforms.video.rgb import use_one_thread
from movie_tags.transforms.video.screen import Tally
from movie_tags.transforms.video.segments import Segment
from movie_tags.wording import number


class CutFinder:
    """Finds the true cut before a sample with which a shot begins, and counts how it was found."""

    def __init__(self, decoding: Decoding, rule: Rule):
        self.decoding = decoding
        self.detector = rule.detector
        self.exact = Metrics.counter("shots", "cuts_exact")
        self.approximate = Metrics.counter("shots", "cuts_approximate")

    def locate(self, uri: str, tally: Tally, between: Between) -> Cut:
        """As `locate`, with the pictures that were passed over decoded where it takes them.

        Raises:
            VideoError: the video cannot be read.
        """
        cut = locate(between, self.detector, lambda seen: self.decoding.all_between(uri, seen, tally))
        (self.exact if cut.how == EXACT else self.approximate).inc()
        return cut

    def complete(self, uri: str, clock: Clock, shot: Shot, tally: Tally) -> Shot:
        """A shot with the cuts at a segment's border, of which neither segment saw both sides.

        Raises:
            VideoError: the video cannot be read.
        """
        begins = shot.begins or self._at_border(uri, clock, shot.first, tally)
        return replace(shot, begins=begins, ends=shot.ends or self._at_border(uri, clock, shot.last + 1, tally))

    def _at_border(self, uri: str, clock: Clock, number: int, tally: Tally) -> Cut | None:
        for frame in self.decoding.samples_again(uri, clock, [number], tally, between=True):
            if frame.between is not None:
                return self.locate(uri, tally, frame.between)
        return None


class JoinStretches(beam.CombineFn):
    """Joins the stretches of a video's segments, in whatever order they come: to one, unless a segment is missing."""

    def __init__(self, rule: Rule):
        self.rule = rule

    def create_accumulator(self) -> list[Stretch]:
        return []

    def add_input(self, accumulator: list[Stretch], stretch: Stretch) -> list[Stretch]:
        return join_all([*accumulator, stretch], self.rule)

    def merge_accumulators(self, accumulators: Iterable[list[Stretch]]) -> list[Stretch]:
        return join_all((stretch for stretches in accumulators for stretch in stretches), self.rule)

    def extract_output(self, accumulator: list[Stretch]) -> list[Stretch]:
        return accumulator


class FindShots(beam.PTransform):
    """Videos -> what is known of them, and the key frames of their shots.

    The result has a collection for each output: INSIDE and CROSSING hold (Video, KeyFramePicture) of the shots that lie
    inside a segment and of those whose key frames had to be read again (kept apart, since a flatten would hold pixels),
    FILMS (Video, Film), FAILED (Video, Failure).
    """

    INSIDE, CROSSING, FILMS, FAILED = "inside", "crossing", "films", "failed"

    def __init__(
        self,
        fps: float,
        rule: Rule,
        segment_length: float | None,
        limits: Limits | None = Limits(),
        draft: Draft | None = None,
        exact_cuts: bool = False,
        stop: StopFile | None = None,
    ):
        """
        Args:
            fps: samples a second.
            rule: tells where a shot begins.
            segment_length: the shortest segment, in seconds.
            limits: of the processes in which films are decoded; None decodes in the workers themselves.
            draft: what a draft may leave out; None samples exactly.
            exact_cuts: find the frame with which each shot begins; of a draft there are none.
            stop: tells to begin no further film, and to break off those begun.
        """
        super().__init__()
        self.decoding = Decoding(limits)
        self.fps = fps
        self.rule = rule
        self.segment_length = segment_length
        self.draft = draft
        self.cuts = CutFinder(self.decoding, rule) if exact_cuts and draft is None else None
        self.stop = stop

    def expand(self, videos: beam.PCollection) -> dict[str, beam.PCollection]:
        planned = videos | "Plan" >> beam.ParDo(
            _PlanSegments(self.decoding, self.fps, self.segment_length, self.draft, self.stop)
        ).with_outputs(self.FAILED, main="segments")
        found = (
            planned.segments
            | "Spread" >> beam.Reshuffle()
            | "Find"
            >> beam.ParDo(_FindInside(self.decoding, self.rule, self.cuts, self.stop)).with_outputs(
                _FindInside.STRETCHES, self.FAILED, main=self.INSIDE
            )
        )
        joined = found[_FindInside.STRETCHES] | "Join" >> beam.CombinePerKey(JoinStretches(self.rule))
        closed = joined | "Close" >> beam.ParDo(_Close()).with_outputs(_Close.UNREAD, self.FAILED, main=self.FILMS)
        crossing = (
            closed[_Close.UNREAD]
            | "SpreadUnread" >> beam.Reshuffle()
            | "ReadAgain"
            >> beam.ParDo(_ReadAgain(self.decoding, self.cuts)).with_outputs(self.FAILED, main=self.CROSSING)
        )
        failed = [step[self.FAILED] for step in (planned, found, closed, crossing)] | "Failed" >> beam.Flatten()
        return {
            self.INSIDE: found[self.INSIDE],
            self.CROSSING: crossing[self.CROSSING],
            self.FILMS: closed[self.FILMS],
            self.FAILED: failed,
        }


def _failed(video: Video, error: Exception, stage: str) -> beam.pvalue.TaggedOutput:
    return beam.pvalue.TaggedOutput(FindShots.FAILED, (video, failure_of(error, stage)))


def _interrupted(video: Video) -> beam.pvalue.TaggedOutput:
    return beam.pvalue.TaggedOutput(FindShots.FAILED, (video, Failure(INTERRUPTED, "the run was told to end", True)))


def _report(video: Video, segments: int, **what) -> None:
    """Say that one of a video's segments is done, and its share of the file's bytes, as far as these are known here."""
    size = 0
    if not is_remote(video.uri):
        with contextlib.suppress(OSError):
            size = os.path.getsize(video.uri)
    report_progress(video=video.id, segments=segments, bytes=round(size / segments), **what)


class _PlanSegments(beam.DoFn):
    """Video -> (video, segment) for each of its segments."""

    def __init__(
        self,
        decoding: Decoding,
        fps: float,
        segment_length: float | None,
        draft: Draft | None,
        stop: StopFile | None = None,
    ):
        self.stop = stop
        self.decoding = decoding
        self.fps = fps
        self.segment_length = segment_length
        self.draft = draft
        self.planned = Metrics.counter("sampling", "segments_planned")
        self.failed = Metrics.counter("sampling", "videos_not_opened")
        self.decoded = Metrics.counter("sampling", "frames_decoded")

    def process(self, video: Video) -> Iterator:
        if self.stop is not None and self.stop.asked:
            yield _interrupted(video)
            return
        try:
            segments = self.decoding.plan(video.uri, self.fps, self.segment_length, self.draft)
        except Exception as error:  # whatever a storage client or a decoder may raise costs this video alone
            self.failed.inc()
            _report(video, 1)
            yield _failed(video, error, "opening")
            return
        self.decoded.inc()
        self.planned.inc(len(segments))
        for segment in segments:
            yield video, segment


class _FindInside(beam.DoFn):
    """(video, segment) -> (video, key frame) of each shot inside; (video, stretch) in the output STRETCHES."""

    STRETCHES = "stretches"

    def __init__(self, decoding: Decoding, rule: Rule, cuts: CutFinder | None, stop: StopFile | None):
        self.decoding = decoding
        self.rule = rule
        self.cuts = cuts
        self.stop = stop
        self.frames = Metrics.counter("shots", "frames_sampled")
        self.found = Metrics.counter("shots", "shots_inside_segments")
        self.decoded = Metrics.counter("sampling", "frames_decoded")
        self.damaged = Metrics.counter("sampling", "packets_damaged")

    def setup(self) -> None:
        use_one_thread()

    def process(self, element: tuple[Video, Segment]) -> Iterator:
        video, segment = element
        tally, found = Tally(), 0
        locate_cut = functools.partial(self.cuts.locate, video.uri, tally) if self.cuts else None
        finder = ShotFinder(segment, self.rule, locate=locate_cut)
        try:
            samples = self.decoding.samples(video.uri, segment, tally, between=self.cuts is not None)
            for item in finder.key_frames(until_stopped(samples, self.stop), tally):
                found += 1
                yield video, item
        except Stopped:
            yield _interrupted(video)
            return
        except Exception as error:  # whatever a storage client or a decoder may raise costs this video alone
            _report(video, segment.count)
            yield _failed(video, error, "sampling")
            return
        stretch = finder.stretch
        self.frames.inc(stretch.sampled)
        self.found.inc(found)
        self.decoded.inc(tally.decoded)
        self.damaged.inc(stretch.damaged)
        clock, begun = segment.clock, segment.start
        begun_s = 0.0 if begun is None else float((begun - clock.origin) * clock.time_base)
        ended_s = stretch.end_s if segment.end is None else float((segment.end - clock.origin) * clock.time_base)
        seconds = max(0.0, ended_s - begun_s)
        _report(video, segment.count, seconds=seconds, key_frames=found)
        yield beam.pvalue.TaggedOutput(self.STRETCHES, (video, stretch))


@dataclass(frozen=True)
class _Unread:
    """Shots of a video whose key frames are to be read again in one pass."""

    clock: Clock
    shots: tuple[Shot, ...]


class _Close(beam.DoFn):
    """(video, joined stretches) -> (video, film); (video, shots to read again) in the output UNREAD."""

    UNREAD = "unread"

    def process(self, element: tuple[Video, list[Stretch]]) -> Iterator:
        video, stretches = element
        if len(stretches) != 1:
            there = ", ".join(f"{first} to {last}" for first, last in (stretch.segments for stretch in stretches))
            reason = f"of its segments 0 to {stretches[0].count - 1} only {there} came back; run again"
            yield beam.pvalue.TaggedOutput(FindShots.FAILED, (video, Failure("accounting", reason, retryable=True)))
            return
        try:
            whole = close(stretches[0])
        except ValueError as error:
            lost = stretches[0].segments != (0, stretches[0].count - 1)
            failure = Failure("accounting" if lost else "sampling", str(error), retryable=lost)
            yield beam.pvalue.TaggedOutput(FindShots.FAILED, (video, failure))
            return
        # Where a seek lands by guess, each pass would decode from the film's beginning: one does for all.
        passes = [(shot,) for shot in whole.unread] if whole.seekable else [whole.unread] if whole.unread else []
        for shots in passes:
            yield beam.pvalue.TaggedOutput(self.UNREAD, (video, _Unread(whole.clock, shots)))
        damage = (
            (f"{number(whole.damaged, 'damaged packet was', 'damaged packets were')} passed over",)
            if whole.damaged
            else ()
        )
        yield (
            video,
            Film(
                duration_s=whole.end_s,
                start_s=whole.start_s,
                frames_sampled=whole.sampled,
                shots=whole.shots,
                warnings=(*damage, *dict.fromkeys(whole.warnings)),
            ),
        )


class _ReadAgain(beam.DoFn):
    """(video, shots to read again) -> (video, key frame)."""

    def __init__(self, decoding: Decoding, cuts: CutFinder | None):
        self.decoding = decoding
        self.cuts = cuts
        self.read = Metrics.counter("shots", "shots_read_again")
        self.decoded = Metrics.counter("sampling", "frames_decoded")

    def setup(self) -> None:
        use_one_thread()

    def process(self, element: tuple[Video, _Unread]) -> Iterator:
        video, unread = element
        unseen = list(unread.shots)
        tally = Tally()
        try:
            if self.cuts:
                unseen = [self.cuts.complete(video.uri, unread.clock, shot, tally) for shot in unseen]
            medians = [shot.median for shot in unseen]
            for frame in self.decoding.samples_again(video.uri, unread.clock, medians, tally):
                shot = next(shot for shot in unseen if shot.first <= frame.index <= shot.last)
                unseen.remove(shot)
                self.read.inc()
                report_progress(video=video.id, key_frames=1)
                yield video, key_frame(unread.clock, shot, frame)
        except Exception as error:
            yield _failed(video, error, "shots")
            return
        self.decoded.inc(tally.decoded)
        for shot in unseen:
            reason = f"the frame at {unread.clock.seconds(shot.median):g} s could not be read a second time"
            yield beam.pvalue.TaggedOutput(FindShots.FAILED, (video, Failure("shots", reason)))
