"""Markers for editors: OpenTimelineIO, and through its adapters EDL (CMX 3600) and Final Cut Pro XML.

A film is a timeline of one clip; each span is a marker of it, from the span's first frame up to the first that is no
longer in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import opentimelineio as otio
from opentimelineio.opentime import RationalTime, TimeRange, from_timecode

from movie_tags import storage
from movie_tags.records import Film, Span
from movie_tags.report.exports import FilmError, LeftOut, Options, Written, listed_spans, one_line, write_each
from movie_tags.report.exports.frames import Frames, frames_of
from movie_tags.results.tables import Results

ADAPTERS = {"otio": "otio_json", "edl": "cmx_3600", "fcpxml": "fcpx_xml"}
APOSTROPHE = "\ue000"
"""Stands for one in names while the adapter looks for them by XPath; of no alphabet."""
COLORS = ("BLUE", "CYAN", "MAGENTA", "YELLOW", "ORANGE", "PURPLE", "PINK")
"""Of markers; a red or green one becomes a task, open or done, in Final Cut Pro."""


def write(results: Results, out: str, options: Options) -> Written:
    """FILM.otio, FILM.edl and FILM.fcpxml for each film whose file is there and that has spans.

    Raises:
        OSError: a file may not be written.
        OutputError: a table cannot be read.
    """
    return write_each(results, out, options, _texts)


def _texts(results: Results, film: Film, options: Options) -> Iterator[tuple[str, str] | LeftOut]:
    spans = listed_spans(results, film, options)
    if not spans:
        yield LeftOut("no tag of it is sure enough for a marker")
        return
    try:
        frames = frames_of(film)
    except FilmError as error:
        yield LeftOut(str(error))
        return
    timeline = timeline_of(film, spans, frames)
    for suffix, adapter in ADAPTERS.items():
        try:
            yield suffix, as_text(timeline, adapter, frames)
        except (otio.exceptions.OTIOError, ValueError) as error:  # such as a rate without timecodes
            yield LeftOut(f"no .{suffix} at {float(frames.rate):.6g} frames a second: {one_line(str(error))}")


def as_text(timeline: otio.schema.Timeline, adapter: str, frames: Frames) -> str:
    """A timeline in the format of an adapter."""
    if adapter == "cmx_3600":
        text = otio.adapters.write_to_string(timeline, adapter, rate=float(frames.rate))
        # The adapter's sequence begins at 0 while markers have the film's timecode: let it begin there, too.
        return re.sub(r"(?m)^(\d+ .* )(\S+ \S+) \S+ \S+$", r"\1\2 \2", text)
    if adapter == "fcpx_xml":
        return _fcpxml(timeline, frames)
    return otio.adapters.write_to_string(timeline, adapter)


def _fcpxml(timeline: otio.schema.Timeline, frames: Frames) -> str:
    """FCPXML; what its adapter cannot do is done here: apostrophes, timecodes, the length of a frame at any rate."""
    timeline = timeline.deepcopy()
    for item in (timeline, *timeline.find_children()):
        item.name = item.name.replace("'", APOSTROPHE)
    root = ElementTree.fromstring(otio.adapters.write_to_string(timeline, "fcpx_xml"))
    for element in root.iter():
        for name, value in element.attrib.items():
            element.set(name, value.replace(APOSTROPHE, "'"))
    for clip in root.iter("clip"):  # its pictures begin where it begins, at the film's own timecode
        for video in clip.findall("video"):
            video.set("offset", clip.get("start", "0s"))
            video.set("start", clip.get("start", "0s"))
    for form in root.iter("format"):
        form.set("frameDuration", f"{frames.rate.denominator}/{frames.rate.numerator}s")
        form.set("width", str(frames.width))
        form.set("height", str(frames.height))
        if not form.get("name"):
            form.attrib.pop("name", None)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{body}\n'


def first_frame(frames: Frames) -> int:
    """The number that the film's own timecode gives its first frame, so that editors find the frames meant; else 0."""
    try:
        return round(from_timecode(frames.timecode, float(frames.rate)).value) if frames.timecode else 0
    except ValueError:  # a rate without timecodes
        return 0


def timeline_of(film: Film, spans: tuple[Span, ...], frames: Frames) -> otio.schema.Timeline:
    """A film's timeline."""
    rate = float(frames.rate)
    begin = first_frame(frames)

    def stretch(first: int, end: int) -> TimeRange:
        return TimeRange(RationalTime(begin + first, rate), RationalTime(end - first, rate))

    title = one_line(film.title)
    whole = stretch(0, frames.count)
    address = quote(film.uri, safe=":/") if storage.is_remote(film.uri) else Path(os.path.abspath(film.uri)).as_uri()
    clip = otio.schema.Clip(title, otio.schema.ExternalReference(address, whole), whole)
    order = {tag.tag: k for k, tag in enumerate(film.short_list)}
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
    timeline = otio.schema.Timeline(title, global_start_time=RationalTime(begin, rate))
    timeline.tracks.append(track)
    return timeline
