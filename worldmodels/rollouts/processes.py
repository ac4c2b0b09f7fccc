"""Runs work in worker processes that are replaced when they die, hang or have grown old."""

import itertools
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection, forkserver, util
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Annotated, Any

from worldmodels.rollouts.executor import Results, Work
from worldmodels.rollouts.workers import IDLE, Alive, Refused, serve
from worldmodels.utils import interrupts
from worldmodels.utils.settings import Setting
from worldmodels.utils.words import number_of

CHANGES_RESULTS = False  # a result depends on its item alone, wherever it is made
log = logging.getLogger(__name__)
ATTEMPTS = 3  # how often one item may fail or take its worker with it
START_SECONDS = 60.0  # for a worker to start and to load its first work, in which it gives no sign of life
LEAVE_SECONDS = 10.0  # for an idle worker to end by itself
LISTED = 4  # items that a message names
LONGEST_FOLDER = 60  # characters; a socket's path has room for 104, and multiprocessing adds 32 to the folder


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    session: int = IDLE
    work: Work | None = None
    under_way: dict[int, Any] = field(default_factory=dict)
    handed: int = 0  # items so far
    silent: float = -START_SECONDS  # how long its parent has waited for it since the last message, in seconds


@dataclass
class _Tries:
    """The items that have to be played again, and how often each has failed."""

    failures: dict[int, int] = field(default_factory=dict)
    again: deque[tuple[int, Any]] = field(default_factory=deque)

    def failed(self, worker: _Worker, why: str) -> None:
        """What ``worker`` has under way is to be tried again. Raises `RuntimeError` after `ATTEMPTS`."""
        for number, item in worker.under_way.items():
            self.failures[number] = self.failures.get(number, 0) + 1
            if self.failures[number] >= ATTEMPTS:
                raise RuntimeError(f"gave up on {_name(item)} after {ATTEMPTS} attempts: {why}")
            self.again.append((number, item))
        worker.under_way.clear()


