"""Scenes: what a search has found, for editors: as clips, as an OpenTimelineIO timeline or an edit decision list."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.records import Film
from movie_tags.report.exports import FilmError, Written, film_address, load, portable
from movie_tags.report.phrases import clock, number

SCENE_FORMATS = ("clips", "otio", "edl")


@dataclass(frozen=True)
class Scene:
    """A stretch of a film, in seconds after its first frame."""

    film: Film
    start_s: float
    end_s: float


def write_scenes(scenes: Sequence[Scene], to: str, out: str, title: str) -> Written:
    """Write scenes, in the order given, into a folder.

    Args:
        scenes: the scenes.
        to: one of SCENE_FORMATS. clips: a file a scene, FILM_START_END.mp4. otio: scenes.otio. edl: scenes.edl, or one
            for each frame rate where films differ, scenes-25.edl.
        out: the folder; local for clips.
        title: of the timeline.

    Raises:
        UserError: clips for a remote folder, or a library that is not installed.
        OSError: a file may not be written.
    """
    storage.make_folder(out)
    if to == "clips":
        return write_clips(scenes, out)
    return load("scene-timelines", to).write(scenes, to, out, title)


def write_clips(scenes: Iterable[Scene], out: str) -> Written:
    """A clip for each scene; the notes say how many were copied, and which were encoded anew."""
    from movie_tags.report.exports.clips import COPIED, write_clip  # imports the decoder
    from movie_tags.transforms.video.errors import VideoError

    if storage.is_remote(out):
        raise UserError(f"--output {out}: clips are written to a local folder; copy them from there")
    written, encoded = Written(), []
    for scene, name in names_of(scenes):
        try:
            clip = write_clip(film_address(scene.film), os.path.join(out, name), scene.start_s, scene.end_s)
        except (VideoError, FilmError) as error:
            written.left_out.append((f"{scene.film.title} at {scene.start_s:g} s", str(error)))
            continue
        if clip.how != COPIED:
            encoded.append(os.path.basename(clip.path))
        written.files.append(clip.path)
    if written.files:
        copied = len(written.files) - len(encoded)
        written.notes.append(
            f"{number(copied, 'clip is a copy', 'clips are copies')} of the films' own packets; "
            + number(len(encoded), "begins or ends", "begin or end")
            + f" between codec key frames and {'was' if len(encoded) == 1 else 'were'} encoded anew"
            + (f": {', '.join(encoded)}" if encoded else "")
        )
    return written


def names_of(scenes: Iterable[Scene]) -> Iterator[tuple[Scene, str]]:
    """Each scene with a name for its clip: FILM_START_END, with the film's suffix or a number where it is taken."""
    taken: set[str] = set()
    for scene in scenes:
        film, when = Path(storage.base_name(scene.film.uri)), f"_{clock_name(scene.start_s)}_{clock_name(scene.end_s)}"
        numbered = (f"{portable(film.name)}-{number}{when}" for number in itertools.count(2))
        names = itertools.chain((portable(film.stem) + when, portable(film.name) + when), numbered)
        name = next(name for name in names if name.casefold() not in taken)
        taken.add(name.casefold())
        yield scene, name


def clock_name(seconds: float) -> str:
    """A time as a part of a file's name: hours, minutes, seconds and thousandths, 00-01-12.480."""
    return clock(seconds).replace(":", "-")
