"""The review page's addresses: the catalogue, films, pictures, scenes, the queue, and what takes corrections."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from movie_tags import storage
from movie_tags.errors import UserError
from movie_tags.models.bundle import BundleError
from movie_tags.models.clip.words import Words
from movie_tags.records import Film, KeyFrame
from movie_tags.report import phrases
from movie_tags.report.alike import Alike, Features
from movie_tags.report.by_words import Described, Embeddings, embeddings_of, find_words
from movie_tags.report.index import Entry, catalogue_page
from movie_tags.report.markup import text_of
from movie_tags.report.page import RATIO, FilmView, film_notices, film_page
from movie_tags.report.review.candidates import Guess, candidates
from movie_tags.report.review.live import Catalogue, Live
from movie_tags.report.review.pages import page_of
from movie_tags.report.review.teaching import Teaching
from movie_tags.report.review.verdicts import Desk, correction_from, read_body
from movie_tags.report.review.worth import worth_a_look
from movie_tags.report.summary import Choice
from movie_tags.results.corrections import APPLIES, WITHDRAWN
from movie_tags.results.expressions import SearchError, parse, resolve
from movie_tags.results.folder import ResultsFolder
from movie_tags.results.listing import levels, threshold_of
from movie_tags.results.search import Found, Search

MOST_SCENES = 100
NOTHING = Choice((), None, 0, 0.0)
LINKS = (("/queue", "Most worth a look"), ("/scenes", "Scenes"), ("/learn", "Learn"))


FILES = {
    "review.js": "text/javascript",
    "queue.js": "text/javascript",
    "scenes.js": "text/javascript",
    "learn.js": "text/javascript",
    "review.css": "text/css",
    "learn.css": "text/css",
}
"""Of this room, by their names, and their kinds."""


class Review:
    """Answers requests from the catalogue as it is at that moment."""

    def __init__(self, folder: str, by: str, models: str = "", guess: Guess | None = None):
        """
        Args:
            folder: of results.
            by: the name that corrections carry where a person gives none.
            models: the folder for models that have learned; "": one in the folder of results.
            guess: fits a tag's own first guess, where something can.

        Raises:
            OutputError: as of `Live`.
        """
        self.live, self.by, self.guess = Live(folder), by, guess
        self.desk = Desk(self.live)
        self.teaching = Teaching(self.live, by, models)
        self._page: tuple[tuple, bytes] = ((), b"")
        self._search: tuple[str, Search] | None = None
        self._features: tuple[str, Features] | None = None
        self._words: tuple[str, Words] | None = None
        self._searching, self._paging = threading.Lock(), threading.Lock()
        self.live.prepare(self._prepare)

    def _prepare(self, now: Catalogue) -> None:
        """What takes seconds with a large catalogue, in the order in which people come to it."""
        self._page_of(now)
        now.results.key_frames("", {})  # where each film's rows stand
        now.results.spans("", {})
        with self._searching:
            self._search_of(now)

    def app(self) -> Starlette:
        """The web application."""
        routes = [
            Route("/", answering(self.catalogue)),
            Route("/queue", answering(self.queue)),
            Route("/scenes", answering(self.scenes_page)),
            Route("/films/{name}.html", answering(self.film)),
            Route("/pictures/{name}.jpg", answering(self.cover)),
            Route("/stills/{name}/{time:float}.jpg", answering(self.still)),
            Route("/media/{name}", answering(self.media)),
            Route("/api/scenes", answering(self.scenes)),
            Route("/api/alike/{name}/{time:float}", answering(self.alike)),
            Route("/api/words", answering(self.words)),
            Route("/learn", answering(self.teaching.page)),
            Route("/api/learning", answering(self.teaching.state)),
            Route("/api/candidates", answering(self.candidates)),
            Route("/api/learn", taking(self.teaching.learn), methods=["POST"]),
            Route("/api/retag", taking(self.teaching.retag), methods=["POST"]),
            Route("/api/stop", taking(self.teaching.stop), methods=["POST"]),
            Route("/api/corrections", taking(self.correct), methods=["POST"]),
            Route("/api/undo", taking(self.undo), methods=["POST"]),
            *(Route(f"/{name}", _file(name, kind)) for name, kind in FILES.items()),
        ]
        return Starlette(routes=routes, exception_handlers={UserError: _said, KeyError: _unknown, OSError: _failed})

    def catalogue(self, request: Request) -> Response:
        """The page of all films, as the report has it."""
        return HTMLResponse(self._page_of(self.live.now()))

    def _page_of(self, now: Catalogue) -> bytes:
        with self._paging:
            if self._page[0] != now.version:
                entries = [Entry(film, name, True, bool(film.warnings)) for name, film in now.films().items()]
                failed = [one for one in now.results.failures if not one.of_key_frame]
                page = catalogue_page(entries, failed, now.results.run, LINKS)
                self._page = now.version, page.encode(errors="replace")
            return self._page[1]

    def film(self, request: Request) -> Response:
        """The page of a film, as the report has it, with what takes corrections."""
        now, name = self.live.now(), request.path_params["name"]
        film = now.film(name)
        frames = now.key_frames(film)
        pictures = {frame.time_s: f"/stills/{name}/{frame.time_s}.jpg" for frame in frames if frame.thumbnail}
        failures = [one for one in now.results.failures if one.id == film.id]
        view = FilmView(
            film,
            frames,
            now.spans(film),
            pictures,
            RATIO,
            NOTHING,
            now.results.run,
            film_notices(film, failures, len(frames), len(pictures), len(pictures)),
            [f"/media/{name}"] if _playable(film) else [],
            "/",
            self.panel(now, name, film, frames),
        )
        return HTMLResponse(film_page(view).encode(errors="replace"))

    def panel(self, now: Catalogue, name: str, film: Film, frames: tuple[KeyFrame, ...]) -> dict:
        """What the script that takes corrections works on."""
        threshold = threshold_of(now.results.run)
        vocabulary = ((now.results.run or {}).get("model") or {}).get("vocabulary") or ()
        verdicts = now.verdicts(film).values()
        listed = {tag.tag for tag, level in levels(film, threshold) if level >= threshold}
        return {
            "name": name,
            "by": self.by,
            "vocabulary": sorted({*vocabulary, *(one.tag for one in verdicts)}, key=str.casefold),
            "tags": [
                {"tag": tag.tag, "said": phrases.sure(tag), "listed": tag.tag in listed}
                for tag, _ in levels(now.rows[name], threshold)  # in an order that stays as corrections come
            ],
            "spans": [[span.tag, span.start_s, span.end_s] for span in now.spans(film)],
            "frames": [[frame.time_s, [one.tag for one in frame.top_k or frame.tags]] for frame in frames],
            "verdicts": [
                {"tag": one.tag, "applies": one.verdict == APPLIES, "by": one.by, **asdict(one.place)}
                for one in verdicts
            ],
        }

    def queue(self, request: Request) -> Response:
        """The page of the tags that are most worth a look."""
        now = self.live.now()
        questions = worth_a_look(now.films().items(), threshold_of(now.results.run))
        return page_of("queue", questions=questions, by=self.by, sure=phrases.sure)

    def scenes_page(self, request: Request) -> Response:
        """The page on which scenes are searched."""
        words = True
        try:
            embeddings_of(ResultsFolder(self.live.folder))
        except SearchError:
            words = False
        except BundleError:  # said when it is asked
            pass
        return page_of("scenes", words=words)

    def scenes(self, request: Request) -> Response:
        """The scenes in which an expression holds."""
        now = self.live.now()
        with self._searching:
            search = self._search_of(now)
            expression = resolve(parse(request.query_params.get("q", "")), search.vocabulary())
            found = search.scenes(expression, limit=MOST_SCENES)
        return _named(found, now)

    def alike(self, request: Request) -> Response:
        """The shots that look most like that of a key frame."""
        now = self.live.now()
        film, time_s = now.film(request.path_params["name"]), request.path_params["time"]
        with self._searching:
            features = self._features_of(now)
            found = features.nearest(features.looks_at(film.id, time_s), MOST_SCENES)
        return _named(found, now)

    def words(self, request: Request) -> Response:
        """The shots that fit words."""
        now = self.live.now()
        with self._searching:
            of = embeddings_of(ResultsFolder(self.live.folder))
            words, features = self._words_of(of), self._features_of(now)
            found = find_words(features, of, words, request.query_params.get("q", ""), MOST_SCENES)
        return _named(found, now)

    def candidates(self, request: Request) -> Response:
        """Pictures that may show a tag of one's own."""
        now, tag = self.live.now(), request.query_params.get("tag", "").strip()
        with self._searching:
            described = partial(self._described, now)
            found = candidates(tag, now, self._features_of(now), self.guess, described) if tag else []
        names = now.names()
        pictures = [
            {"name": name, "title": now.rows[name].title, "time_s": one.time_s, "why": one.why}
            for one in found
            if (name := names.get(one.id))
        ]
        return JSONResponse({"pictures": pictures, "told": told_of(tag, len(pictures))})

    def _described(self, now: Catalogue, tag: str, limit: int) -> list[Described]:
        """The shots that fit a tag's words; none where the model that tagged knows none, or is gone."""
        try:
            of = embeddings_of(ResultsFolder(self.live.folder))
            words, text = self._words_of(of), '"' + tag.replace('"', " ") + '"'
            return find_words(self._features_of(now), of, words, text, limit)
        except UserError:
            return []

    def _features_of(self, now: Catalogue) -> Features:
        """The features of this state of the catalogue: kept for the next question."""
        if self._features is None or self._features[0] != now.results.view:
            self._features = now.results.view, Features(self.live.folder)
        return self._features[1]

    def _words_of(self, of: Embeddings) -> Words:
        """The text model of the bundle that tagged: loaded at the first question, and kept."""
        if self._words is None or self._words[0] != of.fingerprint:
            self._words = None  # before another one is loaded
            self._words = of.fingerprint, of.load()
        return self._words[1]

    def _search_of(self, now: Catalogue) -> Search:
        """What searches this view of the catalogue, with what people say now."""
        if self._search is None or self._search[0] != now.results.view:
            if self._search is not None:
                self._search[1].close()
            self._search = now.results.view, Search(self.live.folder, often=True)
        self._search[1].follow(now.held)
        return self._search[1]

    def cover(self, request: Request) -> Response:
        """A picture that stands for a film; with ?tag= the key frame on which the tag is the most probable."""
        now = self.live.now()
        film, wanted = now.film(request.path_params["name"]), request.query_params.get("tag")
        pictured = [frame for frame in now.key_frames(film) if frame.thumbnail]
        if not pictured:
            return PlainTextResponse("no picture", 404)
        return _jpeg(now.picture(_shown_by(pictured, wanted)))

    def still(self, request: Request) -> Response:
        """The picture of a key frame."""
        now = self.live.now()
        film, time_s = now.film(request.path_params["name"]), request.path_params["time"]
        found = next((frame for frame in now.key_frames(film) if abs(frame.time_s - time_s) < 1e-6), None)
        return _jpeg(now.picture(found) if found else None)

    def media(self, request: Request) -> Response:
        """The film itself, in pieces as a player asks for them; of no file but those of the catalogue."""
        film = self.live.now().film(request.path_params["name"])
        return FileResponse(film.uri) if _playable(film) else PlainTextResponse("the film is not here", 404)

    def correct(self, said: dict[str, Any]) -> Response:
        """Keep what a person says of a tag."""
        name, by = str(said.get("name")), said.get("by", "")
        film = self.live.now().rows[name]
        self.desk.say(correction_from({**said, "by": self.by if by == "" else by}, film), film)
        now = self.live.now()
        film = now.film(name)
        return JSONResponse(self.panel(now, name, film, now.key_frames(film)))

    def undo(self, said: dict[str, Any]) -> Response:
        """Take back what a person said last; the answer says of what, and the verdict that holds now ("": none)."""
        taken = self.desk.undo(str(said.get("by") or self.by))
        if taken is None:
            return JSONResponse({"error": "there is nothing to undo"}, 409)
        now = self.live.now()
        name = now.names().get(taken.film, "")
        title = now.rows[name].title if name else taken.film  # that has left the catalogue
        holds = "" if taken.verdict == WITHDRAWN else taken.verdict
        answer = {"name": name, "title": title, "tag": taken.tag, "verdict": holds}
        return JSONResponse({**answer, **asdict(taken.place)})


