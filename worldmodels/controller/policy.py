"""The linear controller (Ha & Schmidhuber 2018, eq. 1)."""

from collections.abc import Sequence

import numpy as np


def parameter_count(input_size: int, action_size: int) -> int:
    """Of W and b."""
    return action_size * (input_size + 1)


class LinearControllers:
    """a = W x + b, before squashing, with a W and b for each slot. Parameters are W (A, D), row by row, then b (A)."""

    def __init__(self, slots: int, input_size: int, action_size: int) -> None:
        self._weights = np.zeros((slots, action_size, input_size))
        self._biases = np.zeros((slots, action_size))

    def set(self, slot: int, parameters: np.ndarray) -> None:
        """parameters: (A (D + 1),)"""
        _, action_size, input_size = self._weights.shape
        self._weights[slot] = parameters[:-action_size].reshape(action_size, input_size)
        self._biases[slot] = parameters[-action_size:]

    def __call__(self, slots: Sequence[int], x: np.ndarray) -> np.ndarray:
        """x: (n, D), a row for each slot -> (n, A). Each row is a product of its own, whoever is beside it."""
        places = list(slots)
        return (self._weights[places] @ x[..., None])[..., 0] + self._biases[places]
