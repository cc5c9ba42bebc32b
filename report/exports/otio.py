"""Markers for editors: OpenTimelineIO, and through its adapters EDL (CMX 3600) and Final Cut Pro XML.

A film is a timeline of one clip; each span is a marker of it, from the span's first frame up to the first that is no
longer in it. Frames are those of the picture, numbered from the film's own timecode, as editors number them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import opentimelineio as otio
from opentimelineio.opentime import RationalTime, TimeRange, from_timecode, to_timecode

from movie_tags import storage
from movie_tags.records import SAMPLED, Film, Span, TagStrength
from movie_tags.report.exports import (
    FilmError,
    LeftOut,
    Options,
    Written,
    film_address,
    listed_spans,
    listed_tags,
    one_line,
    reason_for,
    title_of,
    write_each,
)
from movie_tags.report.exports.frame_rates import Frames, frames_of
from movie_tags.report.phrases import length, sure
from movie_tags.results.film_tables import Results

APOSTROPHE = "\ue000"
"""Stands for one in names while the adapter looks for them by XPath; of no alphabet."""
COLORS = ("BLUE", "CYAN", "MAGENTA", "YELLOW", "ORANGE", "PURPLE", "PINK")
"""Of markers; a red or green one becomes a task, open or done, in Final Cut Pro."""
NO_MARKER = "no tag of it is sure enough for a marker"
_EVENT = re.compile(r"^(?:\d+ .*|\* LOC: .*)$", re.M)
_TIMECODE = re.compile(r"\b\d\d:\d\d:\d\d[:;]\d\d\b")


def write(results: Results, out: str, options: Options) -> Written:
    """FILM.otio, FILM.edl and FILM.fcpxml for each film whose file is there and that has spans.

    Raises:
        OSError: a file may not be written.
        OutputError: a table cannot be read.
    """
    return write_each(results, out, options, texts_of({"otio": as_json, "edl": as_edl, "fcpxml": as_fcpxml}))


Form = Callable[[otio.schema.Timeline, Frames], str]
"""A film's timeline with its markers, and its frames -> the text of a file."""


def texts_of(forms: Mapping[str, Form]) -> Callable[[Results, Film, Options], Iterator[tuple[str, str] | LeftOut]]:
    """What gives a film's files of some forms, by their suffixes, and says which it has none of (`write_each`)."""
    return functools.partial(_texts, forms)


def _texts(
    forms: Mapping[str, Form], results: Results, film: Film, options: Options
) -> Iterator[tuple[str, str] | LeftOut]:
    found = _marked(results, film, options)
    if isinstance(found, LeftOut):
        yield found
        return
    timeline, frames = found
    for suffix, text in forms.items():
        try:
            yield suffix, text(timeline, frames)
        except (otio.exceptions.OTIOError, ValueError) as error:  # such as a rate without timecodes
            yield LeftOut(f"no .{suffix} at {float(frames.rate):.6g} frames a second: {one_line(str(error))}")


def _marked(results: Results, film: Film, options: Options) -> tuple[otio.schema.Timeline, Frames] | LeftOut:
    """A film's timeline with its markers, and its frames; or why there is none."""
    spans = listed_spans(results, film, options)
    if not spans:
        return LeftOut(NO_MARKER)
    try:
        frames = steady_frames_of(film)
    except FilmError as error:
        return LeftOut(reason_for(film, error))
    return timeline_of(film, listed_tags(film, options), spans, frames, cuts_of(results, film)), frames


def steady_frames_of(film: Film) -> Frames:
    """A film's frames, where editors can count them.

    Raises:
        FilmError: its file cannot be read, or its frame rate varies.
    """
    frames = frames_of(film)
    if frames.times:
        raise FilmError(
            f"{film.uri}: its frame rate varies, and editors do not agree on how such frames are counted; make a copy "
            f"at a constant rate, as ffmpeg -i FILM -fps_mode cfr -r {float(frames.rate):.0f} COPY does, and tag that"
        )
    return frames


def cuts_of(results: Results, film: Film) -> dict[float, str]:
    """How the beginnings of a film's shots are known: sampled, exact or approximate, by their times in seconds."""
    return {frame.shot_start_s: frame.cut for frame in results.key_frames(film.id)}


def timeline_of(
    film: Film, tags: Sequence[TagStrength], spans: Sequence[Span], frames: Frames, cuts: Mapping[float, str]
) -> otio.schema.Timeline:
    """A film's timeline: titled as people call it, with a clip that has the name of its file.

    Args:
        film: of which file and title.
        tags: those of the spans.
        spans: the markers.
        frames: how the film's frames are counted.
        cuts: how the ends of spans are known, as of `cuts_of`.
    """
    whole = time_range(frames, 0, frames.count)
    clip = otio.schema.Clip(file_name(film), otio.schema.ExternalReference(media_url(film), whole), whole)
    order = {tag.tag: k for k, tag in enumerate(tags)}
    for span in spans:
        number, where = order[span.tag], time_range(frames, *frames.between(span.start_s, span.end_s))
        marker = _marker(span, tags[number], where, COLORS[number % len(COLORS)])
        marker.metadata["movie_tags"]["begin"] = cuts.get(span.start_s, SAMPLED)
        marker.metadata["movie_tags"]["end"] = cuts.get(span.end_s, SAMPLED)
        clip.markers.append(marker)
    title = title_of(film)
    track = otio.schema.Track(title, kind=otio.schema.TrackKind.Video, children=[clip])
    timeline = otio.schema.Timeline(title, global_start_time=whole.start_time)
    timeline.tracks.append(track)
    return timeline


