"""``python -m worldmodels.train``: collect → vision → encode → memory → controller → evaluate, reusing what is
finished.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import DictConfig, OmegaConf

from worldmodels.cli import command
from worldmodels.config import Config, check_parts, job_config
from worldmodels.objective import direction_of
from worldmodels.pipeline.source import check_source


def train(composed: DictConfig) -> float | None:
    """One job. Returns its objective, for a sweeper (`worldmodels.objective`). What takes long to import waits until
    the request has been checked.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    config = job_config(composed, HydraConfig.get())
    direction = OmegaConf.select(HydraConfig.get().sweeper, "direction")
    if HydraConfig.get().mode == RunMode.MULTIRUN and direction is not None:  # a file may have chosen the sweeper
        direction_of(config.objective, getattr(direction, "name", direction))
    source = check_source(config)
    check_parts(config)

    from worldmodels.pipeline.iterations import run_rounds

    return run_rounds(config, source, Path(HydraConfig.get().runtime.output_dir))


class _Command(ModuleType):
    """This module, which `worldmodels.train` is once somebody has imported it: then it is called as the function."""

    def __call__(self, *overrides: str, **options: Any) -> Any:
        from worldmodels import api

        return api.train(*overrides, **options)


if __name__ == "__main__":
    command("config", train, "schema", Config)
else:
    sys.modules[__name__].__class__ = _Command