def _named(found: Iterable[Found | Alike | Described], now: Catalogue) -> Response:
    """Scenes, each with the name of its film's page; those of films that are not in the catalogue are left out."""
    names = now.names()
    return JSONResponse({"scenes": [{**asdict(one), "name": names[one.id]} for one in found if one.id in names]})


def _shown_by(frames: list[KeyFrame], tag: str | None) -> KeyFrame:
    """The key frame on which a tag is the most probable; without a tag, the one in the middle."""
    if tag is None:
        return frames[len(frames) // 2]
    return max(frames, key=lambda frame: max((one.probability for one in frame.top_k if one.tag == tag), default=0.0))


def _playable(film: Film) -> bool:
    return not storage.is_remote(film.uri) and os.path.isfile(film.uri)


def _jpeg(data: bytes | None) -> Response:
    return Response(data, media_type="image/jpeg") if data else PlainTextResponse("no picture", 404)


def _file(name: str, kind: str) -> Callable[[Request], Any]:
    """An endpoint that gives a file of this room; scripts with what they have in common."""
    names = (*(["common.js"] if name.endswith(".js") else []), name)

    async def endpoint(_: Request) -> Response:
        return Response(text_of(*(f"review/{one}" for one in names)), media_type=kind)

    return endpoint


def answering(answer: Callable[[Request], Response]) -> Callable[[Request], Any]:
    """An endpoint that is run beside others: it reads files."""

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(answer, request)

    return endpoint


def taking(answer: Callable[[dict[str, Any]], Response]) -> Callable[[Request], Any]:
    """An endpoint that takes a short object of JSON."""

    async def endpoint(request: Request) -> Response:
        said = read_body(await request.body())
        return await run_in_threadpool(answer, said)

    return endpoint


def told_of(tag: str, pictures: int) -> str:
    """What is said above the pictures that may show a tag."""
    if pictures:
        return f"{phrases.number(pictures, 'picture')} that may show {tag}."
    return (
        f"There is none to look at: mark a few pictures with {tag} first, or all that may show it have been looked at."
    )


def _said(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


def _failed(_: Request, error: Exception) -> Response:
    """Of the machine, such as a full disk."""
    why = storage.plainly(error)
    return JSONResponse({"error": f"this could not be done: {why}; try again once that is put right"}, 500)


def _unknown(_: Request, error: Exception) -> Response:
    return PlainTextResponse("there is no such film", 404)
