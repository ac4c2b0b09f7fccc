"""V's and M's figures of the held-out rollouts that all seeds share, under the names that ``results.json`` has."""

from collections.abc import Mapping
from typing import Any

CHANGES_RESULTS = False
PATHS = {  # of a part: the figure's name, and where it lies in the part's measures
    "vision": {"heldout_reconstruction": ("reconstruction",), "heldout_kl": ("kl",)},
    "memory": {"heldout_nll": ("nll", "memory")},
}
OF_VALIDATION = {  # the figure of validation that each is beside
    "heldout_reconstruction": "val_reconstruction",
    "heldout_kl": "val_kl",
    "heldout_nll": "val_nll",
}


def heldout_figures(part: str, measures: Mapping[str, Any]) -> dict[str, float | None]:
    """The figures of V or M, ``part``, from ``measures`` of it; None where these have it not. Units are those of
    validation.
    """
    figures = {}
    for name, path in PATHS[part].items():
        figure: Any = measures
        for key in (*path, "value"):
            figure = figure.get(key) if isinstance(figure, Mapping) else None
        figures[name] = figure
    return figures
