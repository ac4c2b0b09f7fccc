"""Runs work in worker processes on this machine."""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import connection, forkserver, util
from types import ModuleType
from typing import Annotated, Any

from worldmodels.rollouts.dispatch import Dispatcher, Worker
from worldmodels.rollouts.workers import serve
from worldmodels.utils import interrupts
from worldmodels.utils.settings import Setting

CHANGES_RESULTS = False  # a result depends on its item alone, wherever it is made
LONGEST_FOLDER = 60  # characters; a socket's path has room for 104, and multiprocessing adds 32 to the folder
PATIENCE = Setting("A worker without a sign of life for so long is replaced.", unit="s", above=0, counts="never")
RENEWAL = Setting("Episodes after which a worker is replaced: physics engines leak.", at_least=1, counts="never")


class ProcessExecutor(Dispatcher):
    """``workers`` processes with one torch and one OpenCV thread each."""

    def __init__(
        self,
        workers: int,
        patience_seconds: Annotated[float, PATIENCE] = 300.0,
        renew_after: Annotated[int, RENEWAL] = 5000,
    ) -> None:
        super().__init__(patience_seconds, renew_after)
        self._count = workers

    @property
    def workers(self) -> int:
        return self._count

    def _wait(self, pipes: Sequence[Any], seconds: float) -> Sequence[Any]:
        return connection.wait(pipes, seconds)

    def _start(self) -> Worker:
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
        return Worker(process, ours)


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
