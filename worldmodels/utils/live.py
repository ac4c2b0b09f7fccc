"""One live view of a whole run on a terminal: its stages, how far each is, the time left, and the figures so far.

Where standard error is no terminal there is no view, and all that is told here is passed over.
"""

import contextlib
import logging
import multiprocessing
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

CHANGES_RESULTS = False  # shows what is done
WIDTH = 100  # columns
REFRESH = 4  # times a second
RECENT = 3  # generations whose time stands for those that come
PACE = (0.2, 5.0)  # how far off an estimate may be before it is believed no further
FIGURES = {  # of a row of a table: what is told of it
    ("vision", "epochs"): "validation error {val_reconstruction:.1f}",
    ("memory", "steps"): "validation NLL {val_nll:.3f}",
    ("controller", "generations"): "mean {mean:.1f}, best {best:.1f}",
}


class Work(Protocol):
    """What `worldmodels.utils.progress.Progress` shows of itself."""

    what: str
    unit: str
    total: int
    done: int

    def rate(self) -> float: ...
    def left(self) -> float | None: ...


@dataclass
class Row:
    """A stage. ``expected``: seconds, before it begins."""

    task: str
    stage: str
    expected: float
    generations: int = 0
    started: float | None = None
    seconds: float = 0.0  # of what is built
    reused: bool = True
    over: bool = False
    figures: str = ""


