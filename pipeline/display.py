"""Progress display: what a person sees while a run goes on, and after it."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from movie_tags.pipeline.folders import NotLookedAt
from movie_tags.progress import LOGGER, reports_in
from movie_tags.wording import number


class Reports(logging.Handler, ABC):
    """Log handler that adds up progress reports, from this process or from workers' log lines, and shows them.

    A terminal gets a bar; a pipe or a log a plain line every ten seconds.
    """

    def __init__(self, console: Console, description: str, *columns: ProgressColumn, total: int | None = None):
        """Args: where to show them; what is done; columns of the bar besides the usual; how much there is to do."""
        super().__init__(logging.INFO)
        self.console = console
        self.last_line = time.monotonic()
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            *columns,
            TimeElapsedColumn(),
            console=console,
        )
        self.task = self.bar.add_task(description, total=total)

    def emit(self, record: logging.LogRecord) -> None:
        for report in reports_in(record.getMessage()):
            self.add(report)

    @abstractmethod
    def add(self, report: dict) -> None:
        """Count one report of `movie_tags.progress.report_progress`."""

    @abstractmethod
    def text(self) -> str:
        """The state in one line."""

    def show(self, **changes) -> None:
        """Show the state: on a terminal by these changes to the bar."""
        if self.console.is_terminal:
            self.bar.update(self.task, **changes)
        elif time.monotonic() - self.last_line > 10:
            self.last_line = time.monotonic()
            self.console.print(self.text(), highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, *_) -> None:
        if self.console.is_terminal:
            self.bar.stop()


@contextmanager
def watching(reports: Reports, propagate: bool = False) -> Iterator[None]:
    """Show progress reports while a pipeline runs.

    Args:
        reports: shows them; itself a context that is entered.
        propagate: let the reports' log lines go on to other handlers, too.
    """
    watched = [logging.getLogger(name) for name in (LOGGER, "apache_beam.runners.portability.local_job_service")]
    before = [(logger.level, logger.propagate) for logger in watched]
    for logger in watched:
        logger.setLevel(logging.INFO)
        logger.addHandler(reports)
        logger.propagate = propagate
    try:
        with reports:
            yield
    finally:
        for logger, (level, propagated) in zip(watched, before, strict=True):
            logger.removeHandler(reports)
            logger.setLevel(level)
            logger.propagate = propagated


class Counted(Reports):
    """Work whose amount is known."""

    def __init__(self, description: str, unit: str, total: int):
        """Args: what is done; the key of reports that count it, and its name for people; how much there is."""
        super().__init__(Console(stderr=True), description, MofNCompleteColumn(), total=total)
        self.description, self.unit, self.total = description, unit, total
        self.done = 0

    def add(self, report: dict) -> None:
        if self.unit in report:
            self.set(self.done + report[self.unit])

    def set(self, done: int) -> None:
        """Say how much is done."""
        self.done = done
        self.show(completed=done)

    def text(self) -> str:
        return f"{self.description}: {self.done} of {self.total} {self.unit}"


class RunProgress(Reports):
    """A tagging run: how many films of those that are due are done, and when it will end, as soon as that is known.

    The share that is done is that of the films' bytes, or of their number where bytes are not known (remote films).
    """

    def __init__(self, console: Console):
        super().__init__(console, "starting", TaskProgressColumn(), TimeRemainingColumn())
        self.begun = time.monotonic()
        self.counted_from = self.begun
        self.segments_left: dict[str, int] = {}
        self.films = self.bytes = 0
        self.films_due = self.bytes_due = 0
        self.seconds = 0.0
        self.key_frames = 0
        self.skipped = NotLookedAt()

    def __exit__(self, *error) -> None:
        super().__exit__(*error)
        say_what_was_skipped(self.console, self.skipped)

    def add(self, report: dict) -> None:
        self.seconds += report.get("seconds", 0.0)
        self.key_frames += report.get("key_frames", 0)
        self.bytes += report.get("bytes", 0)
        self.skipped.files.update(report.get("not_looked_at", {}))
        self.skipped.notes += report.get("notes", [])
        self.films += report.get("films_anew", 0)
        if "films_due" in report:
            self.films_due += report["films_due"]
            self.bytes_due += report["bytes_due"]
            self.counted_from = time.monotonic()
            return  # not shown by itself: more films may be known in a moment
        if "segments" in report:
            left = self.segments_left.pop(report["video"], report["segments"]) - 1
            if left:
                self.segments_left[report["video"]] = left
            else:
                self.films += 1
        if self.films_due:
            self.show(description=self.text(), total=1.0, completed=self.share())
        else:
            self.show(description=self.text())

    def share(self) -> float:
        """The share of the work that is done, in [0, 1]; a part that is begun again does not count twice over."""
        if not self.films_due:
            return 0.0
        known = self.bytes / self.bytes_due if self.bytes and self.bytes_due else self.films / self.films_due
        return min(1.0, known)

    def seconds_left(self) -> float | None:
        """How long the rest will take at the pace so far; None while that cannot be said."""
        share = self.share()
        return (time.monotonic() - self.counted_from) * (1 - share) / share if share else None

    def text(self) -> str:
        films = f"{self.films} of {number(self.films_due, 'film')}" if self.films_due else number(self.films, "film")
        left = self.seconds_left()
        ahead = ""
        if left and not self.is_terminal:
            ahead = f", {self.share():.0%}, {timedelta(seconds=round(left))} left"
        work = f", {self.work()}" if self.seconds or not self.films else ""
        return f"{films}{work}{ahead}"

    @property
    def is_terminal(self) -> bool:
        """Whether a bar shows the share and the time that is left."""
        return self.console.is_terminal

    def outcome(self, counts: Mapping[str, int], decoded: bool = True) -> str:
        """How a run ended, in one line that adds up.

        Args:
            counts: of a run's record: `videos_tagged` and the like.
            decoded: whether any film was due for more than what was kept of it.
        """
        said = [(counts.get(name, 0), words) for name, words in _ENDS.items()]
        films = sum(n for n, _ in said)
        ends = ", ".join(f"{n} {words}" for n, words in said if n or words == "tagged")
        frames = counts.get("key_frames_failed", 0)
        wrong = f"; {number(frames, 'key frame')} failed" if frames else ""
        work = f"; {self.work()}" if decoded else ", from what was seen; no film was opened"
        return f"{number(films, 'film')}: {ends}{work}{wrong}"

    def work(self) -> str:
        """What was done, in numbers."""
        speed = self.seconds / max(1e-3, time.monotonic() - self.begun)
        return f"{self.seconds:.0f} s of film decoded, {number(self.key_frames, 'key frame')}, {speed:.1f} x real time"


_ENDS = {
    "videos_tagged": "tagged",
    "videos_failed": "failed",
    "videos_lost": "lost",
    "inputs_merged": "named again by another name",
}
"""What becomes of a film that was named, by the name of its count."""


def say_what_was_skipped(console: Console, skipped: NotLookedAt) -> None:
    """Print how many files of what kinds were not looked at, and how others were read."""
    for text in [*skipped.notes, skipped.text()]:
        if text:
            console.print(text, highlight=False, markup=False, soft_wrap=True)