def time_range(frames: Frames, first: int, end: int) -> TimeRange:
    """From a film's frame up to another, both counted from 0, by the film's own timecode and rate."""
    rate = float(frames.rate)
    return TimeRange(RationalTime(first_frame(frames) + first, rate), RationalTime(end - first, rate))


def media_url(film: Film) -> str:
    """The URL of a film's file.

    Raises:
        FilmError: as of `film_address`.
    """
    uri = film_address(film)
    return quote(uri, safe=":/") if storage.is_remote(uri) else Path(uri).as_uri()


def file_name(film: Film) -> str:
    """The name of a film's file, as clips are called."""
    return one_line(storage.base_name(film.uri))


def _marker(span: Span, tag: TagStrength, where: TimeRange, color: str) -> otio.schema.Marker:
    said = {
        "confidence": tag.confidence,
        "seconds": tag.seconds,
        "mean_probability": span.mean_probability,
        "peak_probability": span.peak_probability,
        "key_frames": span.key_frames,
    }
    known = {name: value for name, value in said.items() if value is not None}
    comment = f"{sure(tag)}, {length(span.end_s - span.start_s)}"
    return otio.schema.Marker(one_line(span.tag), where, color, {"movie_tags": known}, comment)


def first_frame(frames: Frames) -> int:
    """The number that the film's own timecode gives its first frame, so that editors find the frames meant; else 0."""
    try:
        return round(from_timecode(frames.timecode, float(frames.rate)).value) if frames.timecode else 0
    except ValueError:  # a rate without timecodes
        return 0


def as_json(timeline: otio.schema.Timeline, frames: Frames) -> str:
    """OpenTimelineIO's own format."""
    return otio.adapters.write_to_string(timeline, "otio_json")


def as_edl(timeline: otio.schema.Timeline, frames: Frames) -> str:
    """EDL (CMX 3600): one event, and a locator a marker.

    Raises:
        ValueError: there are no timecodes at this rate.
    """
    timeline = timeline.deepcopy()
    for clip in timeline.find_clips():
        for marker in clip.markers:  # a locator is a point: how long it lasts is said, like how sure it is
            marker.name = f"{marker.name}, {marker.comment}"
    text = otio.adapters.write_to_string(timeline, "cmx_3600", rate=float(frames.rate))
    # The adapter counts in drop-frame at 29.97 and 59.94 whatever the film does, and its sequence begins at 0.
    text = _EVENT.sub(lambda line: _TIMECODE.sub(lambda code: _own(code.group(), frames), line.group()), text)
    text = re.sub(r"(?m)^(\d+ .* )(\S+ \S+) \S+ \S+$", r"\1\2 \2", text)
    return re.sub(r"(?m)^(TITLE:.*\n)", rf"\1{counting_mode(frames)}\n", text, count=1)


def counting_mode(frames: Frames) -> str:
    """The line of an EDL that says how its timecodes count."""
    return "FCM: DROP FRAME" if frames.drop_frame else "FCM: NON-DROP FRAME"


def _own(timecode: str, frames: Frames) -> str:
    """A timecode in the film's own way of counting."""
    return to_timecode(from_timecode(timecode, float(frames.rate)), float(frames.rate), frames.drop_frame)


def as_fcpxml(timeline: otio.schema.Timeline, frames: Frames) -> str:
    """FCPXML; what its adapter cannot do is done here: apostrophes, timecodes, the length of a frame, sound, notes."""
    timeline = timeline.deepcopy()
    for item in (timeline, *timeline.find_children()):
        item.name = item.name.replace("'", APOSTROPHE)
    root = ElementTree.fromstring(otio.adapters.write_to_string(timeline, "fcpx_xml"))
    for element in root.iter():
        for name, value in element.attrib.items():
            element.set(name, value.replace(APOSTROPHE, "'"))
    for form in root.iter("format"):
        form.set("frameDuration", f"{frames.rate.denominator}/{frames.rate.numerator}s")
        form.set("width", str(frames.width))
        form.set("height", str(frames.height))
        if not form.get("name"):
            form.attrib.pop("name", None)
    _set_media(root, frames)
    for element, marker in zip(root.iter("marker"), (m for c in timeline.find_clips() for m in c.markers), strict=True):
        element.set("note", marker.comment)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{body}\n'


def _set_media(root: ElementTree.Element, frames: Frames) -> None:
    """Say how timecodes count and where they begin, of the sequence and its clip, and what sound the film has."""
    counts = "DF" if frames.drop_frame else "NDF"
    for sequence in root.iter("sequence"):
        sequence.set("tcFormat", counts)
    for clip in root.iter("clip"):  # its pictures begin where it begins, at the film's own timecode
        start = clip.get("start", "0s")
        clip.set("tcFormat", counts)
        for video in clip.findall("video"):
            video.set("offset", start)
            video.set("start", start)
            if frames.sound:
                of_film = {name: video.get(name, "") for name in ("ref", "duration")}
                ElementTree.SubElement(video, "audio", {"lane": "-1", "offset": start, "start": start, **of_film})
    for asset in root.iter("asset"):
        asset.set("hasAudio", "1" if frames.sound else "0")
        if frames.sound:
            asset.set("audioSources", str(frames.sound.streams))
            asset.set("audioChannels", str(frames.sound.channels))
            asset.set("audioRate", str(frames.sound.rate))
