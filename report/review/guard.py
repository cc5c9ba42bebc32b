"""Who may ask the review page: the browser that was given its link, at this machine's address, from the page itself."""

from __future__ import annotations

import secrets
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NAMES = ("127.0.0.1", "localhost", "[::1]")
SAFE = frozenset({"GET", "HEAD"})
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """ASGI middleware that lets through who may ask, and keeps others' pages from framing or reading the answers."""

    def __init__(self, app: ASGIApp, token: str, port: int):
        """Args: what is guarded; the secret of the link; the port that is listened on."""
        self.app, self.token = app, token
        self.hosts = frozenset(f"{name}:{port}" for name in NAMES)
        self.cookie = f"movie-tags-review-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return None
        refused = self.answer(scope["method"], scope["query_string"].decode("latin-1"), Headers(scope=scope))

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await (refused or self.app)(scope, receive, guarded)

    def answer(self, method: str, query: str, headers: Headers) -> Response | None:
        """What is answered in the page's place; None where the page may answer."""
        host = headers.get("host", "")
        if host not in self.hosts:
            return PlainTextResponse(f"{host}: not an address of this page", 403)
        given = parse_qs(query).get("token")
        if given and method == "GET" and secrets.compare_digest(given[0].encode(), self.token.encode()):
            return self.let_in()
        held = cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
        if not secrets.compare_digest(held.encode(), self.token.encode()):
            return PlainTextResponse("open the link that movie-tags review has printed", 403)
        if method not in SAFE and not self.own(headers, host):
            return PlainTextResponse("not asked from this page", 403)
        return None

    def own(self, headers: Headers, host: str) -> bool:
        """Whether a request that changes something comes from this page's script."""
        return headers.get("origin") == f"http://{host}" and headers.get("content-type") == "application/json"

    def let_in(self) -> Response:
        """The secret goes from the link, which histories keep, to a cookie that scripts and other sites do not see."""
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
        return answer
