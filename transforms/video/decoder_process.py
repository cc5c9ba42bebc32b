"""Decoder processes: subprocesses in which films are decoded, so that what a film does to a decoder costs it alone.

A decoder process is a small Python process that imports nothing of Beam. It is sent functions that return iterables,
and sends back what they yield, pictures as bare bytes. It serves many films; the operating system ends it at its
limits, even where FFmpeg never returns to Python: address space, and timers of CPU and wall time that are reset at
every sign of progress. Its end becomes a `VideoError` that names what happened.

It opens local files only. Remote files are read for it by its worker, with the worker's own credentials and options.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pickle
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple
from typing import Any, BinaryIO, TypeVar

import cv2

from movie_tags import storage
from movie_tags.storage.range_reader import RangeReader
from movie_tags.transforms.video.errors import VideoError
from movie_tags.transforms.video.limits import Limits
from movie_tags.transforms.video.reader import Access, failure_of
from movie_tags.transforms.video.rgb import use_one_thread

Item = TypeVar("Item")

IDLE_S = 60
"""A decoder process ends after so long without work."""

KEPT_BYTES = 256 * 1024 * 1024
"""A decoder process that holds more memory than this after its work is replaced by a fresh one."""

SOCKET_BYTES = 1024 * 1024
"""Room for a picture between the two processes, in which the next one can be decoded already."""

RESET_S = 0.1
"""Timers are not reset more often: system calls at every frame would be felt."""

GB = 10**9

SHORT_OF_MEMORY = "its decoder asked for more than the {:g} GB of memory allowed, or for more than there can be"

_ITEM, _DONE, _FAILED, _OPEN, _FETCH = range(5)
_COMMAND = "from movie_tags.transforms.video.decoder_process import serve; serve()"
# Libraries' own threads would only take address space: a decoder process computes on one.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


class DecoderEnded(VideoError):
    """A film at which its decoder process came to an end."""


def stream(limits: Limits, function: Callable[..., Iterable[Item]], *arguments: Any) -> Iterator[Item]:
    """What `function(access, *arguments)` yields in a decoder process; equal objects, but not the same ones.

    Args:
        limits: the process's.
        function: of a module that a decoder process can import; gets the process's `Access` to files first.

    Raises:
        DecoderEnded: the process came to an end.
        VideoError: the function raised an error.
    """
    decoder = _begin(limits, function, arguments)
    sources: dict[str, storage.Ranges] = {}
    try:
        kind: int = _ITEM
        value: Any = None
        while kind not in (_DONE, _FAILED):
            message = decoder.receive()
            if message is None:
                raise DecoderEnded(decoder.cause_of_end(), retryable=True)
            kind, value = message
            if kind == _ITEM:
                yield value
            elif kind in (_OPEN, _FETCH):
                decoder.send(_answer(sources, kind, value))
    except BaseException:  # also where nobody wants the rest
        decoder.end()
        raise
    _IDLE.give(decoder)
    if kind == _FAILED:
        reason, retryable = value
        raise VideoError(reason, retryable)


def _begin(limits: Limits, function: Callable, arguments: tuple) -> DecoderProcess:
    """A decoder process at work; one that was idle may have ended in the same moment."""
    while True:
        idle = _IDLE.take(limits)
        decoder = idle or DecoderProcess(limits)
        try:
            decoder.send((function, arguments))
            if decoder.receive() is not None:  # it has the work
                return decoder
        except OSError:
            pass
        if not idle:
            return decoder  # why it has ended is found by reading from it
        decoder.end()


def _answer(sources: dict[str, storage.Ranges], kind: int, value: Any) -> tuple[Any, str | None]:
    """What a remote storage says to a decoder process's question: (answer, error in plain words)."""
    uri = value if kind == _OPEN else value[0]
    try:
        if kind == _OPEN:
            sources[uri] = storage.ranges(uri)
            return sources[uri].size, None
        return sources[uri].fetch(*value[1:]), None
    except Exception as error:  # every storage client has exceptions of its own
        return None, storage.plainly(error)


