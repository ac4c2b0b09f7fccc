"""The linear controller (Ha & Schmidhuber 2018, eq. 1)."""

import numpy as np


class LinearController:
    """a = W x + b, before squashing. ``parameters`` are W (A, D), row by row, and then b (A)."""

    def __init__(self, input_size: int, action_size: int) -> None:
        self.shape = (action_size, input_size)
        self.size = action_size * (input_size + 1)
        self.parameters = np.zeros(self.size)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """x: (D,) -> (A,)"""
        weights = self.parameters[: -self.shape[0]].reshape(self.shape)
        return weights @ x + self.parameters[-self.shape[0] :]
