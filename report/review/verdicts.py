"""What a person says on the page: checked, kept, and undone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from threading import Lock
from typing import Any

from movie_tags.records import Film
from movie_tags.report.review.live import Live
from movie_tags.results.corrections import WITHDRAWN, Correction, CorrectionError, correction_of

MOST_BYTES = 10_000
MOST_CHARACTERS = 200
"""Of a tag, and of a person's name."""


def read_body(body: bytes) -> dict[str, Any]:
    """A request's object of JSON.

    Raises:
        CorrectionError: it is none, or too long.
    """
    try:
        said = json.loads(body) if len(body) <= MOST_BYTES else None
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise CorrectionError("what is sent is a short object of JSON")
    return said


def correction_from(said: Mapping[str, Any], film: Film) -> Correction:
    """What a page's script says of a film.

    Raises:
        CorrectionError: it says nothing that can be kept.
    """
    texts = [said.get(name, "") for name in ("tag", "by")]
    if any(not isinstance(text, str) or len(text) > MOST_CHARACTERS or not text.isprintable() for text in texts):
        raise CorrectionError(f"a tag and a name are at most {MOST_CHARACTERS} characters of text")
    known = {name: said[name] for name in ("tag", "by", "verdict", "start_s", "end_s") if name in said}
    return replace(correction_of({**known, "film": film.id, "content": film.content}), key="", at="")


class Desk:
    """Keeps what people say, and for each of them how to undo it. What was said in another session stays."""

    def __init__(self, live: Live):
        self.live = live
        self._done: dict[str, list[Correction]] = {}
        self._lock = Lock()

    def say(self, correction: Correction, film: Film) -> None:
        """Keep a correction: when this returns it is on the disk.

        Raises:
            OSError: it cannot be kept.
        """
        with self._lock:
            before = self.live.now().verdicts(film).get((correction.tag, correction.place))
            (kept,) = self.live.corrections.append([correction])
            back = before or replace(kept, verdict=WITHDRAWN)
            self._done.setdefault(kept.by, []).append(replace(back, at="", key=""))

    def undo(self, by: str) -> Correction | None:
        """Take back what a person said last, so that what held before holds again. Returns what is said for that.

        Raises:
            OSError: it cannot be kept.
        """
        with self._lock:
            done = self._done.get(by)
            if not done:
                return None
            (kept,) = self.live.corrections.append([done[-1]])
            done.pop()
            return kept
