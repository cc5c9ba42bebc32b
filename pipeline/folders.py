"""What in a folder is a film, by names alone; what is not looked at is counted by the reason."""

from __future__ import annotations

import glob as patterns
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from movie_tags import storage
from movie_tags.storage.suffixes import BESIDE, CONTROL, PARTIAL, is_merging, is_stream, is_video, suffix_of

RECYCLED, COPIES, SYSTEM = "in recycle bins", "previews and snapshots of a NAS", "of the file system"
HIDDEN, UNFINISHED, STREAMS = "hidden", "half-downloaded", "separate streams of a downloader"
LINKS, SPECIAL, NO_SUFFIX = "links that lead nowhere", "no regular files", "without a suffix"

_FOLDERS = {
    RECYCLED: r"[#@$.]recycled?|\$recycle\.bin|recycler|recycled|\.trash(es|-\d+)?|network trash folder",
    COPIES: r"@eadir|\.@__thumb|[#@~.]snapshots?|@recently-snapshot|@transcode|@__thumb|plex versions",
    SYSTEM: r"lost\+found|system volume information|found\.\d{3}|__macosx|@tmp",
    UNFINISHED: r".*\.(download|part|incomplete)",  # Safari downloads into a folder
}
_LEFT_OUT_FOLDERS = {why: re.compile(pattern, re.IGNORECASE) for why, pattern in _FOLDERS.items()}
_OF_ONE = {
    COPIES: "preview or snapshot of a NAS",
    STREAMS: "separate stream of a downloader",
    LINKS: "link that leads nowhere",
    SPECIAL: "no regular file",
}
"""How the reasons are said of a single file, where that differs."""
SHOWN_SUFFIXES = 8


@dataclass
class NotLookedAt:
    """What a listing has passed over.

    Attributes:
        files: how many files, by suffix or reason.
        places: addresses below which it is not known what there is: folders that may not be read, links that lead
            nowhere.
        notes: how something was read that could have been read otherwise, for people.
    """

    files: Counter[str] = field(default_factory=Counter)
    places: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def total(self) -> int:
        """How many files."""
        return self.files.total()

    def text(self) -> str:
        """One line for people: `not looked at: 12 .srt, 3 .jpg, 2 in recycle bins`; empty where nothing was."""
        suffixes = Counter({why: n for why, n in self.files.items() if why.startswith(".") and n})
        shown = sorted(suffixes.items(), key=lambda one: (-one[1], one[0]))[:SHOWN_SUFFIXES]
        others = suffixes.total() - sum(n for _, n in shown)
        reasons = sorted((why, n) for why, n in self.files.items() if not why.startswith(".") and n)
        counted = [*shown, *([("of other suffixes", others)] if others else []), *reasons]
        said = [f"{n} {_OF_ONE.get(why, why) if n == 1 else why}" for why, n in counted]
        return f"not looked at: {', '.join(said)}" if said else ""


def why_folder_is_left_out(name: str) -> str | None:
    """The reason why a folder of that name is not searched, None if it is."""
    for why, pattern in _LEFT_OUT_FOLDERS.items():
        if pattern.fullmatch(name):
            return why
    return HIDDEN if name.startswith(".") else None


def why_file_is_left_out(name: str, beside: frozenset[str] | set[str], all_videos: bool = False) -> str | None:
    """The reason or suffix for which a file of a folder is no film, None if it is one.

    Args:
        name: its name.
        beside: the names of all files of its folder, in small letters.
        all_videos: hidden and half-downloaded ones are taken, too.
    """
    stem, suffix = os.path.splitext(name)
    if all_videos:
        half = PARTIAL.fullmatch(suffix) and not suffix.lower().startswith(CONTROL)
        video = is_video(name) or (half and is_video(stem))
        return None if video and not name.startswith("._") else suffix_of(name) or NO_SUFFIX
    if name.startswith("."):
        return HIDDEN
    if PARTIAL.fullmatch(suffix):
        return UNFINISHED
    if not is_video(name):
        return suffix_of(name) or NO_SUFFIX
    if is_merging(name) or any(name.lower() + more in beside for more in BESIDE):
        return UNFINISHED
    return STREAMS if is_stream(name) else None


@dataclass(frozen=True)
class Found:
    """A film of a folder, or a place there that may not be looked into, and why."""

    path: str
    error: OSError | None = None