class _Idle:
    """This process's pool of decoder processes that have no work."""

    def __init__(self):
        self.lock = threading.Lock()
        self.decoders: list[DecoderProcess] = []

    def take(self, limits: Limits) -> DecoderProcess | None:
        with self.lock:
            ended = [decoder for decoder in self.decoders if decoder.process.poll() is not None]
            self.decoders = [decoder for decoder in self.decoders if decoder not in ended]
            found = next((decoder for decoder in reversed(self.decoders) if decoder.limits == limits), None)
            if found:
                self.decoders.remove(found)
        for decoder in ended:
            decoder.end()
        return found

    def give(self, decoder: DecoderProcess) -> None:
        with self.lock:
            self.decoders.append(decoder)

    def forget(self) -> None:
        """In a fork of this process: its decoder processes are not the fork's, and must end with their own worker."""
        for decoder in self.decoders:
            os.close(decoder.lifeline)
            decoder.channel.close()
        self.lock, self.decoders = threading.Lock(), []


_IDLE = _Idle()
os.register_at_fork(after_in_child=_IDLE.forget)


class DecoderProcess:
    """A decoder process, as its worker sees it.

    Attributes:
        limits: its own.
        process: the process.
    """

    def __init__(self, limits: Limits):
        self.limits = limits
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(True)  # Beam sets a time-out for all sockets once it has spoken to gs://
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        lifeline, self.lifeline = os.pipe()
        self.channel = _Channel(ours)
        self.last_words = tempfile.TemporaryFile()  # noqa: SIM115 - it is read when the process has ended
        handed = theirs.fileno(), lifeline
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _COMMAND, *map(str, (*handed, *astuple(limits)))],
                env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": paths},
                pass_fds=handed,
                stdin=subprocess.DEVNULL,
                stdout=self.last_words,
                stderr=self.last_words,
            )
        except BaseException:
            os.close(self.lifeline)
            ours.close()
            self.last_words.close()
            raise
        finally:
            theirs.close()
            os.close(lifeline)

    def send(self, message: Any) -> None:
        """Raises: OSError: it has ended."""
        self.channel.send(message)

    def receive(self) -> Any:
        """Its next message; None where it has ended."""
        try:
            return self.channel.receive()
        except (EOFError, OSError):
            return None

    def cause_of_end(self) -> str:
        """Why it has ended, in words for the user."""
        status = self.process.wait()
        self.last_words.seek(0)
        lines = self.last_words.read().decode(errors="replace").split("\n")
        said = next((f": {line.strip()[:200]}" for line in reversed(lines) if line.strip()), "")
        if status >= 0:
            return f"its decoder ended with status {status}{said}"
        limits, ended_by = self.limits, -status
        causes: dict[int, str] = {
            signal.SIGPROF: f"its decoder used {limits.cpu_s:g} s of CPU without a further frame and was ended",
            signal.SIGALRM: f"its decoder stood still for {limits.wall_s:g} s and was ended",
            signal.SIGABRT: f"its decoder aborted{said}",
            signal.SIGKILL: "its decoder was killed from outside; the machine may be short of memory",
        }
        crashed = f"its decoder crashed ({(signal.strsignal(ended_by) or f'signal {ended_by}').lower()})"
        return causes.get(ended_by, crashed)

    def end(self) -> None:
        """End it, if it has not."""
        self.process.kill()
        self.process.wait()
        os.close(self.lifeline)
        self.channel.close()
        self.last_words.close()


class _Channel:
    """Objects through a socket: pickled, large buffers apart from it, so that a picture is copied once on each side."""

    HEAD = struct.Struct("<II")

    def __init__(self, end: socket.socket):
        self.end = end

    def close(self) -> None:
        self.end.close()

    def send(self, message: Any) -> None:
        buffers: list[pickle.PickleBuffer] = []
        body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
        raw = [buffer.raw() for buffer in buffers]
        sizes = struct.pack(f"<{len(raw)}Q", *(part.nbytes for part in raw))
        self.end.sendall(self.HEAD.pack(len(body), len(raw)) + sizes + body)
        for part in raw:
            self.end.sendall(part)

    def receive(self) -> Any:
        """Raises: EOFError, OSError: the other side has ended."""
        length, count = self.HEAD.unpack(self._read(self.HEAD.size))
        sizes = struct.unpack(f"<{count}Q", self._read(8 * count))
        body = self._read(length)
        return pickle.loads(body, buffers=[self._read(size) for size in sizes])

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        rest = memoryview(data)
        while rest:
            got = self.end.recv_into(rest, 0, socket.MSG_WAITALL)
            if not got:
                raise EOFError
            rest = rest[got:]
        return data


