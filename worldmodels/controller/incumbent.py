"""Which of a search's means is its agent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from worldmodels.controller.config import PhaseConfig

T = TypeVar("T")


@dataclass
class Incumbent(Generic[T]):
    """What has the best validation score so far, the first of equals: the search's mean, or the row that tells of it.
    Scores are by one ``measure``: those of another are not comparable, and begin anew.
    """

    chosen: T
    score: float | None = None
    measure: str = "reality"

    def consider(self, candidate: T, score: float | None, measure: str) -> None:
        best = self.of(measure)
        if score is not None and (best is None or score > best):
            self.chosen, self.score, self.measure = candidate, score, measure

    def of(self, measure: str) -> float | None:
        """The score, where it is one of this measure."""
        return self.score if measure == self.measure else None


def measure_of(phase: PhaseConfig) -> str:
    """What scores of a phase are of."""
    return "reality" if phase.where == "reality" else f"dreams at τ = {phase.temperature:g}"


def score_of(row: Mapping[str, Any]) -> float | None:
    """What chooses the agent: where the search is in dreams, the task is not asked."""
    return row.get("dream", row.get("validation"))
