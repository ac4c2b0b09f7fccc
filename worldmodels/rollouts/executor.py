"""Runs work over items, here or in worker processes that are replaced when they die.

The seam for other engines is `Executor`: whatever gets the work and the items to where they are played, and the results
back.
"""

import contextlib
import faulthandler
import itertools
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, Protocol

import cv2
import torch

from worldmodels.rollouts.config import ENGINE, ExecutorConfig
from worldmodels.rollouts.engine import Feed, Items
from worldmodels.utils import parts

Results = Generator[tuple[Any, Any], None, None]

CHANGES_RESULTS = False  # a result depends on its item alone, wherever it is made
log = logging.getLogger(__name__)
ATTEMPTS = 3  # how often one item may fail or take its worker with it
IDLE = 0  # the session of a worker that has nothing to do
TAKE_SECONDS = 0.001  # a worker asks at most so often for a new item …
CHECK_SECONDS = 0.02  # … and whether its results are still wanted


class Work(Protocol):
    """What is done with the items, ``slots`` of them at once; it is sent to the workers by pickle.

    A result may depend on its item only, so that it is the same for any number of workers.
    """

    @property
    def slots(self) -> int: ...

    def __call__(self, feed: Feed) -> Results:
        """Yield (item, result) pairs in any order. The item is the very object that the feed gave, and the result is
        small: a worker that sends does not receive, nor does one that is sent to.
        """
        ...


class Executor(Protocol):
    """Anything with ``map`` and ``close``."""

    def map(self, work: Work, items: Iterable[Any]) -> Results:
        """Yield (item, result) pairs in the order they finish."""
        ...

    def close(self) -> None: ...


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class SerialExecutor:
    """Everything in this process, one thread as in a worker, so that results are the same to the last bit."""

    def map(self, work: Work, items: Iterable[Any]) -> Results:
        with contextlib.closing(work(Items(iter(items)))) as results:
            while True:
                with one_thread():
                    result = next(results, None)
                if result is None:
                    return
                yield result

    def close(self) -> None: ...


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    session: int = IDLE
    work: Work | None = None
    under_way: dict[int, Any] = field(default_factory=dict)


class ProcessExecutor:
    """``workers`` processes with one torch and one OpenCV thread each. Each item goes to the worker with the fewest
    under way, so that none is idle while another has a queue.

    An exception in a worker is logged with the worker's own traceback, and what the worker had under way is tried
    again; a worker that dies outright (its fault trace goes to standard error) is replaced and the same holds. An item
    that is under way at `ATTEMPTS` failures ends the run.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._workers: list[_Worker] = []
        self._sessions = itertools.count(IDLE + 1)

    def map(self, work: Work, items: Iterable[Any]) -> Results:
        waiting = enumerate(items)
        failures: dict[int, int] = {}
        again: deque[tuple[int, Any]] = deque()
        try:
            while True:
                self._hand_out(work, waiting, again)
                busy = {worker.pipe: worker for worker in self._workers if worker.under_way}
                if not busy:
                    return
                for pipe in connection.wait(list(busy)):
                    worker = busy[pipe]  # type: ignore[index]
                    outcome = self._receive(worker)
                    if isinstance(outcome, tuple):
                        number, result = outcome
                        yield worker.under_way.pop(number), result
                        continue
                    for entry in worker.under_way.items():
                        failures[entry[0]] = failures.get(entry[0], 0) + 1
                        if failures[entry[0]] >= ATTEMPTS:
                            raise RuntimeError(f"gave up on a rollout after {ATTEMPTS} attempts: {outcome}")
                        again.append(entry)
                    worker.under_way.clear()
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
            worker = min(self._workers, key=lambda worker: len(worker.under_way), default=None)
            starts = len(self._workers) < self.workers and (worker is None or bool(worker.under_way))
            if not starts and worker is not None and len(worker.under_way) >= work.slots:
                return
            entry = again.popleft() if again else next(waiting, None)
            if entry is None:
                return
            if starts or worker is None:
                worker = self._start()
                self._workers.append(worker)
            worker.under_way[entry[0]] = entry[1]
            try:
                if worker.work is not work:
                    worker.session, worker.work = next(self._sessions), work
                    worker.pipe.send((worker.session, work))
                worker.pipe.send((worker.session, entry))
            except OSError:  # it has died, which is dealt with when its results are waited for
                return

    def _receive(self, worker: _Worker) -> tuple[int, Any] | str:
        """A result with its item's number, or what went wrong."""
        try:
            outcome = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker)
            log.warning("a worker died; it is replaced and the %d rollouts under way are redone", len(worker.under_way))
            return "its worker died"
        if isinstance(outcome, str):
            worker.work = None  # it has left the session
            log.warning("a rollout failed; the %d under way are redone\n%s", len(worker.under_way), outcome)
            return outcome.strip().split("\n")[-1]
        return outcome

    def _stop(self) -> None:
        """Have every worker drop what it has under way, and wait until it has."""
        for worker in [worker for worker in self._workers if worker.under_way]:
            worker.under_way.clear()
            worker.work = None
            try:
                worker.pipe.send((IDLE, None))
                while worker.pipe.recv() is not None:
                    pass
            except (EOFError, OSError):
                self._bury(worker)

    def _bury(self, worker: _Worker) -> None:
        worker.pipe.close()
        self._workers.remove(worker)

    def _start(self) -> _Worker:
        if multiprocessing.get_start_method(allow_none=True) == "loky":  # a job of the joblib launcher: the workers
            multiprocessing.set_start_method("spawn", force=True)  # below could not make sense of it
        if "forkserver" in multiprocessing.get_all_start_methods():
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["worldmodels.controller.agent"])
        else:
            context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _without_main():
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


