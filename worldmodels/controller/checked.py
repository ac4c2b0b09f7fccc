"""A search as somebody wrote it: what it gives is checked before it is played, told or stored."""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from worldmodels.utils.checks import require

CHANGES_RESULTS = False  # what is refused has none
NEEDED = ("ask", "tell", "mean", "best")


class CheckedSearch:
    """A search whose generation and mean are finite numbers, as many as were asked for. What else it has, such as
    `deviations` or a covariance, is its own. ``named``: the setting and the class, for messages. Raises `ConfigError`.
    """

    def __init__(self, search: Any, named: str, size: int, population: int) -> None:
        missing = [
            name
            for name in NEEDED
            if inspect.getattr_static(search, name, None) is None and not hasattr(search, name)  # a property may wait
        ]
        require(
            not missing,
            f"{named} has no {', '.join(missing)}: expected all that worldmodels/controller/search.py names",
        )
        self._search, self._named, self._size, self._population = search, named, size, population
        self.description = getattr(search, "description", type(search).__name__)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._search, name)

    @property
    def mean(self) -> np.ndarray:
        return self._numbers("its mean", self._search.mean, (self._size,))

    @property
    def best(self) -> np.ndarray:
        return self._search.best

    def ask(self) -> np.ndarray:
        return self._numbers("ask()", self._search.ask(), (self._population, self._size))

    def tell(self, returns: Sequence[float]) -> None:
        self._search.tell(returns)

    def _numbers(self, what: str, given: Any, shape: tuple[int, ...]) -> np.ndarray:
        """What was given as an array of this shape."""
        try:
            numbers = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError):
            numbers = np.empty(0)
        got = type(given).__name__ if numbers.ndim == 0 or not numbers.size else f"of shape {numbers.shape}"
        broken = numbers.size - np.count_nonzero(np.isfinite(numbers))
        if numbers.shape == shape and broken:
            got = f"not finite in {broken} of {numbers.size} numbers"
        *rows, size = shape
        individuals = f"{rows[0]} individuals of " if rows else ""
        require(
            numbers.shape == shape and not broken,
            f"{self._named}: {what} is {got}: expected {individuals}{size} finite numbers, {shape}, C's parameters",
        )
        return numbers
