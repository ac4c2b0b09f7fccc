"""A run's folder: ``results.json`` and the way from it to the artifacts it used."""

import json
import os
from pathlib import Path
from typing import Any

from worldmodels.config import Config, config_from_json
from worldmodels.migrations import migrated_figures
from worldmodels.store.artifacts import Artifact, verified
from worldmodels.utils.errors import ConfigError

CHANGES_RESULTS = False

RESULTS = "results.json"


class FinishedRun:
    """A run as its folder tells it. Raises `ConfigError` where the folder is no run or lacks a stage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.results: dict[str, Any] = json.loads((folder / RESULTS).read_text())
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(
                f"{folder} is no run: it has no {RESULTS}; expected the folder that a training run printed at its end"
            ) from None
        except json.JSONDecodeError as error:
            raise ConfigError(
                f"{folder / RESULTS} is no JSON ({error}): expected the folder of a training run"
            ) from error
        if isinstance(self.results, dict) and "measures" in self.results:
            self.results["measures"] = migrated_figures(self.results["measures"])

    def artifact(self, stage: str) -> Artifact:
        """The artifact of a stage. Raises `DamagedFile` where its files are not what they were."""
        try:
            path = self.folder / self.results["artifacts"] / stage / self.results["stages"][stage]["artifact"]
            return verified(path)
        except (KeyError, TypeError, FileNotFoundError):
            raise ConfigError(
                f"{self.folder} has no finished {stage} stage: expected a run that went as far as stage={stage}"
            ) from None

    def judged(self, name: str) -> Path | None:
        """The folder of one of the run's artifacts of held-out rollouts, or None where it is not there. Raises
        `DamagedFile` where its files are not what they were.
        """
        artifact = self.results.get("heldout", {}).get(name)
        path = self.folder / self.results["artifacts"] / name / (artifact or "")
        return verified(path).path if artifact and path.is_dir() else None

    @property
    def vision(self) -> Artifact:
        return self.artifact("vision")

    @property
    def memory(self) -> Artifact:
        return self.artifact("memory")

    @property
    def controller(self) -> Artifact:
        return self.artifact("controller")

    @property
    def config(self) -> Config:
        """The resolved config the run was started with."""
        return config_from_json(json.dumps(self.results["config"]))


def path_from(folder: Path, target: Path) -> str:
    """``target`` as seen from ``folder``, so that a tree of outputs can be moved as a whole."""
    return os.path.relpath(target.resolve(), folder.resolve())
