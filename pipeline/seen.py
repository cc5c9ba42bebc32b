"""What was seen of films, read of the parts that keep it, and what a model's heads say of it: no film, no Beam.

What was seen of a film lies in the part of the run that decoded it: its row and its key frames in the tables, in order
of id, the features beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from movie_tags import storage
from movie_tags.models.ensemble import Ensemble, say_again
from movie_tags.models.quantised import restore_all
from movie_tags.pipeline.method import Method
from movie_tags.pipeline.summing_up import Known
from movie_tags.records import CARD, PICTURE, Failure, Film, KeyFrame, KeyFrameFeatures, Video
from movie_tags.results import features
from movie_tags.results.manifest import Due
from movie_tags.results.merge import Cursor
from movie_tags.results.reading import TABLES, OutputError, read_row
from movie_tags.results.schema import from_row
from movie_tags.results.sort import lines_of
from movie_tags.transforms.frame_rule import FrameRule, TaggedFrame

STAGE = "retagging"
TAGS, KEY_FRAMES, _, ERRORS = TABLES
OF_HEADS = ("tags", "top_k", "watch")
"""What of a key frame's row a head said."""


@dataclass(frozen=True)
class Seen:
    """What a part says of a film: its rows, its key frames less what was said of them, its features, and failures.

    There is one row where all is well, and of each key frame one of features.
    """

    films: tuple[Film, ...] = ()
    key_frames: tuple[KeyFrame, ...] = ()
    features: tuple[KeyFrameFeatures, ...] = ()
    bad_frames: tuple[Failure, ...] = ()


def read_seen(results: str, part: str, due: Iterable[Due]) -> Iterator[tuple[Due, Seen | Failure]]:
    """What a part keeps of films, film by film in order of id; the features of all of them are held in memory.

    Args:
        results: the folder of results.
        part: its path there.
        due: the films, all of that part.
    """
    items = sorted(due, key=lambda item: item.video.id)
    address = storage.join(results, part)
    read = 0
    try:
        for item, seen in _read(address, items):
            yield item, seen
            read += 1
    except (OSError, OutputError) as error:
        reason = f"{address}: what was seen cannot be read ({error}); --force decodes anew"
        yield from ((item, Failure(STAGE, reason)) for item in items[read:])


def _read(address: str, items: list[Due]) -> Iterator[tuple[Due, Seen]]:
    kept: dict[str, list[KeyFrameFeatures]] = {item.video.id: [] for item in items}
    for one in features.read(address, kept.keys()):
        kept[one.id].append(one)
    paths = {name: storage.join(address, f"{name}.jsonl") for name in (TAGS, KEY_FRAMES, ERRORS)}
    tables = {name: Cursor(lines_of([path])) for name, path in paths.items()}
    for item in items:
        id = item.video.id
        rows = {name: [read_row(line, paths[name], 0) for line in table.take(id)] for name, table in tables.items()}
        failures = (from_row(Failure, row) for row in rows[ERRORS])
        seen = Seen(
            tuple(from_row(Film, {**row, "tags": (), "short_list": ()}) for row in rows[TAGS]),
            tuple(from_row(KeyFrame, _less_what_was_said(row)) for row in rows[KEY_FRAMES]),
            tuple(kept.pop(id)),
            tuple(failure for failure in failures if failure.of_key_frame),
        )
        yield item, seen


def _less_what_was_said(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in OF_HEADS}


class Teller:
    """Says anew what a model's heads say of films that were seen."""

    def __init__(self, models: Ensemble, method: Method):
        """
        Raises:
            BundleError: a bundle has no head, or none that can be read.
        """
        self.heads = models.heads()
        self.rule = FrameRule.of(models, method.top_k, method.min_probability)

    def known(self, item: Due, seen: Seen | Failure) -> tuple[Video, Known]:
        """A film that is due, and what is known of it now."""
        if isinstance(seen, Failure):
            return item.video, failed(seen)
        vectors = {one.time_s: one.features for one in seen.features}
        if len(seen.films) != 1 or set(vectors) != {frame.time_s for frame in seen.key_frames}:
            return item.video, failed(Failure(STAGE, "what was seen of it is not whole; --force decodes it anew"))
        (film,) = seen.films
        found: Known = {
            "films": [film],
            "key_frames": self._said(seen.key_frames, [vectors[frame.time_s] for frame in seen.key_frames]),
            "rejected": [film.key_frames_rejected],
            "bad_frames": seen.bad_frames,
            "failures": [],
            "warnings": [text for text in item.warnings if text not in film.warnings],
        }
        return replace(item.video, content=film.content), found

    def _said(self, frames: tuple[KeyFrame, ...], vectors: list[bytes]) -> list[TaggedFrame]:
        """Key frames with what the heads say of them."""
        if not frames:
            return []
        probabilities = say_again(self.heads, restore_all(vectors))
        # That a key frame is a title card is what a head said; that it is black was seen.
        plain = [replace(frame, kind=PICTURE) if frame.kind == CARD else frame for frame in frames]
        return [self.rule.tagged(frame, row) for frame, row in zip(plain, probabilities, strict=True)]


def failed(failure: Failure) -> Known:
    """What is known of a film that cannot be tagged anew."""
    empty = ("films", "key_frames", "rejected", "bad_frames", "warnings")
    return {**{name: [] for name in empty}, "failures": [failure]}
