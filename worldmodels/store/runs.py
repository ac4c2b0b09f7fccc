"""A run's folder: ``results.json`` and the way from it to the artifacts it used."""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf.errors import OmegaConfBaseException

from worldmodels.config import Config, config_from_json
from worldmodels.envs import vizdoom_settings
from worldmodels.migrations import migrated_figures
from worldmodels.store.artifacts import Artifact, load_artifact, verified
from worldmodels.store.heldout import PATHS, heldout_figures
from worldmodels.utils.checks import require
from worldmodels.utils.composing import in_our_words
from worldmodels.utils.errors import ConfigError, DamagedFile, first_line
from worldmodels.utils.overrides import part_keys
from worldmodels.utils.parts import OURS

CHANGES_RESULTS = False

RESULTS = "results.json"


class FinishedRun:
    """A run as its folder tells it. Raises `ConfigError` where the folder is no run or lacks a stage.

    ``allow``: modules outside the package whose classes the run's config may name, since what it names is imported
    and called.
    """

    def __init__(self, folder: Path, allow: Collection[str] = ()) -> None:
        self.folder, self.allow = folder, tuple(allow)
        try:
            self.results: dict[str, Any] = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(
                f"{folder} is no run: it has no {RESULTS}; expected the folder that a training run printed at its end"
            ) from None
        except OSError as error:
            raise ConfigError(
                f"{folder / RESULTS} cannot be read ({error.strerror}): expected the file that a training run wrote"
            ) from error
        except (ValueError, RecursionError) as error:
            raise ConfigError(
                f"{folder / RESULTS} is no JSON ({error}): expected the folder of a training run"
            ) from error
        if isinstance(self.results, dict) and isinstance(measures := self.results.get("measures"), dict):
            self.results["measures"] = measures = migrated_figures(measures)
            for part in PATHS.keys() & measures.keys() & self.results.keys():  # of an earlier version
                self.results[part] = {**heldout_figures(part, measures[part]), **self.results[part]}

    def artifact(self, stage: str) -> Artifact:
        """The artifact of a stage. Raises `DamagedFile` where its files are not what they were."""
        path = self._path(stage)
        try:
            return self._verified(path)
        except FileNotFoundError:
            raise self._missing(stage, path) from None

    def manifest(self, stage: str) -> dict[str, Any]:
        """The manifest of a stage's artifact, without a look at its files."""
        path = self._path(stage)
        try:
            return load_artifact(path).manifest
        except FileNotFoundError:
            raise self._missing(stage, path) from None

    def _path(self, stage: str) -> Path:
        """The folder of a stage's artifact. Raises `ConfigError` where the stage was not run."""
        try:
            return self.folder / self.results["artifacts"] / stage / _plain(self.results["stages"][stage]["artifact"])
        except (KeyError, TypeError):
            raise ConfigError(
                f"{self.folder} has no finished {stage} stage: expected a run that went as far as stage={stage}"
            ) from None

    def heldout_folder(self, name: str) -> Path | None:
        """The folder of one of the run's artifacts of held-out rollouts, or None where it is not there. Raises
        `DamagedFile` where its files are not what they were.
        """
        artifact = self.results.get("heldout", {}).get(name)
        path = self.folder / self.results["artifacts"] / name / _plain(artifact or "")
        return self._verified(path).path if artifact and path.is_dir() else None

    def parent(self, artifact: Artifact, role: str) -> Artifact:
        """What an artifact of the run was made from. Raises `DamagedFile` where its files are not what they were."""
        path = artifact.parent_path(role)
        try:
            return self._verified(path)
        except FileNotFoundError:
            raise DamagedFile(f"{path} is missing: {self._fix}") from None

    def _missing(self, stage: str, path: Path) -> ConfigError | DamagedFile:
        """Of a stage that was run and whose artifact is not there."""
        if self.exported:
            return ConfigError(
                f"{self.folder} holds an exported agent, without the {stage} stage: expected the run that it comes from"
            )
        return DamagedFile(f"{path} is missing: {self._fix}")

    def _verified(self, path: Path) -> Artifact:
        return verified(path, self._fix)

    @property
    def exported(self) -> dict[str, Any] | None:
        """What became of a run that was exported: see `worldmodels.pipeline.export`."""
        return self.results.get("exported") if isinstance(self.results, dict) else None

    @property
    def _fix(self) -> str:
        return "restore the exported folder" if self.exported else "run the training command again, and it is made anew"

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
        """The resolved config the run was started with. Raises `ConfigError` where it is none, and where it names code
        that is not allowed.
        """
        path = self.folder / RESULTS
        config = self.results.get("config") if isinstance(self.results, dict) else None
        require(isinstance(config, dict), f"{path} is of no run: expected one that a training run wrote")
        assert config is not None
        require_allowed(config, self.allow, self.folder)
        try:
            return config_from_json(json.dumps(config))
        except ConfigError as error:
            raise ConfigError(f"{path} has a config of no run: {error}") from error
        except (OmegaConfBaseException, AttributeError, KeyError, TypeError, ValueError) as error:
            line = in_our_words(error) or first_line(error)
            raise ConfigError(f"{path} has a config of no run: {line}; expected what a training run wrote") from error


def require_allowed(config: Mapping[str, Any], allow: Collection[str], folder: Path) -> None:
    """Raise `ConfigError` where a run's ``config`` names code outside of the package and of the modules ``allow``."""
    names = foreign_code(config)
    refused = [name for name in names if not any(f"{name}.".startswith(f"{module}.") for module in allow)]
    require(
        not refused,
        f"{folder} names {' and '.join(refused)}, whose code would run: expected classes of worldmodels; if you trust "
        f"this code, add allow=[{','.join(dict.fromkeys([*allow, *packages_of(refused)]))}]",
    )


def packages_of(paths: Iterable[str]) -> list[str]:
    """The outermost packages of dotted paths, each once: what ``allow`` takes."""
    return list(dict.fromkeys(path.partition(".")[0] for path in paths))


def foreign_code(config: Mapping[str, Any]) -> list[str]:
    """Dotted paths outside of the package that a plain config names: ``_target_`` anywhere, the short form of a part
    (``vae.loss: mypackage.Huber``), and the module of a Gymnasium id (``mypackage:Mine-v0``); of ViZDoom all but Take
    Cover with harmless settings.
    """
    short = (_value(config, key) for key in part_keys(Config))
    used = {name: node for name, node in config.items() if name not in ("logger", "callbacks")}  # by training alone
    paths = [*_targets(used), *(path for path in short if isinstance(path, str) and "." in path)]
    foreign = [path for path in dict.fromkeys(paths) if "." in path and not path.startswith(OURS)]
    name = str(_value(config, "env.id"))
    module, colon, _ = name.partition(":")
    if colon and not f"{module}.".startswith(OURS) and module != vizdoom_settings.WRAPPER:
        foreign.append(module)
    if vizdoom_settings.foreign(name, _value(config, "env.kwargs") or {}):
        foreign.append(vizdoom_settings.WRAPPER)
    return foreign


def _plain(name: str) -> str:
    """The name of an artifact, unless it leads elsewhere."""
    if Path(name).name != name or name == "..":
        raise ConfigError(f"the artifact {name!r:.80} leads out of its folder: expected a plain name")
    return name


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "_target_":
                yield str(value)
            else:
                yield from _targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(value)


def _value(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = config.get(name) if isinstance(config, Mapping) else None
    return config


def path_from(folder: Path, target: Path) -> str:
    """``target`` as seen from ``folder``, so that a tree of outputs can be moved as a whole."""
    return os.path.relpath(target.resolve(), folder.resolve())