def films_in(folder: str, skipped: NotLookedAt, all_videos: bool = False) -> Iterator[Found]:
    """The films below a folder, local or remote; links are followed, each folder is searched once.

    Args:
        folder: a canonical address.
        skipped: what is passed over is added to it.
        all_videos: also what is left out by default.

    Raises:
        OSError: a remote folder may not be listed.
    """
    if storage.is_remote(folder):
        prefix = folder.rstrip("/") + "/"
        yield from _chosen(storage.list_files(folder), prefix, skipped, all_videos)
    else:
        yield from _walk(folder, skipped, all_videos)


def _chosen(paths: Iterable[str], prefix: str, skipped: NotLookedAt, all_videos: bool) -> Iterator[Found]:
    """Those of some paths that are films, by the parts of their names behind a prefix."""
    listed = list(paths)
    beside = {path.lower() for path in listed}
    for path in listed:
        *folders, name = path[len(prefix) :].split("/")
        near = {name.lower() + more for more in BESIDE if path.lower() + more in beside}
        left_out = [why for why in map(why_folder_is_left_out, folders) if why and not all_videos]
        why = left_out[0] if left_out else why_file_is_left_out(name, near, all_videos)
        if why is None:
            yield Found(path)
        else:
            skipped.files[why] += 1


def _walk(top: str, skipped: NotLookedAt, all_videos: bool) -> Iterator[Found]:
    waiting, seen = [top], set()
    while waiting:
        folder = waiting.pop()
        try:
            about = os.stat(folder)
            if (about.st_dev, about.st_ino) in seen:  # a link that leads back, or the same folder by another name
                continue
            seen.add((about.st_dev, about.st_ino))
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            skipped.places.append(folder)
            yield Found(folder, error)
            continue
        folders: list[str] = []
        yield from _of_folder(entries, folders, skipped, all_videos)
        waiting += reversed(folders)


def _of_folder(
    entries: list[os.DirEntry], folders: list[str], skipped: NotLookedAt, all_videos: bool
) -> Iterator[Found]:
    """The films right in a folder; the folders in it that are to be searched are added to `folders`."""
    beside = {entry.name.lower() for entry in entries}
    for entry in entries:
        try:
            is_folder = entry.is_dir()
        except OSError as error:  # a link that leads to itself
            skipped.places.append(entry.path)
            yield Found(entry.path, error)
            continue
        if is_folder:
            folders += _searched(entry, skipped, all_videos)
            continue
        why = _why_entry_is_left_out(entry, beside, all_videos)
        if why == LINKS:
            skipped.places.append(entry.path)
        if why is None:
            yield Found(entry.path)
        else:
            skipped.files[why] += 1


def _searched(folder: os.DirEntry, skipped: NotLookedAt, all_videos: bool) -> list[str]:
    """A folder's path if it is to be searched; the files of one that is left out are counted."""
    why = None if all_videos else why_folder_is_left_out(folder.name)
    if why is None:
        return [folder.path]
    if not folder.is_symlink():
        skipped.files[why] += sum(len(names) for _, _, names in os.walk(folder.path))
    return []


def _why_entry_is_left_out(entry: os.DirEntry, beside: set[str], all_videos: bool) -> str | None:
    """The reason why a file, link, pipe or device is no film; None of a film, and of a link that is named as one."""
    why = why_file_is_left_out(entry.name, beside, all_videos)
    if entry.is_file():
        return why
    if not entry.is_symlink():
        return SPECIAL  # opening a pipe would wait for ever
    return why if why in (None, HIDDEN) else LINKS


def matches(pattern: str, skipped: NotLookedAt, all_videos: bool = False) -> Iterator[Found]:
    """The films that a glob matches, local or remote. What its wildcards stand for is judged as in a folder.

    A suffix that the pattern spells out is taken, whatever it is.

    Raises:
        OSError: the place may not be listed.
    """
    forms = {pattern, storage.same_text(pattern), storage.other_text(pattern)}
    literal = set(PurePosixPath(pattern).parts)
    wanted = os.path.splitext(pattern)[1]
    any_suffix = bool(wanted) and not patterns.has_magic(wanted)
    for path in sorted({path for form in forms for path in storage.glob(form)}):
        *folders, name = path.split("/")
        left_out = [why_folder_is_left_out(part) for part in folders if part and part not in literal]
        why = next((why for why in left_out if why and not all_videos), None)
        why = why or (None if name in literal else why_file_is_left_out(name, _near(path), all_videos))
        if why is None or (any_suffix and why in (suffix_of(name), NO_SUFFIX)):
            yield Found(path)
        else:
            skipped.files[why] += 1


def _near(path: str) -> set[str]:
    """The names of partial downloads beside a local file, in small letters."""
    if storage.is_remote(path):
        return set()
    return {(os.path.basename(path) + more).lower() for more in BESIDE if os.path.lexists(path + more)}
