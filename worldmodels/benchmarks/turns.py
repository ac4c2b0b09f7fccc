"""Two ways, measured alternately."""

import statistics
from collections.abc import Callable, Mapping

ROUNDS = 3


def alternately(ways: Mapping[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median rate of each way over ``rounds``, in which all have their turn; a first, uncounted turn warms up."""
    for measure in ways.values():
        measure()
    rates = {name: [] for name in ways}
    for _ in range(rounds):
        for name, measure in ways.items():
            rates[name].append(measure())
    return {name: statistics.median(values) for name, values in rates.items()}
