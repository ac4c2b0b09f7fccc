"""A progress bar with rate and ETA on a terminal; a line now and then in a log."""

import logging
import sys
import time
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.progress import Task as BarTask
from rich.text import Text

from worldmodels.utils import interrupts

CHANGES_RESULTS = False  # shows what is done

log = logging.getLogger(__name__)
LOG_SECONDS = 15.0


class _Rate(ProgressColumn):
    def render(self, task: BarTask) -> Text:
        return Text(f"{task.speed:,.0f} {task.fields['unit']}/s" if task.speed else "")


class Progress:
    """``with Progress("collect", total, "frames") as progress: progress.advance(200)``"""

    def __init__(self, what: str, total: int, unit: str, kept: int = 0) -> None:
        """``kept`` units are there from an earlier run and do not count in the rate."""
        self.what, self.total, self.unit = what, total, unit
        self.done = self.kept = kept
        self._bar: Bar | None = None

    def __enter__(self) -> "Progress":
        self._started = self._logged = time.perf_counter()
        if sys.stderr.isatty():
            columns = (
                TextColumn("  {task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                _Rate(),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self.what, total=self.total, completed=self.kept, unit=self.unit)
        return self

    def advance(self, amount: int) -> None:
        """``amount`` more units are done."""
        interrupts.check()
        self.done += amount
        if self._bar:
            self._bar.advance(self._task, amount)
        elif (now := time.perf_counter()) - self._logged >= LOG_SECONDS:
            self._logged = now
            rate = (self.done - self.kept) / (now - self._started)
            left = max(0, self.total - self.done) / max(rate, 1e-9)
            log.info("  %s: %d of %d %s, %.3g/s, %.0f s left", self.what, self.done, self.total, self.unit, rate, left)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