class ProcessExecutor:
    """``workers`` processes with one torch and one OpenCV thread each. Each item goes to the worker with the fewest
    under way, so that none is idle while another has a queue.

    An exception in a worker is logged with the worker's own traceback, and what the worker had under way is tried
    again; a worker that dies outright (its fault trace goes to standard error), or that gives no sign of life, is
    replaced and the same holds. An item that is under way at `ATTEMPTS` failures ends the run; a `ConfigError` or a
    `Failure` does at once.
    """

    def __init__(
        self,
        workers: int,
        patience_seconds: Annotated[
            float,
            Setting("A worker without a sign of life for so long is replaced.", unit="s", above=0, counts="never"),
        ] = 300.0,
        renew_after: Annotated[
            int,
            Setting("Episodes after which a worker is replaced: physics engines leak.", at_least=1, counts="never"),
        ] = 5000,
    ) -> None:
        self.workers, self.patience, self.renew_after = workers, patience_seconds, renew_after
        self._pulse = patience_seconds / 5
        self._workers: list[_Worker] = []
        self._sessions = itertools.count(IDLE + 1)

    def map(self, work: Work, items: Iterable[Any]) -> Results:
        waiting = enumerate(items)
        tries = _Tries()
        try:
            while True:
                self._hand_out(work, waiting, tries.again)
                busy = {worker.pipe: worker for worker in self._workers if worker.under_way}
                if not busy:
                    return
                began = time.monotonic()
                ready = connection.wait(list(busy), self._pulse)
                waited = min(time.monotonic() - began, self._pulse)  # not the time for which all of us were stopped
                for worker in busy.values():
                    worker.silent = 0.0 if worker.pipe in ready else worker.silent + waited
                for worker in [worker for worker in busy.values() if worker.silent >= self.patience]:
                    tries.failed(worker, self._give_up(worker))
                for pipe in ready:
                    worker = busy[pipe]  # type: ignore[index]
                    outcome = self._receive(worker)
                    if isinstance(outcome, tuple):
                        number, result = outcome
                        yield worker.under_way.pop(number), result
                    elif isinstance(outcome, str):
                        tries.failed(worker, outcome)
        except GeneratorExit:  # the caller has enough: keep the workers, but leave nothing under way
            try:
                self._stop()
            except BaseException:  # interrupted in between: what the workers still send belongs to nobody
                self.close()
                raise
            raise
        except BaseException:
            self.close()
            raise

    def _hand_out(self, work: Work, waiting: Iterator[tuple[int, Any]], again: deque[tuple[int, Any]]) -> None:
        """Give the workers items one at a time, until each has as many as slots, or there are no more."""
        while True:
            for worker in [
                candidate
                for candidate in self._workers
                if candidate.handed >= self.renew_after and not candidate.under_way
            ]:
                self._bury(worker)
            young = [candidate for candidate in self._workers if candidate.handed < self.renew_after]
            worker = min(young, key=lambda worker: len(worker.under_way), default=None)
            starts = len(self._workers) < self.workers and (worker is None or bool(worker.under_way))
            if not starts and (worker is None or len(worker.under_way) >= work.slots):
                return
            entry = again.popleft() if again else next(waiting, None)
            if entry is None:
                return
            if starts or worker is None:
                worker = self._start()
                self._workers.append(worker)
            if not worker.under_way:
                worker.silent = min(worker.silent, 0.0)
            worker.under_way[entry[0]] = entry[1]
            worker.handed += 1
            try:
                if worker.work is not work:
                    worker.session, worker.work = next(self._sessions), work
                    worker.pipe.send((worker.session, work))
                worker.pipe.send((worker.session, entry))
            except OSError:  # it has died, which is dealt with when its results are waited for
                return

    def _receive(self, worker: _Worker) -> tuple[int, Any] | str | None:
        """A result with its item's number, what went wrong, or None for a sign of life. Raises `ConfigError` and
        `Failure`.
        """
        try:
            outcome = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker)
            lost = number_of(len(worker.under_way), "rollout")
            log.warning("a worker died; it is replaced and starts again on %s", lost)
            return "its worker died"
        if isinstance(outcome, Alive):
            return None
        if isinstance(outcome, Refused):
            raise outcome.kind(outcome.message)
        if isinstance(outcome, str):
            worker.work = None  # it has left the session
            lost = number_of(len(worker.under_way), "rollout")
            log.warning("a rollout failed; its worker starts again on %s\n%s", lost, outcome)
            return outcome.strip().split("\n")[-1]
        return outcome

    def _give_up(self, worker: _Worker) -> str:
        """Replace a worker that hangs. Returns what went wrong."""
        problem = f"no sign of life for {self.patience:g} s"
        names = [_name(item) for item in itertools.islice(worker.under_way.values(), LISTED)]
        more = f" and {len(worker.under_way) - LISTED} more" if len(worker.under_way) > LISTED else ""
        log.warning("a worker gave %s; it is replaced and starts again on %s%s", problem, ", ".join(names), more)
        worker.process.kill()
        self._bury(worker)
        return problem

    def _stop(self) -> None:
        """Make every worker drop its items under way, and wait until it has."""
        for worker in [worker for worker in self._workers if worker.under_way]:
            try:
                worker.pipe.send((IDLE, None))
                while worker.pipe.poll(self.patience):
                    if worker.pipe.recv() is None:
                        break
                else:
                    self._give_up(worker)
            except (EOFError, OSError):
                self._bury(worker)
            worker.under_way.clear()
            worker.work = None

    def _bury(self, worker: _Worker) -> None:
        """Remove a worker: an idle one ends when its pipe is closed."""
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.join(LEAVE_SECONDS)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()

    def _start(self) -> _Worker:
        if multiprocessing.get_start_method(allow_none=True) == "loky":  # a job of the joblib launcher: the workers
            multiprocessing.set_start_method("spawn", force=True)  # below could not make sense of it
        if "forkserver" in multiprocessing.get_all_start_methods():
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["worldmodels.controller.agent"])
            _keep_socket_paths_short()
        else:
            context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self._pulse), daemon=True)
        with _without_main():
            with interrupts.held_back():
                if context.get_start_method() == "forkserver":
                    forkserver.ensure_running()  # the first worker waits for it, which a Ctrl-C may end
                else:
                    process.start()
            if process.pid is None:
                process.start()
        theirs.close()
        return _Worker(process, ours)

    def close(self) -> None:
        """End the workers at once."""
        for worker in self._workers:
            worker.process.terminate()
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join()
        self._workers.clear()


def _name(item: Any) -> str:
    """An item for people."""
    seed = getattr(item, "seed", None)
    return f"item {item!r:.60}" if seed is None else f"rollout {item.label} (seed {seed})"


def _keep_socket_paths_short() -> None:
    """Create multiprocessing's folder, in which the fork server listens, where a socket's path is short enough."""
    usual = tempfile.gettempdir()
    if len(os.fsencode(usual)) > LONGEST_FOLDER and os.access("/tmp", os.W_OK | os.X_OK):
        tempfile.tempdir = "/tmp"
        try:
            util.get_temp_dir()  # made once, and removed at the end
        finally:
            tempfile.tempdir = usual


@contextmanager
def _without_main() -> Iterator[None]:
    """Keep processes that start meanwhile from running the user's script, as Python does by default: without ``if
    __name__ == "__main__"`` it would start the same run again in each of them.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
