"""Markers for editors: OpenTimelineIO, and through its adapters EDL (CMX 3600) and Final Cut Pro XML.

A film is a timeline of one clip; each span is a marker of it, from the span's first frame up to the first that is no
longer in it.
"""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import opentimelineio as otio
from opentimelineio.opentime import RationalTime, TimeRange

from movie_tags import storage
from movie_tags.report.exports import Written, in_folder, kept_spans, one_line
from movie_tags.report.exports.frames import FrameError, Frames, frames_of
from movie_tags.report.tables import Film, Results, Span

ADAPTERS = {"otio": "otio_json", "edl": "cmx_3600", "fcpxml": "fcpx_xml"}
COLORS = ("BLUE", "CYAN", "MAGENTA", "YELLOW", "ORANGE", "PURPLE", "PINK")
"""Of markers; a red or green one becomes a task, open or done, in Final Cut Pro."""


def write(results: Results, out: str) -> Written:
    """FILM.otio, FILM.edl and FILM.fcpxml for each film whose file is there and that has spans.

    Raises:
        OSError: a file may not be written.
        OutputError: a table cannot be read.
    """
    written = Written()
    for film, name in in_folder(results):
        spans = kept_spans(results, film)
        if not spans:
            written.left_out.append((film.title, "no tag of it is sure enough for a marker"))
            continue
        try:
            frames = frames_of(film.uri, film.duration_s)
        except FrameError as error:
            written.left_out.append((film.title, str(error)))
            continue
        timeline = timeline_of(film, spans, frames)
        for suffix, adapter in ADAPTERS.items():
            try:
                text = as_text(timeline, adapter, frames)
            except (otio.exceptions.OTIOError, ValueError) as error:  # such as a rate that has no timecode
                reason = f"no .{suffix} at {float(frames.rate):.6g} frames a second: {one_line(str(error))}"
                written.left_out.append((film.title, reason))
                continue
            path = storage.join(out, f"{name}.{suffix}")
            storage.write_text(path, text)
            written.files.append(path)
    return written


def as_text(timeline: otio.schema.Timeline, adapter: str, frames: Frames) -> str:
    """A timeline in the format of an adapter."""
    if adapter == "cmx_3600":
        return otio.adapters.write_to_string(timeline, adapter, rate=float(frames.rate))
    text = otio.adapters.write_to_string(timeline, adapter)
    return _with_format(text, frames) if adapter == "fcpx_xml" else text


def _with_format(text: str, frames: Frames) -> str:
    """FCPXML with the true length of a frame: the adapter leaves it empty for 24000/1001 and 30000/1001."""
    root = ElementTree.fromstring(text)
    for form in root.iter("format"):
        form.set("frameDuration", f"{frames.rate.denominator}/{frames.rate.numerator}s")
        form.set("width", str(frames.width))
        form.set("height", str(frames.height))
        if not form.get("name"):
            form.attrib.pop("name", None)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{body}\n'


def timeline_of(film: Film, spans: tuple[Span, ...], frames: Frames) -> otio.schema.Timeline:
    """A film's timeline."""
    rate = float(frames.rate)

    def stretch(first: int, end: int) -> TimeRange:
        return TimeRange(RationalTime(first, rate), RationalTime(end - first, rate))

    title = one_line(film.title)
    whole = stretch(0, frames.count)
    address = film.uri if storage.is_remote(film.uri) else Path(os.path.abspath(film.uri)).as_uri()
    clip = otio.schema.Clip(title, otio.schema.ExternalReference(address, whole), whole)
    order = {tag.tag: k for k, tag in enumerate(film.tags)}
    for span in spans:
        clip.markers.append(
            otio.schema.Marker(
                one_line(span.tag),
                stretch(*frames.between(span.start_s, span.end_s)),
                COLORS[order[span.tag] % len(COLORS)],
                {
                    "movie_tags": {
                        "mean_probability": span.mean_probability,
                        "peak_probability": span.peak_probability,
                        "key_frames": span.key_frames,
                    }
                },
            )
        )
    track = otio.schema.Track(title, kind=otio.schema.TrackKind.Video, children=[clip])
    timeline = otio.schema.Timeline(title, global_start_time=RationalTime(0, rate))
    timeline.tracks.append(track)
    return timeline
