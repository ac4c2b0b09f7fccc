"""What searches share: the first step size, the generation that awaits its returns, and the best individual so far."""

import math
from collections.abc import Sequence

import numpy as np


def first_step(size: int) -> float:
    """A first step size for so many parameters: with it, inputs of deviation 1 move the outputs by about 1."""
    return 1.5 / math.sqrt(size)


class Individuals:
    """``best`` is the individual with the highest return so far; before any return, ``start``."""

    def __init__(self, start: np.ndarray) -> None:
        self.best = start.copy()
        self.best_return = -np.inf
        self._proposed: np.ndarray | None = None

    def proposed(self, generation: np.ndarray) -> np.ndarray:
        """Remember a generation, (population, size), that is to be evaluated. Returns a copy."""
        self._proposed = generation
        return generation.copy()

    def evaluated(self, returns: Sequence[float]) -> np.ndarray:
        """The proposed generation, now with these returns. Raises `ValueError` where they are not finite."""
        assert self._proposed is not None, "ask for a generation before telling its returns"
        if not np.isfinite(returns).all():
            raise ValueError(f"returns are {list(returns)}: expected finite numbers")
        generation, self._proposed = self._proposed, None
        winner = int(np.argmax(returns))
        if returns[winner] > self.best_return:
            self.best, self.best_return = generation[winner].copy(), returns[winner]
        return generation
