"""Which of a search's means is its agent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldmodels.controller.config import PhaseConfig


@dataclass
class Incumbent:
    """The search's mean with the best validation score so far, by one ``measure``: scores of another are not
    comparable, and begin anew.
    """

    parameters: np.ndarray
    score: float | None = None
    measure: str = "reality"

    def consider(self, parameters: np.ndarray, score: float | None, measure: str) -> None:
        best = self.of(measure)
        if score is not None and (best is None or score > best):
            self.parameters, self.score, self.measure = parameters, score, measure

    def of(self, measure: str) -> float | None:
        """The score, where it is one of this measure."""
        return self.score if measure == self.measure else None


def measure_of(phase: PhaseConfig) -> str:
    """What scores of a phase are of."""
    return "reality" if phase.where == "reality" else f"dreams at τ = {phase.temperature:g}"


def score_of(row: Mapping[str, Any]) -> float | None:
    """What chooses the agent: where the search is in dreams, the task is not asked."""
    return row.get("dream", row.get("validation"))