@contextmanager
def _without_main() -> Iterator[None]:
    """Processes that are started meanwhile do not run the user's script, as Python has it by default: a script without
    ``if __name__ == "__main__"`` would start the same run once more in each of them. They need nothing of it.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class _Inbox:
    """A worker's feed: the items of one session."""

    def __init__(self, pipe: Connection, session: int) -> None:
        self._pipe, self._session = pipe, session
        self._items: deque[Any] = deque()
        self._looked = 0.0
        self._numbers: dict[int, list[int]] = {}  # of the items under way, by identity

    def take(self, wait: bool) -> Any:
        self._look(TAKE_SECONDS)
        while wait and not self._items:
            self._receive()
        return self._items.popleft() if self._items else None

    def check(self) -> None:
        self._look(CHECK_SECONDS)

    def _look(self, interval: float) -> None:
        now = time.perf_counter()
        if now - self._looked >= interval:
            self._looked = now
            while self._pipe.poll():
                self._receive()

    def _receive(self) -> None:
        session, message = _receive(self._pipe)
        if session != self._session:
            raise _NextSession(session, message)
        number, item = message
        self._numbers.setdefault(id(item), []).append(number)
        self._items.append(item)

    def number(self, item: Any) -> int:
        """The number of an item that is done."""
        return self._numbers[id(item)].pop()


class _NextSession(Exception):
    """The parent has gone on; the arguments are its message."""


def _serve(pipe: Connection) -> None:
    """A worker's life: one session of one work after another, until the parent goes."""
    _prepare_worker()
    session: int = IDLE
    message: Any = None
    while True:
        try:
            if session == IDLE:
                session, message = _receive(pipe)
            inbox, work = _Inbox(pipe, session), message
            try:
                for item, result in work(inbox):
                    _send(pipe, (inbox.number(item), result))
            except _NextSession:
                raise
            except Exception:
                _send(pipe, traceback.format_exc())
            while True:  # after a failure, until the parent has taken note of it
                inbox.take(wait=True)
        except _NextSession as following:
            session, message = following.args
            if session == IDLE:
                _send(pipe, None)


def _receive(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except (EOFError, OSError):  # the parent is gone
        os._exit(1)


def _send(pipe: Connection, message: Any) -> None:
    try:
        pipe.send(message)
    except OSError:
        os._exit(1)


def _prepare_worker() -> None:
    """One thread per library; deaf to Ctrl-C (the parent decides); gone when the parent is gone, however that ended."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave_with_parent() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()


def make_executor(config: ExecutorConfig, workers: int) -> Executor:
    """The executor that ``executor.engine`` names; a class is given ``workers`` if it asks for them."""
    return parts.make(ENGINE, config.engine, "executor.engine", workers=workers)
