"""The Python API: compose, train, load, and tasks. What a loaded run gives is in `worldmodels.trained`, and what is
public in ``worldmodels.__all__``.

Wherever the request makes no sense, or something was not run, a `ConfigError` says so in one line.
"""

import contextlib
import logging
import sys
from collections.abc import Collection, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from worldmodels.cli import one_line, remove_empty_run
from worldmodels.config import Config, check_parts, conf_dir, job_config, plain, register_schema
from worldmodels.envs.config import EnvConfig
from worldmodels.pipeline.source import check_source
from worldmodels.store.runs import FinishedRun, foreign_code
from worldmodels.trained import Run
from worldmodels.utils import interrupts
from worldmodels.utils.checks import require
from worldmodels.utils.disk import no_folder, trouble
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.overrides import require_options, spelled_out

if TYPE_CHECKING:
    from worldmodels.envs import PixelEnv

CHANGES_RESULTS = False


def compose(*overrides: str, config_dir: str | Path | None = None) -> Config:
    """The config that ``python -m worldmodels.train`` has with these overrides, checked: ``compose("env=lunar_lander",
    "vae.epochs=3")``. ``config_dir``: a folder of your own config files, as ``--config-dir``.
    """
    return _checked(_composed(list(overrides), config_dir))


def train(*overrides: str, config_dir: str | Path | None = None) -> Run:
    """What ``python -m worldmodels.train`` does with these overrides, in this process: the same folders, the same
    reuse, the same log on the console. Started again after an interruption, it goes on.

    Worker processes do not run your script again: no ``if __name__ == "__main__"`` is needed, and classes that
    ``_target_`` names have to lie in a module, not in the script. A module that was edited after it was imported is
    used as it was imported; restart Python to use the new one.
    """
    composed = _composed(list(overrides), config_dir)
    hydra_config = composed.hydra

    paths = [override for override in overrides if override.startswith("hydra.searchpath=")]
    config = _checked(composed)
    source = check_source(config, lambda others: _composed([*others, *paths], config_dir))
    check_parts(config)

    from worldmodels.pipeline.iterations import run_rounds  # only now, as it takes long to import

    folder = Path(hydra_config.run.dir).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if trouble(error):
            raise
        raise ConfigError(no_folder(f"paths.outputs={config.paths.outputs}", error)) from error
    try:
        with _logged(folder / f"{hydra_config.job.name}.log"), interrupts.caught(), _restored_threads():
            for name, part in (("config", _without_hydra(composed)), ("hydra", hydra_config)):
                _write(folder / ".hydra" / f"{name}.yaml", OmegaConf.to_yaml(part))
            _write(folder / ".hydra" / "overrides.yaml", OmegaConf.to_yaml(list(overrides)))
            run_rounds(config, source, folder)
    except ConfigError:
        remove_empty_run(folder)
        raise
    return Run(FinishedRun(folder, foreign_code(plain(config))))


def load(folder: str | Path, allow: Collection[str] = ()) -> Run:
    """A finished run, from the folder that holds its ``results.json``. ``allow``: modules outside of the package whose
    classes the run may name, such as ``["mypackage"]``: their code runs when the run is used.
    """
    require(
        isinstance(folder, str | PathLike),
        f"load got {folder!r:.60}: expected the folder of a run, for example load('outputs/runs/…/…')",
    )
    require(
        not isinstance(allow, str) and isinstance(allow, Collection) and all(isinstance(name, str) for name in allow),
        f"load got allow={allow!r:.60}: expected a list of modules, for example allow=['mypackage']",
    )
    return Run(FinishedRun(Path(folder), allow))


def make_env(
    task: str | Config | EnvConfig, *overrides: str, max_steps: int | None = None, pictures: bool = False
) -> "PixelEnv":
    """A task as agents see it, a Gymnasium environment with frames (64, 64, 3) uint8 for observations.

    ``task``: an option of the group ``env``, with ``overrides`` such as ``"env.renderer=gymnasium"``, or a config.
    ``max_steps`` ends episodes sooner than the task does; ``pictures`` lets ``render`` show them as people see them.
    """
    if isinstance(task, str):
        config = compose(f"env={task}", *overrides).env
    else:
        require(
            isinstance(task, Config | EnvConfig),
            f"make_env got {task!r:.60}: expected the name of a task or a config, for example make_env('car_racing')",
        )
        require(not overrides, f"make_env got overrides {list(overrides)} beside a config: expected the name of a task")
        config = task.env if isinstance(task, Config) else task
    from worldmodels.envs import make_env

    return make_env(config, max_steps=max_steps, pictures=pictures)


def _composed(overrides: list[str], config_dir: str | Path | None = None) -> DictConfig:
    """The config with Hydra's own node, composed without a trace in Hydra's global state."""
    for override in overrides:
        require(
            isinstance(override, str) and not override.startswith("-"),
            f"got {override!r}: expected overrides such as 'env=lunar_lander'; for a sweep, call in a loop",
        )
    folder = [] if config_dir is None else [f"hydra.searchpath=['file://{Path(config_dir).resolve()}']"]
    require_options([*overrides, *folder], Config, conf_dir())
    register_schema()
    version, application = VersionBase.instance().getbase(), GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(conf_dir()), job_name="train", version_base="1.3"):
            return hydra.compose("config", [*spelled_out(overrides, Config), *folder], return_hydra_config=True)
    except Exception as error:  # whatever its type, it is the request's fault
        raise ConfigError(one_line(error)) from error
    finally:
        VersionBase.instance().version_base = version
        GlobalHydra.instance().hydra = application


def _without_hydra(composed: DictConfig) -> DictConfig:
    copied = composed.copy()
    with open_dict(copied):
        del copied["hydra"]
    return copied


def _checked(composed: DictConfig) -> Config:
    try:
        return job_config(_without_hydra(composed), composed.hydra)
    except OmegaConfBaseException as error:
        raise ConfigError(one_line(error)) from error


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Log a run to a file in its folder, and to standard output unless this program has configured logging itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger(__package__)
    handlers: list[logging.Handler] = [logging.FileHandler(path, encoding="utf-8")]
    if not logging.getLogger().handlers:
        handlers.append(logging.StreamHandler(sys.stdout))
    level = logger.level
    logger.setLevel(logging.INFO)
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(level)
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


@contextlib.contextmanager
def _restored_threads() -> Iterator[None]:
    """Give this program its own numbers of threads back afterwards."""
    import cv2
    import torch

    threads, drawing = torch.get_num_threads(), cv2.getNumThreads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(drawing)