class View:
    """What is shown. ``title``: of the run; times are those of ``time.perf_counter``."""

    def __init__(self, title: str) -> None:
        self.title, self.rows = title, list[Row]()
        self.started = time.perf_counter()
        self.current: Row | None = None
        self.doing = ""
        self.work: Work | None = None
        self.generations: list[float] = []  # when each ended
        self.generation = 0  # the last one; a search that goes on has some from earlier
        self.returns: list[float] = []

    def expect(self, task: str, seconds: Mapping[str, float], generations: int, first: bool = False) -> None:
        """Show these stages of a task; ``first``: before all others, as a source's are."""
        rows = [Row(task, stage, each, generations if stage == "controller" else 0) for stage, each in seconds.items()]
        self.rows = rows + self.rows if first else self.rows + rows

    def begin(self, task: str, stage: str, doing: str) -> None:
        """``doing`` is about to be built, or found, in a stage."""
        row = next((row for row in self.rows if (row.task, row.stage) == (task, stage)), None)
        if row is not self.current:
            if self.current is not None:
                self.current.over = True
            self.current, self.generations, self.returns = row, [], []
        if row is not None and row.started is None:
            row.started = time.perf_counter()
        self.doing = "" if doing == stage else doing

    def end(self, cached: bool, seconds: float) -> None:
        """What was begun is there."""
        if self.current is not None and not cached:
            self.current.reused = False
            self.current.seconds += seconds

    def tell(self, stage: str, table: str, values: Mapping[str, Any]) -> None:
        """A row of a stage's record."""
        if self.current is None:
            return
        if table == "generations":
            self.generations.append(time.perf_counter())
            self.generation = values["generation"]
            done = f"generation {values['generation']} of {self.current.generations}: "
        elif (stage, table) == ("evaluate", "episodes") and "return_mean" in values:
            self.returns.append(values["return_mean"])
            self.current.figures = f"score {sum(self.returns) / len(self.returns):.1f} over {len(self.returns)}"
            return
        else:
            done = ""
        if form := FIGURES.get((stage, table)):
            with contextlib.suppress(KeyError, TypeError, ValueError):  # of a model of one's own
                self.current.figures = done + form.format(**values)

    def stage_left(self) -> float:
        """Seconds until the current stage ends."""
        row = self.current
        if row is None or row.started is None:
            return 0.0
        inner = self.work.left() if self.work is not None else None
        if row.generations and self.generations:
            recent = [row.started, *self.generations][-RECENT - 1 :]
            each = (recent[-1] - recent[0]) / (len(recent) - 1)
            now = time.perf_counter() - self.generations[-1]
            waiting = max(0, row.generations - self.generation - 1)
            this = max(0.0, each - now) if inner is None else inner
            return waiting * each + (this if self.generation < row.generations else 0.0)
        if inner is not None and not row.generations:
            return inner
        return max(0.0, row.expected * self.pace() - (time.perf_counter() - row.started))

    def left(self) -> float:
        """Seconds until the run ends: of the stages to come as estimated, by the pace of those that are over."""
        waiting = sum(row.expected for row in self.rows if row.started is None)
        return self.stage_left() + waiting * self.pace()

    def pace(self) -> float:
        """How long what was built took, as a share of its estimate."""
        built = [row for row in self.rows if row.over and not row.reused]
        expected = sum(row.expected for row in built)
        share = sum(row.seconds for row in built) / expected if expected else 1.0
        return min(max(share, PACE[0]), PACE[1])

    def __rich__(self) -> Group:
        elapsed = time.perf_counter() - self.started
        head = Text(f"{self.title}   {clock(elapsed)}, about {clock(self.left())} left", overflow="ellipsis")
        table = Table.grid(padding=(0, 2, 0, 0))
        table.width = WIDTH
        for _ in range(2):
            table.add_column(no_wrap=True)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(justify="right", no_wrap=True)
        several = len({row.task for row in self.rows}) > 1
        for row in self.rows:
            name = f"{row.task} {row.stage}" if several else row.stage
            table.add_row(*self._cells(row, name))
        return Group(head, table)

    def _cells(self, row: Row, name: str) -> tuple[Any, ...]:
        if row.started is None:
            return " ", Text(name, "dim"), "", Text(f"about {clock(row.expected * self.pace())}", "dim")
        if row is not self.current:
            return "✓", name, row.figures, "reused" if row.reused else clock(row.seconds)
        return "▸", Text(name, "bold"), self._now(row), f"{clock(self.stage_left())} left"

    def _now(self, row: Row) -> Any:
        """What the current stage does, how far it is, at what rate, and its figures so far."""
        work = self.work
        if work is None:
            return "  ".join(part for part in (self.doing, row.figures) if part)
        rate = work.rate()
        speed = f"{rate:,.{0 if rate >= 10 else 2}f}/s" if rate else ""
        words = self.doing if work.what == row.stage else work.what.removeprefix(f"{row.stage}, ")
        bar = ProgressBar(total=max(1, work.total), completed=work.done, width=16)
        cells = [words, bar, f"{work.done:,} of {work.total:,} {work.unit}", speed, row.figures]
        line = Table.grid(padding=(0, 1, 0, 0))
        for _ in filter(None, cells):
            line.add_column(no_wrap=True, overflow="ellipsis")
        line.add_row(*filter(None, cells))
        return line


def clock(seconds: float) -> str:
    """``0:07``, ``12:30``, ``3:05:00``"""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


_views: list[View] = []


def several_write() -> bool:
    """Whether this is one of several processes that write to the terminal: jobs of a parallel sweep."""
    return multiprocessing.current_process().name != "MainProcess"


def current() -> View | None:
    """The view that is shown, if there is one."""
    return _views[-1] if _views else None


@contextlib.contextmanager
def shown(title: str) -> Iterator[View | None]:
    """Show a view while a run goes on, where standard error is a terminal. Lines of the log go above it."""
    if not sys.stderr.isatty() or several_write():
        yield None
        return
    view, redirected = View(title), sys.stdout.isatty()
    console = Console(stderr=True, markup=False, emoji=False)
    live = Live(view, console=console, refresh_per_second=REFRESH, transient=True, redirect_stdout=redirected)
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and redirected and handler.stream is sys.stdout
    ]
    streams = [(handler, handler.stream) for handler in handlers]
    with live:
        for handler in handlers:
            handler.setStream(sys.stdout)
        _views.append(view)
        try:
            yield view
        finally:
            _views.remove(view)
            for handler, stream in streams:
                handler.setStream(stream)
