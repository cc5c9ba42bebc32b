"""Long work that a page starts: a command of movie-tags in a process of its own, one at a time, followed as it goes."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import IO

from movie_tags.errors import UserError
from movie_tags.progress import reports_in

RUNNING, DONE, REFUSED, FAILED, STOPPED = "running", "done", "refused", "failed", "stopped"
"""How a job stands. REFUSED: it ended well, and did not do what was asked for."""
SAID = "movie-tags: "
"""What a sentence for the user begins with."""
SOME_FAILED = 3
"""The exit status where all was done but for some films."""
END_S = 20.0
"""How long a job may take to end that is stopped."""


@dataclass(frozen=True)
class Job:
    """Work that goes on or has ended.

    Attributes:
        kind: what for.
        words: of the command.
        state: of the states above.
        done, due: steps or films.
        output: what it printed, once it has ended.
        error: why it failed, in a sentence.
    """

    kind: str
    words: tuple[str, ...]
    state: str = RUNNING
    done: int = 0
    due: int = 0
    output: str = ""
    error: str = ""


@dataclass(frozen=True)
class Order:
    """Work that is to be done.

    Attributes:
        kind: what for.
        words: of the command, without `movie-tags`; progress is asked for by --verbose.
        then: is called when it has ended, with how; what it returns is done next. It raises OSError, ValueError or
            UserError where nothing can be made of what came of it.
    """

    kind: str
    words: tuple[str, ...]
    then: Callable[[Job], Order | None] = lambda job: None


class Works:
    """One job after the other; the last one is remembered. Thread-safe."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self._process: subprocess.Popen | None = None
        self._stopped = False
        self._lock = threading.Lock()

    @property
    def running(self) -> bool:
        """Whether a job goes on."""
        return self.job is not None and self.job.state == RUNNING

    def start(self, order: Order) -> Job:
        """Start what is ordered.

        Raises:
            UserError: another one goes on.
        """
        with self._lock:
            if self.running:
                raise UserError("something is going on already: wait for its end, or stop it")
            self._stopped = False
            return self._start(order)

    def _start(self, order: Order) -> Job:
        self._process, self.job = None, Job(order.kind, order.words)
        threading.Thread(target=self._run, args=(self.job, order.then), daemon=True).start()
        return self.job

    def stop(self) -> None:
        """End the job that goes on as Ctrl-C does, and wait for its end."""
        with self._lock:
            process, self._stopped = self._process, True
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
        except KeyboardInterrupt:  # once more: at once
            process.kill()
            raise

    def _run(self, job: Job, then: Callable[[Job], Order | None]) -> None:
        text = ""
        try:
            with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
                job, status, error = self._follow(job, output)
                output.seek(0)
                text = output.read()
        except OSError as reason:
            status, error = -1, f"it could not be started: {reason}"
        state, error = _ending(status, text, error, self._stopped)
        job, following = replace(job, output=text, state=state, error=error), None
        try:
            following = then(job)  # before it is said to have ended: who hears that asks for what came of it
        except (OSError, ValueError, UserError) as reason:
            job = replace(job, state=FAILED, error=f"it ended, and what came of it cannot be taken over: {reason}")
        with self._lock:
            if following is None or self._stopped:
                self.job = job
            else:
                self._start(following)

    def _follow(self, job: Job, output: IO[str]) -> tuple[Job, int, str]:
        """Run a job's command to its end: how far it came, its exit status, and what it said was wrong."""
        # -P: nothing that lies in the current folder is taken for a module.
        words = [sys.executable, "-P", "-m", "movie_tags", *job.words, "--verbose"]
        counts: Counter[str] = Counter()
        error = ""
        with self._lock:  # who tells it to end finds it, or it is not begun
            if self._stopped:
                return job, -signal.SIGINT, ""
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                # Ctrl-C at the terminal is for the server, which tells it once: a second one ends at once.
                process_group=0,
            )
        with self._process as process:
            for line in process.stderr or ():
                for report in reports_in(line):
                    counts.update({name: n for name, n in report.items() if isinstance(n, int)})
                done, due = (counts[f"steps{of}"] + counts[f"films{of}"] for of in ("", "_due"))
                job = self.job = replace(job, done=done + counts["films_anew"], due=due)
                if line.startswith(SAID):
                    error = line.removeprefix(SAID).strip()
        return job, process.returncode, error


def _ending(status: int, text: str, error: str, stopped: bool) -> tuple[str, str]:
    """How a job stands that has ended, and what was wrong.

    Args:
        status: of its process.
        text: that it printed.
        error: the last sentence that it said was wrong.
        stopped: it was told to end.
    """
    if status in (0, SOME_FAILED):
        return DONE, error if status else ""
    if stopped:
        return STOPPED, ""
    if status == 1 and not error and text:
        return REFUSED, ""
    return FAILED, error or f"it ended with the status {status} and without a word"
