"""The jobs of a sweep are checked before the first of them starts, and a sweep that is refused leaves nothing."""

import pickle
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.plugins.sweeper import Sweeper
from omegaconf import DictConfig, OmegaConf, open_dict

from worldmodels.utils.disk import remove_empty_folders
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.launchers import Watched

CHANGES_RESULTS = False
CHOICES = ("transfer", "env", "vae", "memory", "controller", "scale", "rung", "experiment")  # groups
NOTE = "multirun.yaml"  # what Hydra writes into a sweep's folder before its first job

_folders: list[Path] = []
_hydras_check = Sweeper.validate_batch_is_legal


class SweepRefused(ConfigError):
    """Jobs of a sweep make no sense. ``lines``: one for each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def check_jobs_first(check: Callable[[DictConfig], Any], explain: Callable[[Exception], str]) -> None:
    """Have Hydra's own sweeper ``check`` the config of every job before the first one starts, where it composes them
    anyway. It raises `SweepRefused` with the line that ``explain`` gives for each job that fails. Jobs that run one
    after another in this process then start from what was checked, whatever becomes of the files meanwhile.
    """

    def checked(sweeper: Any, jobs: Sequence[Sequence[str]]) -> None:
        _folders.append(Path(sweeper.config.hydra.sweep.dir).absolute())
        if type(sweeper).__name__ != "BasicSweeper":  # others choose the jobs of a batch by the results of earlier ones
            _hydras_check(sweeper, jobs)
            return
        if not jobs:
            swept = " ".join(sweeper.config.hydra.overrides.task)
            raise SweepRefused([f"{swept} is a sweep of no jobs: expected one value at least of every setting"])
        loader, composed_jobs, lines = sweeper.hydra_context.config_loader, {}, []
        load = type(loader).load_sweep_config.__get__(loader)
        for number, overrides in enumerate(jobs, start=sum(map(len, sweeper.overrides[: sweeper.batch_index - 1]))):
            try:
                composed = load(sweeper.config, list(overrides))
                composed_jobs[tuple(overrides)] = pickle.dumps(composed)  # a fortieth of the memory
                with open_dict(composed):
                    del composed["hydra"]
                check(composed)
            except Exception as error:  # whatever its type, it is the request's fault
                lines.append(f"job {number} of the sweep: {explain(error)}")
        if lines:
            raise SweepRefused(lines)
        if isinstance(sweeper.launcher, BasicLauncher):  # others hand the loader to processes that compose themselves
            loader.load_sweep_config = _loading(load, composed_jobs)
        else:
            sweeper.launcher = Watched(sweeper.launcher, _folders[-1])

    Sweeper.validate_batch_is_legal = checked  # type: ignore[method-assign]


def _loading(load: Callable[..., DictConfig], composed: Mapping[tuple[str, ...], bytes]) -> Callable[..., DictConfig]:
    """Hydra's loader of a job's config, which composes only what has not been ``composed``."""

    def loaded(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
        known = composed.get(tuple(overrides))
        return load(config, list(overrides)) if known is None else pickle.loads(known)

    return loaded


def begun(folder: Path) -> None:
    """A job of the sweep in ``folder`` begins; not every sweeper has its jobs checked first."""
    _folders.append(folder.absolute())


def folders() -> list[Path]:
    """The folders of the sweeps of this command."""
    return list(dict.fromkeys(_folders))


def job_name(overrides: Sequence[str], sweep: Path) -> str:
    """What sets a job of a ``sweep`` apart from its others, in short: ``freeze2 seed=1``. Of a choice of a file the
    option says it all.
    """
    return " ".join(
        value if key.lstrip("+") in CHOICES else override
        for override in differing(overrides, sweep)
        for key, _, value in [override.partition("=")]
    )


def differing(overrides: Sequence[str], sweep: Path) -> list[str]:
    """The overrides of a job that not every job of its ``sweep`` has."""
    note = sweep / NOTE  # Optuna's sweeper writes none, and quotes what was typed
    given = OmegaConf.select(OmegaConf.load(note), "hydra.overrides.task") if note.is_file() else sys.argv[1:]
    common = {_bare(word) for word in given or []}
    return [override for override in overrides if _bare(override) not in common]


def _bare(override: str) -> str:
    """As it is typed and as Hydra writes it again: without quotes and spaces."""
    return re.sub(r"['\"\s]", "", override)


def remove_refused() -> None:
    """Remove the folders of sweeps in which no job has left anything."""
    for folder in _folders:
        if folder.is_dir() and all(path.name == NOTE for path in folder.rglob("*") if not path.is_dir()):
            shutil.rmtree(folder, ignore_errors=True)
            remove_empty_folders(folder)
