"""DaVinci Resolve: markers in the EDL that its Timelines > Import > Timeline Markers from EDL reads.

A plain EDL's locators are points; these keep their lengths, colours and notes.
"""

from __future__ import annotations

from opentimelineio.opentime import RationalTime, to_timecode
from opentimelineio.schema import Marker, Timeline

from movie_tags.report.exports import Options, Written, write_each
from movie_tags.report.exports.frame_rates import Frames
from movie_tags.report.exports.otio import counting_mode, texts_of
from movie_tags.results.film_tables import Results

COLORS = {"MAGENTA": "Fuchsia", "ORANGE": "Sand"}
"""As Resolve calls those of ours that it does not have."""


def write(results: Results, out: str, options: Options) -> Written:
    """FILM.edl for each film whose file is there and that has spans.

    Raises:
        OSError: a file may not be written.
        OutputError: a table cannot be read.
    """
    return write_each(results, out, options, texts_of({"edl": as_text}))


def as_text(timeline: Timeline, frames: Frames) -> str:
    """The file of a film's markers.

    Raises:
        ValueError: there are no timecodes at this rate.
    """
    markers = [marker for clip in timeline.find_clips() for marker in clip.markers]
    head = f"TITLE: {timeline.name}\n{counting_mode(frames)}\n\n"
    return head + "".join(_event(number, marker, frames) for number, marker in enumerate(markers, 1))


def _event(number: int, marker: Marker, frames: Frames) -> str:
    rate, first = float(frames.rate), marker.marked_range.start_time
    begin, end = (to_timecode(at, rate, frames.drop_frame) for at in (first, first + RationalTime(1, rate)))
    name, note = (text.replace("|", "/") for text in (marker.name, marker.comment))
    color = COLORS.get(marker.color, marker.color.capitalize())
    said = f"{note} |C:ResolveColor{color} |M:{name} |D:{round(marker.marked_range.duration.value)}"
    return f"{number:03}  001      V     C        {begin} {end} {begin} {end}  \n{said}\n\n"
