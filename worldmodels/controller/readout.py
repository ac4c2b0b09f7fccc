"""A linear read-out from what C reads: of the true state, for how much of a controller that knows it is left, or of
what the pictures show.

With a read-out y = A x + a and weights V and bias d of a controller that acts on y (of its first layer, where it has a
hidden one), the one that reads x has W = V A and b = V a + d: a C like any other, of which the search goes through
those alone that act on what is read out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from worldmodels.controller.policy import Shape, joined
from worldmodels.utils.files import replacing

RIDGE = 1e-3  # of inputs that have variance 1


@dataclass(frozen=True)
class ReadOut:
    """y = A x + a: weights (K, D), bias (K,)."""

    weights: np.ndarray
    bias: np.ndarray

    def to_controller(self, parameters: np.ndarray, shape: Shape) -> np.ndarray:
        """Parameters of controllers on y, which are of this shape, (…, size), as those of controllers on x, whose first
        layer reads D numbers instead of K.
        """
        (weights, bias), *rest = shape.split(parameters)
        return joined([(weights @ self.weights, bias + weights @ self.bias), *rest])

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """inputs: (..., D) -> what is read out, (..., K)."""
        return inputs @ self.weights.T + self.bias

    def save(self, path: Path) -> None:
        with replacing(path) as partial:
            save_file({name: np.ascontiguousarray(values) for name, values in vars(self).items()}, partial)

    @classmethod
    def load(cls, path: Path) -> "ReadOut":
        return cls(**load_file(path))


def fit(rollouts: Iterable[tuple[np.ndarray, np.ndarray]]) -> ReadOut:
    """Least squares with a ridge of `RIDGE` on standardised inputs, over all frames of the rollouts: inputs (T, D) and
    what is to be read out (T, K) of each. Rollouts are read one at a time. Sums are of differences from the first
    one's mean, as those of large numbers tell little of how these vary.
    """
    count, sums, near = 0, [np.zeros(())] * 4, None
    for inputs, states in rollouts:
        x, y = inputs.astype(np.float64), states.astype(np.float64)
        near = near or (x.mean(0), y.mean(0))
        x, y = x - near[0], y - near[1]
        count += len(x)
        sums = [total + part for total, part in zip(sums, (x.sum(0), y.sum(0), x.T @ x, x.T @ y), strict=True)]
    mean, target = sums[0] / count, sums[1] / count
    covariance = sums[2] / count - np.outer(mean, mean)
    std = np.sqrt(np.maximum(np.diag(covariance), 1e-12))
    correlation = covariance / np.outer(std, std) + RIDGE * np.eye(len(std))
    shared = (sums[3] / count - np.outer(mean, target)) / std[:, None]
    weights = np.linalg.solve(correlation, shared).T / std
    assert near is not None
    return ReadOut(weights, target + near[1] - weights @ (mean + near[0]))
