"""Distinct videos: what several inputs that name one id, or one file, come to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from movie_tags import storage
from movie_tags.records import Failure, Video


@dataclass(frozen=True)
class Distinct:
    """What the videos that were named with one id come to.

    Attributes:
        video: the one video; None where they are different files, whose results could not be told apart.
        merged: one for each time that one was named once more.
        failed: of different files each, with the reason.
        warning: in words; None where there is none.
    """

    video: Video | None
    merged: tuple[Video, ...] = ()
    failed: tuple[tuple[Video, Failure], ...] = ()
    warning: str | None = None


def distinct(video_id: str, videos: Iterable[Video]) -> Distinct:
    """What some videos, all named with this id, come to; in any order the same."""
    by_file: dict[str, list[Video]] = {}
    for video in sorted(videos):
        by_file.setdefault(storage.identity(video.uri), []).append(video)
    merged = tuple(same[0] for same in by_file.values() for _ in same[1:])
    if len(by_file) > 1:
        reason = f"its id {video_id!r} is given to {len(by_file)} videos; give each an id of its own"
        failed = tuple((same[0], Failure("catalogue", reason)) for same in by_file.values())
        return Distinct(None, merged, failed)
    ((file, same),) = by_file.items()
    chosen = next((video for video in same if video.uri == file), same[0])  # the file itself before links to it
    titles = sorted({video.title for video in same if video.uri == chosen.uri})
    warning = None
    if len(titles) > 1:
        warning = f"it was named with {len(titles)} titles: {', '.join(map(repr, titles))}"
    return Distinct(replace(chosen, title=titles[0] or titles[-1]), merged, warning=warning)


def same_file(videos: Iterable[Video]) -> Iterator[tuple[Video, str]]:
    """A warning for each of several videos but the first that are one file: each is decoded and tagged by itself."""
    first, *others = sorted(videos)
    for video in others:
        yield video, f"it is the same file as {first.id!r} and was tagged a second time"
