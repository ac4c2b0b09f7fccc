"""Runs a function over items, here or in worker processes that are replaced when they die.

The function's results depend on its item alone, so they are the same for any number of workers.
"""

import faulthandler
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any, Protocol

import cv2
import torch

Results = Generator[tuple[Any, Any], None, None]

log = logging.getLogger(__name__)
ATTEMPTS = 3  # how often one item may fail or take its worker with it


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Executor(Protocol):
    """The seam for engines: anything with ``map`` and ``close``."""

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Results:
        """Yield (item, result) pairs in the order they finish."""
        ...

    def close(self) -> None: ...


class SerialExecutor:
    """Everything in this process, in order, one thread as in a worker, so that results are the same to the last bit."""

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Results:
        for item in items:
            with one_thread():
                result = function(item)
            yield item, result

    def close(self) -> None: ...


class ProcessExecutor:
    """``workers`` processes with one torch and one OpenCV thread each.

    An exception in a worker is logged with the worker's own traceback and its item is tried again; a worker that dies
    outright (its fault trace goes to standard error) is replaced and what was under way is redone. An item that fails
    `ATTEMPTS` times ends the run.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def _start(self) -> ProcessPoolExecutor:
        if multiprocessing.get_start_method(allow_none=True) == "loky":  # a job of the joblib launcher: the workers
            multiprocessing.set_start_method("spawn", force=True)  # below could not make sense of it
        if "forkserver" in multiprocessing.get_all_start_methods():
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["worldmodels.controller.agent", "worldmodels.rollouts.episode"])
        else:
            context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, mp_context=context, initializer=_prepare_worker)

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Results:
        waiting = enumerate(items)
        failures: dict[int, int] = {}
        running: dict[Future[Any], tuple[int, Any]] = {}
        again: list[tuple[int, Any]] = []

        def refill() -> None:
            while len(running) < 2 * self.workers:  # for each worker one under way and one queued
                entry = again.pop() if again else next(waiting, None)
                if entry is None:
                    return
                try:
                    self._pool = self._pool or self._start()
                    running[self._pool.submit(function, entry[1])] = entry
                except BrokenProcessPool:  # what is under way will say so too; without that, the pool broke while idle
                    again.append(entry)
                    if not running:
                        self.close()
                        continue
                    return

        def failed(entry: tuple[int, Any], error: BaseException) -> None:
            number = entry[0]
            failures[number] = failures.get(number, 0) + 1
            if failures[number] >= ATTEMPTS:
                raise RuntimeError(
                    f"gave up on a rollout after {ATTEMPTS} attempts; its last error is above"
                ) from error
            again.append(entry)

        try:
            while True:
                refill()
                if not running and not again:
                    return
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                broken: BaseException | None = None
                for future in finished:
                    entry = running.pop(future)
                    error = future.exception()
                    if error is None:
                        yield entry[1], future.result()
                    elif isinstance(error, BrokenProcessPool):
                        broken = error
                        failed(entry, error)
                    else:
                        log.warning("a rollout failed and is redone", exc_info=error)
                        failed(entry, error)
                if broken is not None:
                    for entry in running.values():
                        failed(entry, broken)
                    running.clear()
                    self.close()
                    log.warning("a worker died; it is replaced and the %d rollouts under way are redone", len(again))
        except GeneratorExit:  # the caller has enough: keep the workers, but leave nothing under way
            for future in running:
                future.cancel()
            wait(running)
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the workers at once."""
        if self._pool is not None:
            processes = list((self._pool._processes or {}).values())
            self._pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()
            self._pool = None


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


def make_executor(name: str, workers: int) -> Executor:
    """The executor that ``executor=`` names."""
    return ProcessExecutor(workers) if name == "process" else SerialExecutor()
