"""Whether remote storages can be reached: asked before any work, within a bounded time, and in plain words."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from movie_tags.errors import UnreachableError
from movie_tags.storage import remote
from movie_tags.storage.addresses import scheme_of
from movie_tags.storage.errors import plainly

Answer = TypeVar("Answer")

WAIT_S = 60.0
"""Time that a bucket may take to answer for the first time, unless it is said otherwise."""
CREDENTIALS_S = 5.0
"""Credentials lie on this machine, or a cloud's machine has them at once."""
SILENT_S = 2.0
"""A wait that is longer than this is said."""
NO_CREDENTIALS = (
    "no Google credentials were found, and it cannot be read without; run `gcloud auth application-default login`, or "
    "name a key file in GOOGLE_APPLICATION_CREDENTIALS"
)


def await_storages(uris: Iterable[str], wait_s: float, say: Callable[[str], None]) -> None:
    """Wait until the buckets of all gs:// addresses among some have answered, whatever they answer.

    Args:
        uris: addresses, local ones among them.
        wait_s: seconds to wait for each bucket at most.
        say: is told what is waited for.

    Raises:
        UnreachableError: one does not answer, or there are no credentials for it.
    """
    for bucket in sorted(set(map(_bucket_of, uris)) - {""}):
        _await(bucket, wait_s, say)


def _bucket_of(uri: str) -> str:
    """`gs://bucket` of an address on gs://; "" of others, which are not waited for."""
    return "/".join(uri.split("/")[:3]) if scheme_of(uri) == "gs" else ""


class Buckets:
    """Which buckets on gs:// answer: each is asked once, whatever the number of addresses in it."""

    def __init__(self, wait_s: float, say: Callable[[str], None]):
        """Args: as of `await_storages`."""
        self.wait_s, self.say = wait_s, say
        self._why_not: dict[str, str | None] = {}

    def ask(self, uris: Iterable[str]) -> None:
        """Ask the buckets of some addresses that have not been asked yet, side by side."""
        new = sorted({_bucket_of(uri) for uri in uris} - self._why_not.keys() - {""})
        if new:
            with ThreadPoolExecutor(len(new)) as pool:
                self._why_not.update(zip(new, pool.map(self._ask, new), strict=True))

    def why_not(self, uri: str) -> str | None:
        """Why the bucket of an address cannot be reached, in words; None if it answers, or is none."""
        self.ask([uri])
        return self._why_not.get(_bucket_of(uri))

    def _ask(self, bucket: str) -> str | None:
        try:
            _await(bucket, self.wait_s, self.say)
        except UnreachableError as error:
            return str(error)
        return None


def _await(bucket: str, wait_s: float, say: Callable[[str], None]) -> None:
    notice = threading.Timer(SILENT_S, say, [f"waiting for {bucket}, up to {wait_s:g} s (--storage-wait)"])
    notice.daemon = True
    notice.start()
    try:
        brief = min(CREDENTIALS_S, wait_s)
        if not _is_so(has_credentials, brief):
            if not _is_so(lambda: is_public(bucket, brief), brief):
                raise UnreachableError(f"{bucket}: {NO_CREDENTIALS}")
        elif error := _bounded(lambda: ask(bucket, wait_s), wait_s):
            raise UnreachableError(f"{bucket}: cannot be reached: {error}")
    except TimeoutError:
        raise UnreachableError(
            f"{bucket}: has not answered in {wait_s:g} s; is the network up? --storage-wait SECONDS waits longer"
        ) from None
    finally:
        notice.cancel()


def _is_so(question: Callable[[], bool], seconds: float) -> bool:
    """What a question is answered with within a time; False where it is not."""
    try:
        return bool(_bounded(question, seconds))
    except TimeoutError:
        return False


def _bounded(function: Callable[[], Answer], seconds: float) -> Answer | None:
    """Call with a timeout: what a function returns, in a daemon thread that is abandoned after a time.

    Raises:
        TimeoutError: it has not come back by then.
    """
    answers: list[Answer] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            answers.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=call, daemon=True, name="storage")
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError
    if errors:
        raise errors[0]
    return answers[0]


def has_credentials() -> bool:
    """Whether there are Google's application default credentials."""
    # Of a machine that is none of Google's, the library would ask three times, for three seconds each.
    os.environ.setdefault("GCE_METADATA_TIMEOUT", "1")
    os.environ.setdefault("GCE_METADATA_DETECT_RETRIES", "2")
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        google.auth.default()
    except GoogleAuthError:
        return False
    return True


def ask(bucket: str, wait_s: float) -> str | None:
    """Ask a bucket for the name of one object: why there is no answer, None if there is any, a refusal as well."""
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.cloud.storage.retry import DEFAULT_RETRY

    try:
        _list_one(remote._blob(f"{bucket}/x").client, bucket, wait_s, DEFAULT_RETRY.with_timeout(wait_s))
    except GoogleAPICallError as error:
        return plainly(error) if (error.code or 0) >= 500 else None
    except RetryError as error:
        return _plainly(error.cause or error)
    except Exception as error:  # of the network, or of the credentials' own servers
        return _plainly(error)
    return None


def _plainly(error: BaseException) -> str:
    """An error of the network in words: the client's own are a page long."""
    text = str(error)
    if "NameResolution" in text or "Failed to resolve" in text:
        return "its name server does not answer; is the network up?"
    if isinstance(error, OSError) and "Max retries" in text:
        return "the network does not lead to it; is it up, and is a proxy needed?"
    return plainly(error)


def is_public(bucket: str, wait_s: float) -> bool:
    """Whether a bucket answers those who have no credentials."""
    from google.cloud.storage import Client

    try:
        _list_one(Client.create_anonymous_client(), bucket, wait_s, None)
    except Exception:
        return False
    return True


def _list_one(client: Any, bucket: str, wait_s: float, retry: Any) -> None:
    next(iter(client.list_blobs(bucket.removeprefix("gs://"), max_results=1, timeout=wait_s, retry=retry)), None)
