"""Fixtures: composing configs, and running the commands."""

import copy
import functools
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
import schedule
import torch
from helpers import Commands, Finished
from hydra.core.global_hydra import GlobalHydra
from warm import Warm

from worldmodels.config import Config, conf_dir, register_schema, to_config

torch.set_num_threads(1)
gc.freeze()  # collecting garbage among the libraries' million objects takes a quarter of Hydra's time


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, so that no core waits for it in the end."""
    items.sort(key=lambda item: schedule.place(item.nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> schedule.Schedule:
    config.option.loadscopereorder = False
    return schedule.Schedule(config, log)


@pytest.fixture(scope="session")
def compose() -> Callable[..., Config]:
    """``compose("env=lunar_lander", …)``: what ``python -m worldmodels.train`` would run."""

    @functools.cache  # Hydra takes a fifth of a second
    def composed(*overrides: str) -> Config:
        register_schema()
        GlobalHydra.instance().clear()
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return to_config(hydra.compose("config", list(overrides)))

    return lambda *overrides: copy.deepcopy(composed(*overrides))


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """A process that has the libraries and forks the commands."""
    process = Warm()
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
