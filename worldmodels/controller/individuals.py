"""What searches share: the first step size, the generation last asked for, and the best individual so far."""

import math
from collections.abc import Sequence

import numpy as np


def first_step(size: int) -> float:
    """A first step size for so many parameters: with it, inputs of deviation 1 move the outputs by about 1."""
    return 1.5 / math.sqrt(size)


class Individuals:
    """``best`` is the individual with the highest return ever told, ``start`` before any."""

    def __init__(self, start: np.ndarray) -> None:
        self.best = start.copy()
        self.best_return = -np.inf
        self._asked: np.ndarray | None = None

    def asked(self, generation: np.ndarray) -> np.ndarray:
        """Note a generation, (population, size), and return it for the caller to keep."""
        self._asked = generation
        return generation.copy()

    def told(self, returns: Sequence[float]) -> np.ndarray:
        """The generation that these returns belong to. Raises `ValueError` where they are not finite."""
        assert self._asked is not None, "ask for a generation before telling its returns"
        if not np.isfinite(returns).all():
            raise ValueError(f"returns are {list(returns)}: expected finite numbers")
        generation, self._asked = self._asked, None
        winner = int(np.argmax(returns))
        if returns[winner] > self.best_return:
            self.best, self.best_return = generation[winner].copy(), returns[winner]
        return generation
