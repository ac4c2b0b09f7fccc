"""Worker processes that end when their parent does, however that ended."""

import functools
import multiprocessing
import os
import threading
import time

CHANGES_RESULTS = False
SECONDS = 1.0  # between two looks


def leave_with_parent() -> None:
    """In a worker of somebody else's pool, such as a job of the joblib launcher: end this process soon after its parent
    is gone, even by ``kill -9``. Elsewhere nothing.
    """
    _watch_parent(os.getpid())


@functools.cache  # a forked process has the memory of its parent, and none of its threads
def _watch_parent(_: int) -> None:
    if multiprocessing.parent_process() is None or not hasattr(os, "getppid"):
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
