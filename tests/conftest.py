"""Fixtures: composing configs, and running the commands."""

from collections.abc import Callable
from pathlib import Path

import hydra
import pytest
import torch
from helpers import Commands
from hydra.core.global_hydra import GlobalHydra

from worldmodels.config import Config, conf_dir, register_schema, to_config

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def compose() -> Callable[..., Config]:
    """``compose("env=lunar_lander", …)``: what ``python -m worldmodels.train`` would run."""

    def composed(*overrides: str) -> Config:
        register_schema()
        GlobalHydra.instance().clear()
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return to_config(hydra.compose("config", list(overrides)))

    return composed


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path / "outputs")
