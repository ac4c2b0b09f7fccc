"""The number that a job gives a sweeper: a key of its ``results.json``."""

import math
from collections.abc import Mapping
from typing import Any

from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError

CHANGES_RESULTS = False
DEFAULT = "evaluation.mean"
ORDER = ("collect", "vision", "encode", "memory", "controller", "evaluate")
STAGE = {
    "evaluation": "evaluate",
    "collect": "collect",
    "vision": "vision",
    "memory": "memory",
    "controller": "controller",
}
TABLES = {"vision": "epochs", "memory": "steps", "controller": "generations"}  # whose last row a short key means


def require_reached(key: str | None, last_stage: str, measured: bool) -> None:
    """Raise `ConfigError` where the run ends before the stage of ``key``, or where ``key`` is a held-out figure and
    nothing is ``measured`` on held-out rollouts.
    """
    require(
        measured or "heldout_" not in (key or ""),
        f"objective={key} is measured on held-out rollouts, and measure.enabled=false: expected measure.enabled=true, "
        "or another objective",
    )
    stage = STAGE.get((key or "").split(".")[0])
    require(
        stage is None or ORDER.index(stage) <= ORDER.index(last_stage),
        f"objective={key} is of the stage {stage}, and the run ends with stage={last_stage}: expected a figure that "
        f"the run reaches; set stage={stage}, or another objective",
    )


def value_of(results: Mapping[str, Any], key: str | None) -> float | None:
    """The number in ``results`` at a path such as ``evaluation.mean`` or ``vision.epochs.-1.val_kl``; without a key the
    mean of the evaluation, or None where there is none. ``vision.val_kl`` is that of the last epoch, and likewise of
    ``memory`` the last row of steps and of ``controller`` the last generation. Raises `ConfigError` where there is no
    number.
    """
    if key is None:
        return value_of(results, DEFAULT) if "evaluation" in results else None
    part, _, rest = key.partition(".")
    node: Any = results
    if part in TABLES and part in results and rest.split(".")[0] not in results[part]:
        rows = results[part].get(TABLES[part])
        node, path = (rows[-1] if rows else {}), rest.split(".")
    else:
        path = key.split(".")
    for depth, name in enumerate(path):
        try:
            node = node[int(name)] if isinstance(node, list) else node[name]
        except (KeyError, IndexError, ValueError, TypeError):
            choices = (
                ", ".join(map(str, node))
                if isinstance(node, Mapping)
                else f"{len(node)} rows"
                if isinstance(node, list)
                else "a value"
            )
            raise ConfigError(
                f"objective={key}: results.json has no {name} at {'.'.join(path[:depth]) or part}: "
                f"expected one of {choices}"
            ) from None
    if isinstance(node, bool) or not isinstance(node, int | float) or not math.isfinite(node):
        raise ConfigError(f"objective={key} is {str(node)[:60]}: expected the key of a number in results.json")
    return float(node)
