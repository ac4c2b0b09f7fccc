"""Locks on a folder that several machines may share: files with an owner and a lease, which need nothing of the file
system but that a link is made once (no flock, which network file systems have or have not).

The owner renews its lease as long as it lives. A lock is taken over from an owner that is gone: one of this machine at
once, one of another, of another container or of an earlier boot when it has not renewed for `LEASE_SECONDS`, by the
clock of the one that waits.
"""

import json
import logging
import os
import socket
import threading
import time
import uuid
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from worldmodels.utils.orphans import alive

CHANGES_RESULTS = False
log = logging.getLogger(__name__)
LEASE_SECONDS = 180.0  # more than network file systems keep what they know of a file, a minute
RENEW_SECONDS = 20.0
LOOK_SECONDS = 0.05  # between two looks at a lock, at first …
LONGEST_LOOK = 1.0  # … and at most


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Hold the lock ``path``, and wait for it; ``what`` is being made, for people. Raises `OSError` where the folder
    cannot be written to.
    """
    token = uuid.uuid4().hex
    _take(path, token, what)
    released = threading.Event()
    renewing = threading.Thread(target=_renew, args=(path, token, what, released), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        released.set()
        renewing.join()
        if _owner(path)[0].get("token") == token:
            path.unlink(missing_ok=True)


def _take(path: Path, token: str, what: str) -> None:
    seen: tuple[Any, float] | None = None  # what the lock was when it last changed, and when this was seen
    told, pause = False, LOOK_SECONDS
    while not _made(path, token):
        owner, renewed = _owner(path)
        if renewed is None:  # released meanwhile
            continue
        if seen is None or seen[0] != (owner, renewed):
            seen = ((owner, renewed), time.monotonic())
        if _gone(owner, time.monotonic() - seen[1]):
            _remove(path, owner)
            log.warning("%s: took over the lock of %s, which is gone", what, _named(owner))
            continue
        if not told:
            log.info("waiting for another run that builds %s: %s", what, _named(owner))
            told = True
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_LOOK)


def _made(path: Path, token: str) -> bool:
    """Whether the lock could be made: whole, or not at all."""
    process = os.getpid()
    owner = {"host": socket.gethostname(), "processes": _processes(), "process": process, "began": _began(process)}
    owner |= {"token": token, "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    draft = path.with_name(f"{path.name}.{token}")
    try:
        draft.write_text(json.dumps(owner), encoding="utf-8")
    except OSError:  # the disk is full
        draft.unlink(missing_ok=True)
        raise
    try:
        os.link(draft, path)
        return True
    except FileExistsError:
        return False
    except OSError:  # no links here
        return _made_without_links(path, draft.read_bytes())
    finally:
        draft.unlink(missing_ok=True)


def _made_without_links(path: Path, text: bytes) -> bool:
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(text)
    except OSError:  # the disk is full: nobody would know whose lock it is
        path.unlink(missing_ok=True)
        raise
    return True


def _owner(path: Path) -> tuple[dict[str, Any], int | None]:
    """The owner, and when it last renewed its lease; None where there is no lock."""
    try:
        with path.open(encoding="utf-8") as file:  # opened anew, so that a network file system looks
            renewed = os.fstat(file.fileno()).st_mtime_ns
            return json.loads(file.read()), renewed
    except (FileNotFoundError, NotADirectoryError):
        return {}, None
    except ValueError:  # being written
        return {}, 0


def _gone(owner: dict[str, Any], silent: float) -> bool:
    if (owner.get("host"), owner.get("processes")) == (socket.gethostname(), _processes()):
        process = owner["process"]
        return not alive(process) or _began(process) != owner["began"]
    return silent >= LEASE_SECONDS


def _processes() -> str | None:
    """Within what the numbers of processes have a meaning: machines and containers may have one name, and those of
    one machine do not see each other's processes. None where the system does not tell.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot}-{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None


def _began(process: int) -> str | None:
    """When a process of this machine began, so that another one of its number is told from it; None where the system
    does not tell.
    """
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    state, *rest = text.rpartition(")")[2].split()
    return None if state == "Z" else rest[18]


def _remove(path: Path, owner: dict[str, Any]) -> None:
    """Take away the lock of an owner that is gone; one that somebody else has made meanwhile is put back."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    with suppress(FileNotFoundError):
        path.rename(aside)
        if _owner(aside)[0] != owner:
            with suppress(OSError):
                os.link(aside, path)
        aside.unlink(missing_ok=True)


def _renew(path: Path, token: str, what: str, released: threading.Event) -> None:
    while not released.wait(RENEW_SECONDS):
        with suppress(OSError):
            owner, renewed = _owner(path)
            if renewed is not None and owner.get("token") == token:
                os.utime(path)
            elif not released.is_set():
                log.error("%s: the lock was lost to %s, after this machine stood still", what, _named(owner))
                interrupt_main()
                return


def _named(owner: dict[str, Any]) -> str:
    if not owner:
        return "another process"
    return f"process {owner['process']} on {owner['host']}, since {owner['since']}"
