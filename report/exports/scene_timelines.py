"""Timelines of scenes: what a search has found, one after another, as OpenTimelineIO or as an edit decision list.

Each scene is a clip of its film's file, by the film's own timecode and rate; the sequence begins at 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import opentimelineio as otio
from opentimelineio.opentime import RationalTime, to_timecode

from movie_tags import storage
from movie_tags.report.exports import FilmError, Written, one_line, reason_for
from movie_tags.report.exports.frame_rates import Frames
from movie_tags.report.exports.otio import (
    counting_mode,
    file_name,
    first_frame,
    media_url,
    steady_frames_of,
    time_range,
)
from movie_tags.report.exports.scenes import Scene

MOST_EVENTS = 999
"""Of an edit decision list: its numbers have three digits."""

Event = tuple[Scene, Frames]
"""A scene, and how its film's frames are counted."""


def write(scenes: Sequence[Scene], to: str, out: str, title: str) -> Written:
    """Write scenes.otio, or scenes.edl; where films' rates differ, an EDL for each of them, such as scenes-25.edl.

    Raises:
        OSError: a file may not be written.
    """
    written = Written()
    events = _counted(scenes, written)
    texts = _edls(events, title, written) if to == "edl" else {}
    if to == "otio" and events:
        texts["scenes.otio"] = otio.adapters.write_to_string(timeline_of(events, title), "otio_json")
    for name, text in texts.items():
        path = storage.join(out, name)
        storage.write_text(path, text)
        written.files.append(path)
    return written


def _counted(scenes: Sequence[Scene], written: Written) -> list[Event]:
    """The scenes of films whose frames can be counted; films of others are noted as left out, once."""
    known: dict[str, Frames | None] = {}
    for film in {scene.film.id: scene.film for scene in scenes}.values():
        try:
            known[film.id] = steady_frames_of(film)
        except FilmError as error:
            known[film.id] = None
            written.left_out.append((film.title, reason_for(film, error)))
    found = ((scene, known[scene.film.id]) for scene in scenes)
    return [(scene, frames) for scene, frames in found if frames is not None]


def timeline_of(events: Sequence[Event], title: str) -> otio.schema.Timeline:
    """Scenes one after another as a timeline."""
    track = otio.schema.Track(one_line(title), kind=otio.schema.TrackKind.Video)
    for scene, frames in events:
        shown = time_range(frames, *frames.between(scene.start_s, scene.end_s))
        media = otio.schema.ExternalReference(media_url(scene.film), time_range(frames, 0, frames.count))
        track.append(otio.schema.Clip(file_name(scene.film), media, shown))
    timeline = otio.schema.Timeline(one_line(title))
    timeline.tracks.append(track)
    return timeline


def _edls(events: Sequence[Event], title: str, written: Written) -> dict[str, str]:
    """The edit decision lists by name: an EDL has one rate."""
    texts = {}
    rates = sorted({frames.rate for _, frames in events})
    for rate in rates:
        name = "scenes.edl" if len(rates) == 1 else f"scenes-{float(rate):.6g}.edl"
        of_rate = [event for event in events if event[1].rate == rate]
        try:
            texts[name] = edl_of(of_rate[:MOST_EVENTS], title)
        except ValueError:
            written.left_out.append(
                (name, f"there are no timecodes at {float(rate):.6g} frames a second; use --to otio")
            )
        if len(of_rate) > MOST_EVENTS:
            more = len(of_rate) - MOST_EVENTS
            written.left_out.append((name, f"an EDL holds {MOST_EVENTS} events: {more} scenes more; use --to otio"))
    return texts


def edl_of(events: Sequence[Event], title: str) -> str:
    """An edit decision list (CMX 3600) of scenes of one rate, each by the timecode of its own film.

    OpenTimelineIO's adapter counts in drop-frame at 29.97 whatever the film does, so its lines are written here.

    Raises:
        ValueError: there are no timecodes at this rate.
    """
    first_of_all = events[0][1]
    rate, drops, at = float(first_of_all.rate), first_of_all.drop_frame, 0
    lines, counting = [f"TITLE: {one_line(title)}"], None
    for number, (scene, frames) in enumerate(events, 1):
        first, end = frames.between(scene.start_s, scene.end_s)
        begin, length = first_frame(frames), end - first
        times = [(place, frames.drop_frame) for place in (begin + first, begin + end)] + [
            (at, drops),
            (at + length, drops),
        ]
        codes = " ".join(to_timecode(RationalTime(place, rate), rate, drop) for place, drop in times)
        if counting != counting_mode(frames):
            counting = counting_mode(frames)
            lines.append(counting)
        lines += [f"{number:03}  AX       V     C        {codes}", f"* FROM CLIP NAME: {file_name(scene.film)}"]
        at += length
    return "\n".join(lines) + "\n"
