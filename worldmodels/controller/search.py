"""What a search for C's parameters is."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from worldmodels.controller.config import SEARCH, ControllerConfig
from worldmodels.utils import parts


class Search(Protocol):
    """Maximises returns, a generation at a time. Its constructor is given ``size``, ``population``, ``seed`` and
    ``start`` (the first mean, or None), and its own settings.

    A search has to follow from these and from the returns it is told alone: an interrupted one is restored by telling a
    new one the same returns.
    """

    @property
    def mean(self) -> np.ndarray:
        """The search's estimate of the best parameters, (size,): the agent that is scored."""
        ...

    @property
    def best(self) -> np.ndarray:
        """The individual with the highest return ever told, (size,)."""
        ...

    def ask(self) -> np.ndarray:
        """The next generation: (population, size)."""
        ...

    def tell(self, returns: Sequence[float]) -> None:
        """Returns of the generation last asked for, in its order."""
        ...


def make_search(config: ControllerConfig, size: int, seed: int, start: np.ndarray | None = None) -> Search:
    """The search that ``controller.search`` names."""
    facts = {"size": size, "population": config.population, "seed": seed, "start": start}
    return parts.make(SEARCH, config.search, "controller.search", **facts)
