"""A task as its own YAML file ships it: what a score has to be of to be official."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf


def task_file(name: str, folders: Iterable[Path]) -> dict[str, Any]:
    """``id`` and ``kwargs`` in a task's own YAML file, in the first of the ``folders`` of config files that has it.
    Without one, no arguments of `gymnasium.make` are the task's own.
    """
    for folder in folders:
        if (path := folder / "env" / f"{name}.yaml").is_file():
            settings = OmegaConf.load(path)
            return {key: OmegaConf.to_container(settings)[key] for key in ("id", "kwargs") if key in settings}  # type: ignore[index,call-overload]
    return {}
