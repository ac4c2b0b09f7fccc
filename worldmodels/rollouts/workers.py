"""A worker process: it plays what its parent sends and sends back the results."""

import faulthandler
import multiprocessing
import os
import re
import signal
import threading
import time
import traceback
from collections import deque
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from typing import Any

import cv2
import torch

from worldmodels.utils.errors import ConfigError, Failure, first_line

CHANGES_RESULTS = False  # a result depends on its item alone, wherever it is made
IDLE = 0  # the session of a worker that has nothing to do
TAKE_SECONDS = 0.001  # a worker asks at most so often for a new item …
CHECK_SECONDS = 0.02  # … and whether its results are still wanted


@dataclass(frozen=True)
class Alive:
    """A sign of life."""


@dataclass(frozen=True)
class Refused:
    """An error of a ``kind`` that another attempt does not help: the request makes no sense, or the machine failed."""

    message: str
    kind: type[Exception] = ConfigError


@dataclass(frozen=True)
class Exhausted:
    """A worker has no more memory, and does nothing more."""

    message: str


class Inbox:
    """A worker's feed: the items of one session. Gives a sign of life every ``pulse`` seconds while its items are being
    played.
    """

    def __init__(self, pipe: Any, session: int, pulse: float) -> None:
        self._pipe, self._session, self._pulse = pipe, session, pulse
        self._beat = time.perf_counter()
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
        if self._looked - self._beat >= self._pulse:
            self._beat = self._looked
            _send(self._pipe, Alive())

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


def serve(pipe: Connection, pulse: float) -> None:
    """The life of a worker process."""
    _prepare_worker()
    attend(pipe, pulse)


def attend(pipe: Any, pulse: float) -> None:
    """A worker's life: one session of one work after another, until the parent goes. ``pipe``: a connection to it, or
    anything with its ``send``, ``recv`` and ``poll``.
    """
    session: int = IDLE
    message: Any = None
    while True:
        try:
            if session == IDLE:
                session, message = _receive(pipe)
            inbox, work = Inbox(pipe, session, pulse), message
            _send(pipe, Alive())  # here, since to load the work may take long
            try:
                for item, result in work(inbox):
                    _send(pipe, (inbox.number(item), result))
            except _NextSession:
                raise
            except (ConfigError, Failure) as error:
                _send(pipe, Refused(str(error), ConfigError if isinstance(error, ConfigError) else Failure))
            except Exception as error:
                _send(pipe, Exhausted(first_line(error)) if _of_memory(error) else traceback.format_exc())
            while True:  # after a failure, until the parent has taken note of it
                inbox.take(wait=True)
        except _NextSession as following:
            session, message = following.args
            if session == IDLE:
                _send(pipe, None)


def _of_memory(error: Exception) -> bool:
    """Whether memory ran out: Python's and NumPy's way to say it, and torch's and OpenCV's."""
    return isinstance(error, MemoryError) or bool(re.search("allocate memory|Insufficient memory", str(error)))


def _receive(pipe: Any) -> Any:
    try:
        return pipe.recv()
    except (EOFError, OSError):  # the parent is gone
        os._exit(1)


def _send(pipe: Any, message: Any) -> None:
    try:
        pipe.send(message)
    except OSError:
        os._exit(1)


def prepare_libraries() -> None:
    """One thread each."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def _prepare_worker() -> None:
    """One thread per library; ignores Ctrl-C (the parent decides); ends with the parent, however that ended."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    prepare_libraries()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave_with_parent() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()
