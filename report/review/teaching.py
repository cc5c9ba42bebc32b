"""The page on which a model learns: learn, compare, tag again, one after the other; and the models that came of it.

learned-DATE-TIME/    in the folder of models: what one learned; none is ever changed or removed
latest                a link to the one that tagged last, on a local disk: the name for every night's command
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import time
from collections.abc import Container
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.models import NAMES
from movie_tags.models.building import name_of, place_of
from movie_tags.models.bundle import LEARNED, MODEL_JSON, VOCABULARY
from movie_tags.report.review.live import Catalogue, Live
from movie_tags.report.review.pages import page_of
from movie_tags.report.review.work import DONE, REFUSED, Job, Order, Works
from movie_tags.results.corrections import APPLIES
from movie_tags.results.reading import OutputError, read_json

FOLDER, LATEST = "models", "latest"
LEARN, RETAG = "learn", "retag"
SHOWN = 12
"""Models that are listed."""


class Teaching:
    """What the page of learning shows and does."""

    def __init__(self, live: Live, by: str, models: str = ""):
        """
        Args:
            live: the catalogue.
            by: the name that corrections carry where a person gives none.
            models: the folder for models that have learned; "": `models` in the folder of results.
        """
        self.live, self.by, self.works = live, by, Works()
        self.folder = storage.canonical(live.folder)
        self.models = storage.canonical(models or storage.join(live.folder, FOLDER))
        self._found: dict[str, Any] | None = None
        self._retagged: dict[str, Any] | None = None
        self._own: tuple[tuple, list[dict[str, Any]]] = ((), [])

    def page(self, request: Request) -> Response:
        """The page."""
        return page_of("learn", by=self.by, models=self.models)

    def state(self, request: Request) -> Response:
        """What goes on, what came of it, and the models that there are."""
        return JSONResponse(self.now())

    def now(self) -> dict[str, Any]:
        """As the page's script takes it."""
        job = self.works.job
        return {
            "job": job and {**asdict(job), "words": shlex.join(["movie-tags", *job.words]), "output": ""},
            "found": self._found,
            "retagged": self._retagged,
            "models": self.listed(),
            "own": self.own(),
        }

    # What is there

    def listed(self) -> list[dict[str, Any]]:
        """The models that have learned, the latest first, then the one that they come from; which one tagged last."""
        used, latest = self._used(), storage.join(self.models, LATEST)
        if used == latest and not storage.is_remote(latest):
            used = os.path.realpath(latest)
        names = sorted((name for name in self._names() if name != LATEST), reverse=True)
        places = {name: storage.join(self.models, name) for name in names[:SHOWN]}
        origin = self._origin(used)
        places |= {origin: origin} if origin and origin not in places.values() else {}
        there = [name for name, uri in places.items() if uri in NAMES or storage.exists(storage.join(uri, MODEL_JSON))]
        return [{"name": name, "uri": places[name], "used": places[name] == used} for name in there]

    def _names(self) -> list[str]:
        with contextlib.suppress(OSError):
            return storage.list_folders(self.models)
        return []

    def _used(self) -> str:
        """What names the model that tagged last: the first, if there were several."""
        bundles = ((self.live.now().results.run or {}).get("model") or {}).get("bundles") or [{}]
        uri = str(bundles[0].get("uri", ""))
        return name_of(uri) or uri

    def _origin(self, used: str) -> str:
        """A model, or that from which it has learned."""
        with contextlib.suppress(OutputError, KeyError, TypeError):
            return str((read_json(storage.join(used, MODEL_JSON)) or {})[LEARNED]["from"]["model"])
        return used

    def own(self) -> list[dict[str, Any]]:
        """The tags that people say and the model that learns does not know, with how much is said of each."""
        now = self.live.now()
        if self._own[0] != now.version:
            self._own = now.version, own_tags(now, vocabulary_of(self._origin(self._used())))
        return self._own[1]

    # What is done

    def learn(self, asked: dict[str, Any]) -> Response:
        """Begin to learn. Asked: `force`: write a worse model, too; `then`: tag again by it, once it is written."""
        name = f"learned-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
        output = storage.join(self.models, name)
        force = ["--force"] if asked.get("force") is True else []

        def ended(job: Job) -> Order | None:
            if job.state in (DONE, REFUSED):
                self._found = {**_object(job.output), "name": name if job.state == DONE else ""}
            return self._retagging(output) if job.state == DONE and asked.get("then") is True else None

        self.works.start(Order(LEARN, (LEARN, self.folder, "--output", output, "--json", *force), ended))
        self._found = None
        return JSONResponse(self.now())

    def retag(self, asked: dict[str, Any]) -> Response:
        """Begin to tag again. Asked: `model`: the name of one that is listed."""
        uri = next((one["uri"] for one in self.listed() if one["name"] == asked.get("model")), None)
        if uri is None:
            raise UserError(f"{asked.get('model')}: there is no such model")
        self.works.start(self._retagging(uri))
        return JSONResponse(self.now())

    def _retagging(self, uri: str) -> Order:
        def ended(job: Job) -> None:
            if job.state == DONE:
                found = _object(job.output)
                nightly = named(str(found["nightly"]), uri, self._hand_over(uri))
                self._retagged = {**found, "nightly": nightly}

        return Order(RETAG, (RETAG, self.folder, "--model", uri, "--json"), ended)

    def _hand_over(self, uri: str) -> str:
        """Make `latest` lead to a model of ours, where links are known; returns what every night's command names.

        Where there can be no such link (the file system knows none, or a folder of that name is there), that is the
        model itself.
        """
        if storage.is_remote(self.models) or not uri.startswith(self.models + "/"):
            return uri
        latest = storage.join(self.models, LATEST)
        link = f"{latest}.{secrets.token_hex(4)}.unfinished"
        try:
            os.symlink(storage.base_name(uri), link)
            os.replace(link, latest)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(link)
            return uri
        return latest

    def stop(self, asked: dict[str, Any]) -> Response:
        """End what goes on."""
        self.works.stop()
        return JSONResponse(self.now())


def vocabulary_of(model: str) -> set[str]:
    """The tags that a bundle knows, by its name or folder; none where it is gone."""
    folder = str(place_of(model)) if model in NAMES else model
    with contextlib.suppress(OSError):
        return set(storage.read_bytes(storage.join(folder, VOCABULARY)).decode(errors="replace").splitlines())
    return set()


def own_tags(now: Catalogue, known: Container[str]) -> list[dict[str, Any]]:
    """The tags that people say of pictures and stretches and a model does not know: how often yes, how often no."""
    found: dict[str, list[int]] = {}
    for film in now.rows.values():
        for (tag, place), one in now.verdicts(film).items():
            if tag not in known and not place.of_film:
                found.setdefault(tag, [0, 0])[one.verdict != APPLIES] += 1
    return [{"tag": tag, "yes": yes, "no": no} for tag, (yes, no) in sorted(found.items())]


def _object(text: str) -> dict[str, Any]:
    """An object of JSON that a command printed.

    Raises:
        ValueError: it is none.
    """
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("it is no object of JSON")
    return found


def named(command: str, uri: str, name: str) -> str:
    """A command line with another name for its model."""
    words = shlex.split(command)
    pairs = zip(["", *words], words, strict=False)
    return shlex.join(name if (before, word) == ("--model", uri) else word for before, word in pairs)
