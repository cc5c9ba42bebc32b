"""A storage emulator on loopback, whose traffic the tests can see and disturb."""

from __future__ import annotations

import contextlib
import io
import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import HTTPServer
from pathlib import Path

import pytest
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers.buckets import create_bucket
from gcp_storage_emulator.server import RequestHandler, _read_raw_data
from gcp_storage_emulator.storage import Storage
from google.cloud import storage

BUCKET = "films-of-tests"


@dataclass(frozen=True)
class Request:
    """A request as it arrived: `what` is its path, unquoted; `media`: it asks for an object's bytes."""

    method: str
    what: str
    query: str
    media: bool
    first_byte: int


@dataclass
class Emulator:
    """A running emulator.

    Attributes:
        host: its address.
        seen: every request, with the status and the bytes of the answer.
        fault: the status to answer a request with in place of the emulator's own answer, or None.
    """

    host: str = ""
    seen: list[tuple[Request, int, int]] = field(default_factory=list)
    fault: Callable[[Request], int | None] = lambda request: None
    objects: Storage | None = None

    def reset(self) -> None:
        self.seen.clear()
        self.fault = lambda request: None

    def put(self, path: Path, name: str) -> str:
        """Upload a file, or a folder with all that is in it; returns its gs:// address."""
        bucket = storage.Client().bucket(BUCKET)
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                to = f"{name}/{file.relative_to(path)}" if path.is_dir() else name
                bucket.blob(to).upload_from_filename(str(file))
        return f"gs://{BUCKET}/{name}"

    def names(self, prefix: str) -> list[str]:
        return [blob.name for blob in storage.Client().list_blobs(BUCKET, prefix=prefix)]

    def remove(self, name: str) -> None:
        storage.Client().bucket(BUCKET).blob(name).delete()

    def text(self, name: str) -> str:
        return storage.Client().bucket(BUCKET).blob(name).download_as_text()

    def served(self, name: str) -> list[int]:
        """The bytes of each answer with an object's bytes."""
        return [size for request, status, size in self.seen if request.media and status < 300 and name in request.what]


class _Handler(RequestHandler):
    def __init__(self, emulator: Emulator, *args):
        self.emulator = emulator
        super().__init__(*args)

    def handle_with_faults(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        first = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0]
        media = self.command == "GET" and "alt=media" in url.query
        self.request_seen = Request(self.command, urllib.parse.unquote(url.path), url.query, media, int(first or 0))
        self.answer = [200, 0]
        status = self.emulator.fault(self.request_seen) or self.refusal(url)
        if status is None:
            getattr(RequestHandler, f"do_{self.command}")(self)
        else:
            _read_raw_data(self)
            self.send_error(status)
        self.emulator.seen.append((self.request_seen, *self.answer))

    def refusal(self, url: urllib.parse.SplitResult) -> int | None:
        """412 where a request's condition on an object's generation does not hold: the emulator does not look at it."""
        query = urllib.parse.parse_qs(url.query)
        wanted = query.get("ifGenerationMatch")
        if wanted is None or self.command not in ("POST", "PUT", "DELETE"):
            return None
        name = query["name"][0] if "name" in query else urllib.parse.unquote(url.path).partition("/o/")[2]
        if not name:  # in the first part of what is uploaded
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.rfile = io.BytesIO(body)
            name = json.loads(re.search(rb"\{.*?\}", body)[0])["name"]
        try:
            there = str(self.emulator.objects.get_file_obj(BUCKET, name)["generation"])
        except NotFound:
            there = "0"
        return None if there == wanted[0] else 412

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_with_faults

    def send_response(self, code, message=None) -> None:
        self.answer[0] = code
        super().send_response(code, message)

    def send_header(self, keyword, value) -> None:
        if keyword == "Content-Length":
            self.answer[1] = int(value)
        super().send_header(keyword, value)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Emulator]:
    """An emulator with one bucket, to which the process's environment leads; credentials go to the folder."""
    emulator = Emulator()
    objects = Storage(use_memory_fs=True)
    create_bucket(BUCKET, objects)
    emulator.objects = objects
    server = HTTPServer(("127.0.0.1", 0), partial(_Handler, emulator, objects))
    emulator.host = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    card = folder / "nobody.json"
    nobody = dict.fromkeys(("client_id", "client_secret", "refresh_token", "token"), "nobody")
    # Valid for long, so that nobody tries to renew it.
    card.write_text(json.dumps({"type": "authorized_user", "expiry": "2099-01-01T00:00:00Z", **nobody}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", emulator.host)
        patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(card))
        patch.setenv("GOOGLE_CLOUD_PROJECT", "tests")
        yield emulator
    server.shutdown()
    server.server_close()
    thread.join()
