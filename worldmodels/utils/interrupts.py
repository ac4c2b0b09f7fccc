"""Ctrl-C and SIGTERM that cannot get lost: Python drops an exception raised inside some callbacks, so a flag stays
behind.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType

CHANGES_RESULTS = False  # shows what is done
SIGNALS = (signal.SIGINT, signal.SIGTERM)

_requested = False


def install() -> None:
    """From now on SIGINT and SIGTERM raise `KeyboardInterrupt`, at once and again at the next `check`. One that Python
    drops is not shown: the next `check` raises it.
    """
    for number in SIGNALS:
        signal.signal(number, _request)
    sys.unraisablehook = _unraisable


@contextmanager
def caught() -> Iterator[None]:
    """`install`, for Ctrl-C alone, while this lasts; for a program that goes on after an interruption. Nothing in
    threads other than the main one, where Python takes no signals.
    """
    global _requested
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = signal.signal(signal.SIGINT, _request)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)
        if earlier is not _request:
            _requested = False


def leave_at_once(code: int) -> None:
    """From now on SIGINT and SIGTERM end this process, which has nothing to do, without a word."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(code))


def only_noted() -> None:
    """From now on SIGINT and SIGTERM are requests that this process looks for itself (`requested`): one of several that
    wait for each other must not leave alone.
    """
    for number in SIGNALS:
        signal.signal(number, _note)


def requested() -> bool:
    """Whether the user, or a scheduler, asked this process to stop."""
    return _requested


def check() -> None:
    """Raise `KeyboardInterrupt` if an earlier one was dropped, or was deferred. Called wherever work comes in steps."""
    if _requested:
        raise KeyboardInterrupt


@contextmanager
def deferred(tell: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let SIGINT and SIGTERM wait for the next `check`, so that a step is done or not begun; ``tell`` is called at
    once. A second one does not wait. Without `install`, what was requested is forgotten at the end, after a
    `KeyboardInterrupt`.
    """
    global _requested

    def defer(number: int, frame: FrameType | None) -> None:
        _request_deferred(number, frame)
        tell()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, defer)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if _requested and before[signal.SIGINT] is not _request:
            _requested = False
            raise KeyboardInterrupt


@contextmanager
def held_back() -> Iterator[None]:
    """Keep Ctrl-C from a process that is started meanwhile and from those that it starts, for as long as they live,
    where the system can; this one takes it at the end.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # a fork server would start it, and that lets signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _unraisable(dropped: "sys.UnraisableHookArgs") -> None:
    if not (_requested and isinstance(dropped.exc_value, KeyboardInterrupt)):
        sys.__unraisablehook__(dropped)


def _request(number: int, frame: FrameType | None) -> None:
    global _requested
    _requested = True
    raise KeyboardInterrupt


def _note(number: int, frame: FrameType | None) -> None:
    global _requested
    _requested = True


def _request_deferred(number: int, frame: FrameType | None) -> None:
    global _requested
    if _requested:
        raise KeyboardInterrupt
    _requested = True
