"""Fixtures: composing configs, and running the commands."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # beside other workers, its threads wait for each other and spin

import copy
import functools
import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reading
import schedule
from composing import composed
from helpers import Commands, Finished
from warm import Warm

from worldmodels.config import Config, to_config
from worldmodels.rollouts.storage import write_index, write_rollout

os.fsync = lambda _: None  # what is killed here needs no disk that outlives a power cut
reading.once()
gc.disable()  # until all is imported, of which nothing is garbage


def pytest_collection_finish() -> None:
    """In the processes that run tests: the one that hands them out need not load PyTorch."""
    import torch

    torch.set_num_threads(1)
    gc.freeze()  # collecting garbage among the libraries' million objects takes a quarter of Hydra's time
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, so that no core waits for it in the end."""
    items.sort(key=lambda item: schedule.place(item.nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> schedule.Schedule:
    config.option.loadscopereorder = False
    return schedule.Schedule(config, log)


@pytest.fixture(scope="session")
def compose() -> Callable[..., Config]:
    """``compose("env=lunar_lander", …)``: what ``python -m worldmodels.train`` would run."""
    once = functools.cache(lambda *overrides: to_config(composed(*overrides)))
    return lambda *overrides: copy.deepcopy(once(*overrides))


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """A process that has the libraries and forks the commands."""
    process = Warm(_of_all_workers(tmp_path_factory) / "warm")
    yield process
    process.close()


@pytest.fixture
def commands(tmp_path: Path, warm: Warm) -> Commands:
    return Commands(tmp_path / "outputs", warm)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Callable[..., Finished]:
    """``finished("car_racing")``: one of `helpers.RUNS`, made by the first test that asks, whichever worker runs it.

    It belongs to all tests: look at it, and change a copy (`Finished.copied`).
    """
    return lambda name: Finished.made(_of_all_workers(tmp_path_factory) / name, name, warm)


@pytest.fixture
def studies(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Commands:
    """Commands of studies that train the same models: what one has made the next finds."""
    return Commands(_of_all_workers(tmp_path_factory) / "studies", warm)


def _of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"


@pytest.fixture
def frames_dataset(tmp_path: Path) -> Callable[..., Path]:
    """``frames_dataset(length)``: a data set of four rollouts of random frames, so many each."""

    def write(length: int = 2) -> Path:
        folder, rng = tmp_path / "dataset", np.random.default_rng(0)
        folder.mkdir()
        entries = []
        for rollout in range(4):
            frames = rng.integers(0, 256, (length, 64, 64, 3), dtype=np.uint8)
            path = folder / f"{rollout:06d}.h5"
            entries.append(write_rollout(path, {"frames": frames}, seed=rollout, total_reward=0.0))
        write_index(folder, entries)
        return folder

    return write
