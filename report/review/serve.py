"""The server of the review page: on the loopback address alone, behind a secret in its link."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass

import uvicorn

from movie_tags.errors import UserError
from movie_tags.report.review.app import Review
from movie_tags.report.review.candidates import Guess
from movie_tags.report.review.guard import Guard
from movie_tags.report.review.work import Works

LOOPBACK = "127.0.0.1"


def listen(port: int = 0) -> socket.socket:
    """A socket on the loopback address. Args: `port`: 0 for any that is free.

    Raises:
        UserError: the port is taken, or may not be used.
    """
    try:
        return socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise UserError(f"port {port} cannot be used ({error.strerror}); give another with --port, or none") from error


@dataclass(frozen=True)
class Served:
    """A review page that is about to be served.

    Attributes:
        link: to open.
        server: the server.
        listener: what it listens on.
        works: what the page has started, which ends with it.
    """

    link: str
    server: uvicorn.Server
    listener: socket.socket
    works: Works

    def run(self) -> None:
        """Answer until `server.should_exit`, or until it is interrupted."""
        try:
            self.server.run(sockets=[self.listener])
        finally:
            self.works.stop()


def prepare(folder: str, by: str, port: int = 0, models: str = "", guess: Guess | None = None) -> Served:
    """The review page of a folder of results.

    Args:
        folder: of results, local or remote.
        by: the name that corrections carry where a person gives none.
        port: 0 for any that is free.
        models, guess: as of `Review`.

    Raises:
        OutputError: the folder holds no results, or they cannot be read.
        UserError: the port cannot be used.
    """
    review = Review(folder, by, models, guess)
    listener = listen(port)
    port, token = listener.getsockname()[1], secrets.token_urlsafe(24)
    guarded = Guard(review.app(), token, port)
    config = uvicorn.Config(guarded, log_level="critical", access_log=False, lifespan="off", server_header=False)
    return Served(f"http://{LOOPBACK}:{port}/?token={token}", uvicorn.Server(config), listener, review.teaching.works)
