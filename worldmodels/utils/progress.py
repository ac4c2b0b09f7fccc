"""A progress bar with rate and ETA on a terminal; a line now and then in a log."""

import logging
import math
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn
from rich.progress import Progress as Bar
from rich.progress import Task as BarTask
from rich.text import Text

from worldmodels.utils import interrupts, live

CHANGES_RESULTS = False  # shows what is done

log = logging.getLogger(__name__)
LOG_SECONDS = 15.0  # between two lines of a log
FIRST_SECONDS = 5.0  # before the first one, so that a unit of many seconds is told once it is done


class _Rate(ProgressColumn):
    def render(self, task: BarTask) -> Text:
        rate = task.fields["rate"]()
        return Text(f"{rate:,.{0 if rate >= 10 else 2}f} {task.fields['unit']}/s" if rate else "")


class _Left(ProgressColumn):
    def render(self, task: BarTask) -> Text:
        seconds = task.fields["left"]()
        return Text("–:––" if seconds is None else f"{seconds // 60:.0f}:{seconds % 60:02.0f}")


def seconds_left(done: int, total: int, at_once: int, elapsed: float) -> float | None:
    """Until ``total`` units are done, of which ``at_once`` are under way at any time and ``done`` took ``elapsed``
    seconds; None where that cannot be told. Units that began together end together: of 16 episodes at once, the first
    to end says that the others are about to.
    """
    if done == 0:
        return None
    at_once = min(at_once, total)
    turns = math.ceil(done / at_once)  # of all that are under way at once
    return max(0.0, elapsed / turns * math.ceil(total / at_once) - elapsed)


def duration(seconds: float) -> str:
    """Seconds for people, one at least: 40 s, 3 min, 10 h."""
    if seconds < 100:
        return f"{max(1.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"


class Progress:
    """``with Progress("collect", total, "frames") as progress: progress.advance(200)``"""

    def __init__(self, what: str, total: int, unit: str, already_done: int = 0, at_once: int = 1) -> None:
        """``already_done`` units come from an earlier run and do not count in the rate. ``at_once``: how many run
        together.
        """
        self.what, self.total, self.unit, self.at_once = what, total, unit, max(1, at_once)
        self.done = self.already_done = already_done
        self._bar: Bar | None = None
        self._view: live.View | None = None

    def __enter__(self) -> "Progress":
        self._started = time.perf_counter()
        self._logged = self._started - LOG_SECONDS + FIRST_SECONDS
        if view := live.current():
            self._view, view.work = view, self
        elif sys.stderr.isatty() and not live.several_write():
            columns = (
                TextColumn("  {task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                _Left(),
            )
            redirected = sys.stdout.isatty()
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True, redirect_stdout=redirected)
            handlers = [
                handler for handler in logging.getLogger().handlers if isinstance(handler, logging.StreamHandler)
            ]
            self._logs = [
                (handler, handler.stream) for handler in handlers if redirected and handler.stream is sys.stdout
            ]
            self._bar.start()
            for handler, _ in self._logs:  # a line of the log goes above the bar
                handler.setStream(sys.stdout)
            fields = {"unit": self.unit, "left": self.left, "rate": self.rate}
            self._task = self._bar.add_task(self.what, total=self.total, completed=self.already_done, **fields)
        return self

    def rate(self) -> float:
        """Units a second so far."""
        return (self.done - self.already_done) / max(1e-9, time.perf_counter() - self._started)

    def left(self) -> float | None:
        """Seconds until all is done, None where that cannot be told: nothing is done yet, or all that is not done has
        been under way for longer than what is done took.
        """
        elapsed = time.perf_counter() - self._started
        left = seconds_left(self.done - self.already_done, self.total - self.already_done, self.at_once, elapsed)
        return left or None

    def advance(self, amount: int) -> None:
        """``amount`` more units are done. Raises `KeyboardInterrupt` if one was asked for."""
        interrupts.check()
        self.show(amount)

    def describe(self, what: str) -> None:
        """Say from now on that this is done."""
        self.what = what
        if self._bar:
            self._bar.update(self._task, description=what)

    def show(self, amount: int) -> None:
        """``amount`` more units are done, whoever asked for an interrupt."""
        self.done += amount
        if self._bar:
            self._bar.advance(self._task, amount)
        elif self._view is None and (now := time.perf_counter()) - self._logged >= LOG_SECONDS:
            self._logged = now
            seconds = self.left()
            remaining = "" if seconds is None else f", {duration(seconds)} left"
            log.info("  %s: %d of %d %s, %.3g/s%s", self.what, self.done, self.total, self.unit, self.rate(), remaining)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._view is not None:
            self._view.work = None
        if self._bar:
            self._bar.stop()
            for handler, stream in self._logs:
                handler.setStream(stream)
