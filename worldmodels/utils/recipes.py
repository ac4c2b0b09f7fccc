"""Recipes: what a task needs at a scale, ``conf/recipe/TASK_SCALE.yaml``, which Hydra takes by the names of the two."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import yaml

from worldmodels.utils.checks import require

CHANGES_RESULTS = False
# Groups, and the node of the config that each of them fills.
GROUPS = {name: name for name in ("vae", "memory", "controller", "transfer")} | {"rung": "controller"}


def require_no_second_choice(overrides: Sequence[str], conf: Path) -> None:
    """Raise `ConfigError` where a group is chosen on the command line that a recipe chooses too: Hydra puts the recipe
    after the group, and would drop half of what was asked for. Single settings win over a recipe.
    """
    chosen = {group: values.split(",") for group, _, values in (each.partition("=") for each in overrides)}
    tasks, scales = _chosen("env", chosen, conf), _chosen("scale", chosen, conf)
    usual = [f"{task}_{scale}" for task, scale in itertools.product(tasks, scales)]
    for name in chosen.get("recipe", usual):
        path = conf / "recipe" / f"{name}.yaml"
        recipe = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
        for group, node in GROUPS.items():
            require(
                group not in chosen or node not in (recipe or {}),
                f"{group}={','.join(chosen.get(group, []))} chooses what the recipe {name} does too, which is taken "
                f"with env={name.rpartition('_')[0]} scale={name.rpartition('_')[2]}: expected recipe=none, for the "
                f"scale's settings alone; or no {group}, and single values of {node}",
            )


def _chosen(group: str, chosen: dict[str, list[str]], conf: Path) -> list[str]:
    """The options of a group: those that are given, or an experiment's, or the usual one."""
    if group in chosen:
        return chosen[group]
    files = [conf / "experiment" / f"{name}.yaml" for name in chosen.get("experiment", [])]
    found = [_default(group, path) for path in files if path.is_file()]
    usual = _default(group, conf / "config.yaml")
    return [option or usual or "" for option in found] or [usual or ""]


def _default(group: str, path: Path) -> str | None:
    """The option of a group in the defaults of a config file."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8")).get("defaults", [])
    chosen = {name: option for entry in entries if isinstance(entry, dict) for name, option in entry.items()}
    return chosen.get(group, chosen.get(f"override /{group}"))
