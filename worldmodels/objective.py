"""The number that a job gives a sweeper: a key of its ``results.json``."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError

CHANGES_RESULTS = False
DEFAULT = "evaluation.mean"
STAGE = {
    "evaluation": "evaluate",
    "collect": "collect",
    "vision": "vision",
    "memory": "memory",
    "controller": "controller",
}
WITHOUT_STAGE = ("probes", "measures", "parameters", "stages", "source_stages")
TABLES = {"vision": "epochs", "memory": "steps", "controller": "generations"}  # whose last row a short key means
GREATER = re.compile(
    r"(evaluation|evaluation\.best|controller(\.generations\.-?\d+)?)\.(mean|best|validation|dream)|.*\.(r2|recall)(\..+)?"
)
SMALLER = re.compile(r".*(loss|total|error|nll|kl|reconstruction)")
DIRECTIONS = ("minimize", "maximize")


def greater_is_better(key: str | None) -> bool | None:
    """Whether an objective is a score (True) or a loss or an error (False); None where that is not known."""
    key = key or DEFAULT
    return True if GREATER.fullmatch(key) else False if SMALLER.fullmatch(key) else None


def direction_of(key: str | None, requested: str | None = None) -> str:
    """The direction of a sweeper, that of the objective. Raises `ConfigError` where another one is ``requested``, or
    none is and the objective's is not known.
    """
    greater = greater_is_better(key)
    if greater is None:
        require(
            requested is not None,
            f"objective={key} may be better when greater or when smaller: expected "
            "hydra.sweeper.direction=maximize or hydra.sweeper.direction=minimize",
        )
        return str(requested)
    expected = DIRECTIONS[greater]
    require(
        requested in (None, expected),
        f"objective={key or DEFAULT} is better when {'greater' if greater else 'smaller'}: expected "
        f"hydra.sweeper.direction={expected}, got {requested}",
    )
    return expected


def require_reached(key: str | None, reached: Sequence[str], measured: bool) -> None:
    """Raise `ConfigError` where ``key`` can be no number of the results, where it is of none of the stages that are
    ``reached``, or where it is a held-out figure and nothing is ``measured`` on held-out rollouts.
    """
    part, dot, _ = (key or DEFAULT).partition(".")
    require(
        bool(dot) and part in (*STAGE, *WITHOUT_STAGE),
        f"objective={key} is no number of results.json: expected a key in {', '.join((*STAGE, *WITHOUT_STAGE))}, for "
        f"example {DEFAULT} or vision.val_reconstruction",
    )
    require(
        measured or "heldout_" not in (key or ""),
        f"objective={key} is measured on held-out rollouts, and measure.enabled=false: expected measure.enabled=true, "
        "or another objective",
    )
    stage = STAGE.get((key or "").split(".")[0])
    require(
        stage is None or stage in reached,
        f"objective={key} is of the stage {stage}, and the run ends with stage={reached[-1]}: expected a figure that "
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
            at = ".".join(path[:depth]) or (part if len(path) < len(key.split(".")) else "")
            raise ConfigError(
                f"objective={key}: results.json has no {name}{f' at {at}' if at else ''}: expected one of {choices}"
            ) from None
    if isinstance(node, bool) or not isinstance(node, int | float) or not math.isfinite(node):
        raise ConfigError(f"objective={key} is {str(node)[:60]}: expected the key of a number in results.json")
    return float(node)