def serve() -> None:
    """Be a decoder process until the worker is gone or has had nothing to do for IDLE_S; never returns.

    The command line has the socket, the lifeline and the limits.
    """
    channel_number, lifeline = map(int, sys.argv[1:3])
    limits = Limits(*map(float, sys.argv[3:]))
    _end_with(lifeline)
    _limit_memory(limits)
    timers = _Timers(limits)
    # The worker decides what an interrupt means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = _Worker(_Channel(socket.socket(fileno=channel_number)), timers)
    access = Access(worker.open, timers.reset)
    use_one_thread()
    with contextlib.suppress(EOFError, OSError):  # the worker is gone
        while select.select([channel_number], [], [], IDLE_S)[0]:
            function, arguments = worker.channel.receive()
            worker.tell(_ITEM)
            if not _work(worker, limits, function, access, *arguments):
                break
    os._exit(0)  # nothing that libraries do at an orderly end is of use


def _work(worker: _Worker, limits: Limits, function: Callable[..., Iterable], *arguments: Any) -> bool:
    """Do one piece of work; returns whether the process is fit for another."""
    worker.timers.reset()
    try:
        for item in function(*arguments):
            worker.tell(_ITEM, item)
    except Exception as error:  # whatever a decoder may raise is the film's
        if isinstance(error, MemoryError) or getattr(error, "code", None) == cv2.Error.StsNoMem:
            worker.tell(_FAILED, (SHORT_OF_MEMORY.format(limits.memory_gb), True))
            return False
        failure = failure_of(error, "")
        worker.tell(_FAILED, (failure.reason, failure.retryable))
    else:
        worker.tell(_DONE)
    return _resident_bytes() < KEPT_BYTES


def _end_with(lifeline: int) -> None:
    """Have the system end this process when the other end of a pipe closes: when the worker dies, however it does.

    A wish for the death of the parent (prctl) would come true at the end of the thread that began this process.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        if not os.read(lifeline, 1):  # it has closed already
            os._exit(0)


def _limit_memory(limits: Limits) -> None:
    allowed = int(limits.memory_gb * GB)
    with contextlib.suppress(ValueError, OSError):  # not every system, and never above a limit set from outside
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _resident_bytes() -> int:
    """This process's memory, where the system tells it."""
    try:
        with open("/proc/self/statm") as counts:
            return int(counts.read().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


class _Timers:
    """The system's timers that end this process, whatever it is busy with."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self.last_reset = -RESET_S
        for number in (signal.SIGPROF, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)

    def reset(self) -> None:
        """Give the process its full time again, but for the moment since the last reset."""
        now = time.monotonic()
        if now - self.last_reset < RESET_S:
            return
        self.last_reset = now
        signal.setitimer(signal.ITIMER_PROF, self.limits.cpu_s)
        signal.setitimer(signal.ITIMER_REAL, self.limits.wall_s)

    def stop(self) -> None:
        """Stop the timer of wall time; that of CPU time goes on."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.last_reset = -RESET_S


class _Worker:
    """The worker, as its decoder process sees it."""

    def __init__(self, channel: _Channel, timers: _Timers):
        self.channel = channel
        self.timers = timers

    def tell(self, kind: int, value: Any = None) -> None:
        self.timers.stop()  # the worker takes its time
        self.channel.send((kind, value))
        if kind == _ITEM:
            self.timers.reset()

    def ask(self, kind: int, value: Any) -> Any:
        """Raises: StorageError: the storage refused or failed."""
        self.timers.stop()
        self.channel.send((kind, value))
        answer, error = self.channel.receive()
        self.timers.reset()
        if error is not None:
            raise storage.StorageError(error)
        return answer

    def open(self, uri: str) -> BinaryIO:
        """A file for random reading; a remote one is read by the worker.

        Raises:
            OSError: it does not exist or may not be read.
        """
        if not storage.is_remote(uri):
            return storage.open_seekable(uri)
        size = self.ask(_OPEN, uri)
        return io.BufferedReader(RangeReader(lambda start, end: self.ask(_FETCH, (uri, start, end)), size))
