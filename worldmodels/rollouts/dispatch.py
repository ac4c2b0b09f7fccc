"""Hands items to workers and takes back results, whatever the workers are; those that die, hang or have grown old are
replaced. `worldmodels.rollouts.processes` has workers on this machine, `worldmodels.rollouts.cluster` on any.
"""

import itertools
import logging
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from worldmodels.rollouts.executor import Results, Work
from worldmodels.rollouts.workers import IDLE, Alive, Exhausted, Refused
from worldmodels.utils.errors import Failure
from worldmodels.utils.words import number_of

CHANGES_RESULTS = False  # a result depends on its item alone, wherever it is made
log = logging.getLogger(__name__)
ATTEMPTS = 3  # how often one item may fail or take its worker with it
START_SECONDS = 60.0  # for a worker to start and to load its first work, in which it gives no sign of life
LEAVE_SECONDS = 10.0  # for an idle worker to end by itself
LISTED = 4  # items that a message names
FEWER = "or fewer workers (executor.workers) or slots (executor.slots)"


class Pipe(Protocol):
    """What connects a worker, as `multiprocessing` has it. A worker that is gone raises `EOFError` or `OSError`."""

    def send(self, obj: Any, /) -> None: ...
    def recv(self) -> Any: ...
    def poll(self, timeout: float | None = ..., /) -> bool: ...
    def close(self) -> None: ...


class Life(Protocol):
    """What runs a worker, as `multiprocessing` has it."""

    def join(self, timeout: float | None = None) -> None: ...
    def is_alive(self) -> bool: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


@dataclass
class Worker:
    """A worker as its parent knows it; ``ready``: whether it may be given items."""

    process: Life
    pipe: Pipe
    ready: bool = True
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

    def failed(self, worker: Worker, why: str, kind: type[Exception] = RuntimeError) -> None:
        """What ``worker`` has under way is to be tried again. Raises an error of a ``kind`` after `ATTEMPTS`."""
        for number, item in worker.under_way.items():
            self.failures[number] = self.failures.get(number, 0) + 1
            if self.failures[number] >= ATTEMPTS:
                raise kind(f"gave up on {_name(item)} after {ATTEMPTS} attempts: {why}")
            self.again.append((number, item))
        worker.under_way.clear()


class Dispatcher(ABC):
    """``workers`` workers. Each item goes to the one with the fewest under way, so that none is idle while another has
    a queue.

    An exception in a worker is logged with the worker's own traceback, and what the worker had under way is tried
    again; a worker that dies outright (its fault trace goes to standard error), or that gives no sign of life for
    ``patience`` seconds, is replaced and the same holds, as for one that was handed ``renew_after`` items. An item that
    is under way at `ATTEMPTS` failures ends the run; a `ConfigError` or a `Failure` does at once.
    """

    def __init__(self, patience: float, renew_after: int) -> None:
        self.patience, self.renew_after = patience, renew_after
        self._pulse = patience / 5
        self._workers: list[Worker] = []
        self._sessions = itertools.count(IDLE + 1)

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many there are at most."""

    @abstractmethod
    def _start(self) -> Worker:
        """A new worker; one that is not ``ready`` tells when it is, which `_receive` deals with."""

    @abstractmethod
    def _wait(self, pipes: Sequence[Any], seconds: float) -> Sequence[Any]:
        """Those of the pipes that have something to receive, as soon as one has, or after so many seconds."""

    def _sent(self, work: Work) -> Any:
        """Work as it is sent to a worker."""
        return work

    def _landed(self, work: Work, result: Any) -> Any:
        """A result of the work as a worker sent it, as the caller is given it."""
        return result

    def map(self, work: Work, items: Iterable[Any]) -> Results:
        waiting = enumerate(items)
        tries = _Tries()
        try:
            while True:
                more = self._hand_out(work, waiting, tries.again)
                awaited = {worker.pipe: worker for worker in self._workers if worker.under_way or not worker.ready}
                if not more and not any(worker.under_way for worker in awaited.values()):
                    return
                began = time.monotonic()
                ready = self._wait(list(awaited), self._pulse)
                waited = min(time.monotonic() - began, self._pulse)  # not the time for which all of us were stopped
                busy = [worker for worker in awaited.values() if worker.under_way]
                for worker in busy:
                    worker.silent = 0.0 if worker.pipe in ready else worker.silent + waited
                for worker in [worker for worker in busy if worker.silent >= self.patience]:
                    tries.failed(worker, self._give_up(worker))
                for pipe in ready:
                    worker = awaited[pipe]
                    outcome = self._receive(worker)
                    if isinstance(outcome, tuple):
                        number, result = outcome
                        yield worker.under_way.pop(number), self._landed(work, result)
                    elif isinstance(outcome, Exhausted):
                        tries.failed(worker, f"{outcome.message}: expected more memory, {FEWER}", Failure)
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

    def _hand_out(self, work: Work, waiting: Iterator[tuple[int, Any]], again: deque[tuple[int, Any]]) -> bool:
        """Give the workers items one at a time, until each has as many as slots. Returns whether there may be more."""
        while True:
            for worker in [
                candidate
                for candidate in self._workers
                if candidate.handed >= self.renew_after and not candidate.under_way
            ]:
                self._bury(worker)
            young = [worker for worker in self._workers if worker.ready and worker.handed < self.renew_after]
            worker = min(young, key=lambda worker: len(worker.under_way), default=None)
            starts = len(self._workers) < self.workers and (worker is None or bool(worker.under_way))
            if not starts and (worker is None or len(worker.under_way) >= work.slots):
                return True
            entry = again.popleft() if again else next(waiting, None)
            if entry is None:
                return False
            if starts or worker is None:
                worker = self._start()
                self._workers.append(worker)
                if not worker.ready:
                    again.appendleft(entry)
                    continue
            if not worker.under_way:
                worker.silent = min(worker.silent, 0.0)
            worker.under_way[entry[0]] = entry[1]
            worker.handed += 1
            try:
                if worker.work is not work:
                    worker.session, worker.work = next(self._sessions), work
                    worker.pipe.send((worker.session, self._sent(work)))
                worker.pipe.send((worker.session, entry))
            except OSError:  # it has died, which is dealt with when its results are waited for
                return True

    def _receive(self, worker: Worker) -> tuple[int, Any] | Exhausted | str | None:
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
        if isinstance(outcome, Exhausted):
            self._bury(worker)
            lost = number_of(len(worker.under_way), "rollout")
            log.warning("a worker ran out of memory; it is replaced and starts again on %s", lost)
        if isinstance(outcome, Refused):
            raise outcome.kind(outcome.message)
        if isinstance(outcome, str):
            worker.work = None  # it has left the session
            lost = number_of(len(worker.under_way), "rollout")
            log.warning("a rollout failed; its worker starts again on %s\n%s", lost, outcome)
            return outcome.strip().split("\n")[-1]
        return outcome

    def _give_up(self, worker: Worker) -> str:
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

    def _bury(self, worker: Worker) -> None:
        """Remove a worker: an idle one ends when its pipe is closed."""
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.join(LEAVE_SECONDS)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()

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
