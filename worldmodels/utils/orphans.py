"""Worker processes that end when their parent does, however that ended."""

import functools
import multiprocessing
import os
import threading
import time

CHANGES_RESULTS = False
SWEEP = "WORLDMODELS_SWEEP"  # environment variable: the process that jobs on this machine end with
SECONDS = 1.0  # between two looks


def leave_with_parent() -> None:
    """In a worker of somebody else's pool, such as a job of the joblib launcher, or in a job that submitit runs on this
    machine: end this process soon after its parent, or its sweep, is gone, even by ``kill -9``. Elsewhere nothing.
    """
    _watch_parent(os.getpid())


@functools.cache  # a forked process has the memory of its parent, and none of its threads
def _watch_parent(_: int) -> None:
    if multiprocessing.parent_process() is not None and hasattr(os, "getppid"):
        parent = os.getppid()

        def left() -> bool:
            return os.getppid() != parent

    elif (sweep := os.environ.get(SWEEP)) and os.environ.get("SUBMITIT_EXECUTOR") == "local":

        def left() -> bool:
            return not alive(int(sweep))

    else:
        return

    def watch() -> None:
        while not left():
            time.sleep(SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def alive(process: int) -> bool:
    """Whether there is such a process on this machine, a zombie included."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
