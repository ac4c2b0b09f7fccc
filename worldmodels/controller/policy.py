"""The linear controller (Ha & Schmidhuber 2018, eq. 1)."""

from collections.abc import Mapping, Sequence

import numpy as np


def parameter_count(input_size: int, outputs: int) -> int:
    """Of W and b."""
    return outputs * (input_size + 1)


def agent_parameters(weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """C's parameters in the agent that is scored: the mean that validated best, or the last one. Earlier artifacts have
    only the last one.
    """
    return weights.get("agent", weights["mean"])


class LinearControllers:
    """o = W x + b, which `ActionCodec.decide` turns into actions, with a W and b for each slot. Parameters are W
    (O, D), row by row, then b (O).
    """

    def __init__(self, slots: int, input_size: int, outputs: int) -> None:
        self._weights = np.zeros((slots, outputs, input_size))
        self._biases = np.zeros((slots, outputs))

    def set(self, slot: int, parameters: np.ndarray) -> None:
        """parameters: (O (D + 1),)"""
        _, outputs, input_size = self._weights.shape
        self._weights[slot] = parameters[:-outputs].reshape(outputs, input_size)
        self._biases[slot] = parameters[-outputs:]

    def __call__(self, slots: Sequence[int], x: np.ndarray) -> np.ndarray:
        """x: (n, D), a row for each slot -> (n, O). Each row is a product of its own, whoever is beside it."""
        rows = list(slots)
        return (self._weights[rows] @ x[..., None])[..., 0] + self._biases[rows]
