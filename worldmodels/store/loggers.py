"""Loggers of Lightning's, chosen in the config, which show a run's rows and pictures.

The record of an artifact is what is kept; loggers are written from it, so that a run that resumes or reuses an artifact
shows its whole history in each of them.
"""

import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
from lightning.pytorch.loggers import Logger, TensorBoardLogger

from worldmodels.store.board import Board
from worldmodels.training.config import LOGGER
from worldmodels.utils import parts
from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.settings import Part

CHANGES_RESULTS = False
EXTRAS = {"wandb": "wandb", "mlflow": "mlflow"}  # modules, and the extras of this package that install them
TENSORBOARD = {"_target_": "lightning.pytorch.loggers.TensorBoardLogger", "name": "", "version": ""}


def instantiate(part: Part, value: Mapping[str, Any], key: str, **facts: Any) -> Any:
    """The object that ``_target_`` of ``value`` names, with its settings and those of the ``facts`` that its
    constructor takes. Raises `ConfigError` where it cannot be made.
    """
    parameters = inspect.signature(parts.find(part, value, key)).parameters
    passed_facts = {name: fact for name, fact in facts.items() if name in parameters and name not in value}
    try:
        return hydra.utils.instantiate(dict(value), **passed_facts)
    except Exception as error:  # anything that a foreign constructor raises
        cause = error.__cause__ or error
        extra = next((extra for module, extra in EXTRAS.items() if module in str(cause)), None)
        if isinstance(cause, ImportError) and extra:
            problem = f"needs {extra}, which is not installed: pip install 'worldmodels[{extra}]'"
        else:
            problem = f"cannot be made ({' '.join(str(cause).split())}): expected settings that it takes"
        raise ConfigError(f"{key}={value[parts.TARGET]} {problem}; --help tells more") from error


class Loggers:
    """The loggers of a run. ``folder``: where Lightning writes the files of a run. What TensorBoard shows is arranged
    for it: `worldmodels.store.board`.
    """

    def __init__(self, loggers: Sequence[Logger], folder: Path) -> None:
        self.boards = [Board(logger) for logger in loggers if isinstance(logger, TensorBoardLogger)]
        self.others = [logger for logger in loggers if not isinstance(logger, TensorBoardLogger)]
        self.folder = folder

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        for board in self.boards:
            board.metrics(values, step)
        for logger in self.others:
            logger.log_metrics(dict(values), step)

    def hyperparameters(self, values: Mapping[str, Any]) -> None:
        """A run's config, for the loggers that take it as it is; TensorBoard's is that of `finish`."""
        for logger in self.others:
            logger.log_hyperparams(dict(values))

    def finish(self, results: Mapping[str, Any]) -> None:
        """Show the final score, and what was chosen beside it."""
        for board in self.boards:
            board.finish(results)

    def picture(self, tag: str, step: int, path: Path) -> None:
        """Show a PNG or GIF in the loggers that show pictures."""
        for board in self.boards:
            board.picture(tag, step, path)
        for logger in self.others:
            if hasattr(logger, "log_image"):  # Weights & Biases
                logger.log_image(tag, [str(path)], step)  # type: ignore[attr-defined]
            elif hasattr(getattr(logger, "experiment", None), "log_artifact"):  # MLflow
                logger.experiment.log_artifact(logger.run_id, str(path), tag)  # type: ignore[attr-defined]

    def flush(self) -> None:
        for board in self.boards:
            board.flush()
        for logger in self.others:
            logger.save()

    def close(self) -> None:
        for board in self.boards:
            board.close()
        for logger in self.others:
            logger.finalize("success")


def make_loggers(chosen: Mapping[str, Any], folder: Path) -> Loggers:
    """The loggers that ``chosen`` names, each a mapping of ``_target_`` and settings; files go to ``folder``, and a run
    is named after it. Raises `ConfigError` for one that cannot be made, or cannot write there.
    """
    for name, value in chosen.items():
        logger_class = parts.find(LOGGER, value, f"logger.{name}")
        if isinstance(logger_class, type) and issubclass(logger_class, TensorBoardLogger):
            _require_utf8(folder)
    label = f"{folder.parent.name}/{folder.name}"
    facts = {"save_dir": str(folder), "name": label, "run_name": label}
    loggers = [instantiate(LOGGER, value, f"logger.{name}", **facts) for name, value in chosen.items()]
    return Loggers(loggers, folder)


def _require_utf8(folder: Path) -> None:
    """Raise `ConfigError` where TensorBoard, which takes no other names, could write nothing."""
    name = os.fsencode(folder.absolute()).decode("utf-8", "replace")
    require(
        os.fsencode(folder.absolute()) == name.encode(),
        f"the folder {name} has a name that is not UTF-8, and TensorBoard cannot write there: expected UTF-8; rename "
        "the folder, set paths.outputs to another, or use logger=none",
    )


def tensorboard(folder: Path) -> Loggers:
    """TensorBoard's events in ``folder``."""
    return make_loggers({"tensorboard": TENSORBOARD}, folder)


class StageLogger(Logger):
    """The logger of a Lightning trainer: it passes on what callbacks and modules log, under the stage's name. Rows of
    the training itself come from the record.
    """

    def __init__(self, loggers: Loggers, stage: str) -> None:
        super().__init__()
        self._loggers, self._stage = loggers, stage

    @property
    def name(self) -> str:
        return self._stage

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self._loggers.folder)

    @property
    def log_dir(self) -> str:
        return str(self._loggers.folder)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        values = {f"{self._stage}/{name}": value for name, value in metrics.items() if name != "epoch"}
        if values:
            self._loggers.metrics(values, step or 0)

    def log_hyperparams(self, *arguments: Any, **settings: Any) -> None: ...
