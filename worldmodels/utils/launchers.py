"""Launchers of parallel sweeps: how many jobs run at once, how many cores each has, and a line for each that dies."""

import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from worldmodels.utils.cores import usable_cores
from worldmodels.utils.errors import Failure, first_line
from worldmodels.utils.orphans import SWEEP

CHANGES_RESULTS = False
RUNNING = ".running"  # in a sweep's folder, a file for each job under way
LOCAL, SLURM = "LocalLauncher", "SlurmLauncher"  # submitit's


def _kind(launcher: Any) -> str:
    return str(OmegaConf.select(launcher, "_target_")).rpartition(".")[2]


def share_of_cores(launcher: Any) -> int:
    """Cores of one job; ``launcher``: Hydra's node of it."""
    cores = usable_cores()
    if _kind(launcher) == LOCAL:
        return min(cores, OmegaConf.select(launcher, "cpus_per_task") or 1)
    if _kind(launcher) == SLURM:
        return min(cores, int(os.environ.get("SLURM_CPUS_PER_TASK", cores)))
    if _kind(launcher) == "RayLauncher":
        return max(1, min(cores, int(OmegaConf.select(launcher, "ray.remote.num_cpus") or 1)))
    jobs = OmegaConf.select(launcher, "n_jobs")
    return 1 if jobs == -1 else max(1, cores // (jobs or 1))


@contextlib.contextmanager
def marked_running(folder: Path, number: int) -> Iterator[None]:
    """A job of the sweep in ``folder`` is under way; the mark outlives a job that is killed."""
    mark = folder / RUNNING / str(number)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            mark.parent.rmdir()


class Watched:
    """A launcher whose jobs that fail or die are named, whatever becomes of the others.

    submitit is given a job at a time: as many on this machine as it has cores for them, and of Slurm's as many as
    ``array_parallelism`` says. It would start them all at once here, and ask no more after the first that died.
    """

    def __init__(self, launcher: Any, sweep: Path) -> None:
        self._launcher, self._sweep = launcher, sweep

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        jobs = list(enumerate(job_overrides, start=initial_job_idx))
        kind = type(self._launcher).__name__
        if kind not in (LOCAL, SLURM):
            try:
                return self._launcher.launch(job_overrides, initial_job_idx)
            except Exception as error:
                for number, overrides in jobs:
                    if (self._sweep / RUNNING / str(number)).exists():
                        _tell(number, overrides, error)
                raise
        settings = self._launcher.params
        if kind == LOCAL:
            at_once = max(1, usable_cores() // (settings.get("cpus_per_task") or 1))
            os.environ[SWEEP] = str(os.getpid())
        else:
            at_once = settings.get("array_parallelism") or len(jobs)
        return self._launch_each(jobs, at_once)

    def _launch_each(self, jobs: Sequence[tuple[int, Sequence[str]]], at_once: int) -> list[JobReturn]:
        """By threads that nobody waits for at the end of the process: a Ctrl-C must not wait for jobs under way."""
        waiting, done = deque(jobs), dict[int, JobReturn]()

        def work() -> None:
            with contextlib.suppress(IndexError):
                while True:
                    number, overrides = waiting.popleft()
                    done[number] = self._launch(number, overrides)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(at_once, len(jobs)))]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(1)  # again and again: a signal that another thread was given does not end a wait
        finally:
            waiting.clear()
        return [done[number] for number, _ in jobs]

    def _launch(self, number: int, overrides: Sequence[str]) -> JobReturn:
        try:
            [done] = self._launcher.launch([overrides], number)
            if done.status == JobStatus.FAILED:  # its log is elsewhere
                _tell(number, overrides, done._return_value)
        except Exception as error:
            _tell(number, overrides, error)
            failure = Failure(f"job {number} left no results: {first_line(error)}")
            failure.__dict__["explained"] = True
            done = JobReturn(overrides=overrides, status=JobStatus.FAILED)
            done.return_value = failure
        return done


def _tell(number: int, overrides: Sequence[str], error: Any) -> None:
    what = "failed" if getattr(error, "explained", False) else "ended without results"
    print(f"error: job {number} of the sweep ({' '.join(overrides)}) {what}: {first_line(error)}", file=sys.stderr)
