"""Which NFO are a film's: by the names that Kodi (CVideoTagLoaderNFO) and Jellyfin (MovieNfoSaver) look for.

Pure functions of names. A file that could be of two films is taken for neither's: tags never go into another film's.
"""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Callable, Set
from dataclasses import dataclass

from movie_tags.report.exports.nfo_text import NfoError
from movie_tags.storage.addresses import is_remote, same_text
from movie_tags.storage.suffixes import is_merging, is_stream, is_video, suffix_of

Names = Callable[[str], Set[str]]
"""Lists a folder: its address -> the names in it."""

_EXTRA = re.compile(
    r"(.*[-._ ])?(trailer|sample|behindthescenes|deleted(scene)?|featurette|interview|scene|short|clip|other|extra)\d*",
    re.I | re.S,
)
_PART = re.compile(r"[-._ ]*\b(cd|dvd|part|pt|dis[ck])[-._ ]*([0-9]+|[a-d])$", re.I)
_EPISODE = re.compile(r"(?<![a-z0-9])s\d{1,4}[-._ ]*ep?\d{1,4}|(?<![\dx])\d{1,2}x\d{2,3}(?!\d)", re.I)
_SEASON = re.compile(r"(season|series|staffel|saison|temporada|stagione)[-._ ]*\d+|s\d{1,2}|specials", re.I)


@dataclass(frozen=True)
class Place:
    """Where a film's tags go.

    Attributes:
        files: the NFO of it that are there.
        new: where one would be made.
        root: the root of that one.
        is_extra: the film is a trailer or the like of another film beside it, which media servers list with that one.
    """

    files: tuple[str, ...]
    new: str
    root: str = "movie"
    is_extra: bool = False


def place_of(uri: str, names: Names) -> Place:
    """The NFO of a film.

    Raises:
        NfoError: it would be another film's, too.
        OSError: a folder may not be listed.
    """
    folder, name = posixpath.split(uri)
    here = posixpath.basename(folder).upper()
    if here == "VIDEO_TS":
        return _of_disc(folder, "VIDEO_TS.nfo", stem(name), names)
    if here == "STREAM" and posixpath.basename(posixpath.dirname(folder)).upper() == "BDMV":
        return _of_disc(posixpath.dirname(folder), "index.nfo", "", names)
    return _of_file(folder, name, names)


def _of_disc(disc: str, own: str, title: str, names: Names) -> Place:
    """Of a DVD's or Blu-ray's folder: the disc's own NFO, and the one of the folder that holds the disc alone."""
    home = posixpath.dirname(disc)
    alone = not any(map(is_film, names(home)))
    of_home = ("movie.nfo", f"{posixpath.basename(home)}.nfo") if alone else ()
    files = [posixpath.join(disc, n) for n in (own, f"{title}.nfo") if n in names(disc)]
    files += [posixpath.join(home, found) for n in of_home if (found := _found(n, names(home)))]
    return Place(tuple(dict.fromkeys(files)), posixpath.join(home, "movie.nfo") if alone else posixpath.join(disc, own))


def _of_file(folder: str, name: str, names: Names) -> Place:
    around = names(folder)
    videos = [other for other in around if is_film(other) or other == name]
    twins = [other for other in videos if other != name and same_text(stem(other)) == same_text(stem(name))]
    if twins:
        raise NfoError(f"{stem(name)}.nfo would be that of {min(twins)}, too; rename one of the two")
    wanted = [f"{stem(name)}.nfo"]
    episode = is_episode(folder, name, names)
    if not episode and not _EXTRA.fullmatch(stem(name)) and is_of_one_film(posixpath.basename(folder), videos):
        wanted += ["movie.nfo", f"{_PART.sub('', stem(name))}.nfo"]
    files = [posixpath.join(folder, found) for n in wanted if (found := _found(n, around, _others(name, videos)))]
    new = posixpath.join(folder, wanted[0])
    is_extra = _is_extra(name, posixpath.basename(folder), videos)
    return Place(tuple(dict.fromkeys(files)), new, "episodedetails" if episode else "movie", is_extra)


def _is_extra(name: str, folder: str, videos: list[str]) -> bool:
    """Whether a video is by its name a trailer or the like of another: film-trailer, or any in that one's folder."""
    found = _EXTRA.fullmatch(same_text(stem(name)))
    films = [stem(other) for other in videos if other != name and not _EXTRA.fullmatch(stem(other))]
    if not found or not films:
        return False
    of = (found.group(1) or "")[:-1].casefold()
    return of in {same_text(film).casefold() for film in films} or is_of_one_film(folder, videos)


def _others(name: str, videos: list[str]) -> set[str]:
    """The names of the NFO of other films in the folder."""
    return {same_text(stem(other)) + ".nfo" for other in videos if other != name}


def _found(wanted: str, names: Set[str], taken: Set[str] = frozenset()) -> str | None:
    """Find a name: exact, or else whatever its case (film.NFO), unless that is exactly the name of another film's."""
    spelled = {n: same_text(n) for n in names}
    exact = [n for n, text in spelled.items() if text == same_text(wanted)]
    loose = [
        n
        for n, text in spelled.items()
        if text.casefold() == same_text(wanted).casefold() and stem(text) + ".nfo" not in taken
    ]
    return min(exact or loose, default=None)


def stem(name: str) -> str:
    """A file's name without its suffix."""
    return name.rpartition(".")[0] or name


def is_film(name: str) -> bool:
    """Whether a file is a film by its name: a video, or the image or index of a disc; none of a downloader's pieces."""
    if name.startswith(".") or is_merging(name) or is_stream(name):
        return False
    return is_video(name) or suffix_of(name) in (".iso", ".ifo")


def is_of_one_film(folder: str, names: list[str]) -> bool:
    """Whether a folder is one film's own: its videos are parts or versions of one, trailers and the like aside.

    Args:
        folder: its name; versions begin with it (Film/Film - 1080p.mkv).
        names: of the videos in it.
    """
    films = {_PART.sub("", same_text(stem(name))) for name in names if not _EXTRA.fullmatch(stem(name))}
    home = same_text(folder)
    return len(films) == 1 or (bool(films) and all(f == home or f.startswith(f"{home} - ") for f in films))


def is_episode(folder: str, name: str, names: Names) -> bool:
    """Whether a file is an episode of a series: by its name (S01E02, 1x02), its folder's, or a tvshow.nfo above it."""
    if _EPISODE.search(stem(name)) or _SEASON.fullmatch(posixpath.basename(folder)):
        return True
    if "tvshow.nfo" in names(folder):
        return True
    if is_remote(folder):  # listing a folder there lists everything below it
        return False
    with contextlib.suppress(OSError):  # it need not be readable
        return "tvshow.nfo" in names(posixpath.dirname(folder))
    return False
