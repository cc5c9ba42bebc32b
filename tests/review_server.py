"""A review page served for tests, and who asks it."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from movie_tags.report.review.serve import LOOPBACK, Served, prepare
from movie_tags.results.film_tables import Results, slug


@contextlib.contextmanager
def served(folder: Path, by: str = "Ada", **more: Any) -> Iterator[Served]:
    """A review page, on a port of its own, as long as the context lasts."""
    page = prepare(str(folder), by, **more)
    thread = threading.Thread(target=page.run, daemon=True)
    thread.start()
    try:
        yield page
    finally:
        page.server.should_exit = True
        thread.join(20)


class Asker:
    """A client that says exactly what it is told to."""

    def __init__(self, page):
        self.port = int(page.link.split(":")[2].split("/")[0])
        self.token = page.link.partition("token=")[2]
        self.host = f"{LOOPBACK}:{self.port}"
        self.cookie = f"movie-tags-review-{self.port}={self.token}"

    def ask(self, path, method="GET", body=None, **headers):
        given = {"Host": self.host, "Cookie": self.cookie, **{k.replace("_", "-"): v for k, v in headers.items()}}
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=20)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        data = b"" if body is None else json.dumps(body).encode()
        for name, value in {**given, **({"Content-Length": str(len(data))} if data else {})}.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(data)
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())

    def say(self, body, path="/api/corrections", **headers):
        given = {"Origin": f"http://{self.host}", "Content_Type": "application/json", **headers}
        status, text, _ = self.ask(path, "POST", body, **given)
        with contextlib.suppress(ValueError):
            return status, json.loads(text)
        return status, text.decode()


def name_of(folder, title="a.mp4"):
    with Results(str(folder)) as results:
        return next(slug(film) for film in results.films() if film.title == title)
