"""The controller: linear (Ha & Schmidhuber 2018, eq. 1), or with a hidden layer, as one of z in their table 1."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Layer = tuple[np.ndarray, np.ndarray]  # W (…, R, C) and b (…, R)


@dataclass(frozen=True)
class Shape:
    """The sizes of a controller: o = W x + b, or with ``hidden`` units o = W₂ tanh(W₁ x + b₁) + b₂. Its parameters lie
    layer by layer, from the inputs on: W row by row, then b.
    """

    inputs: int
    outputs: int
    hidden: int | None = None

    @property
    def layers(self) -> list[tuple[int, int]]:
        """Rows and columns of each layer's W: a row for each of its numbers, a column for each that it reads."""
        sizes = [self.inputs, self.outputs] if self.hidden is None else [self.inputs, self.hidden, self.outputs]
        return [(rows, columns) for columns, rows in itertools.pairwise(sizes)]

    @property
    def size(self) -> int:
        """Parameters in all."""
        return sum(rows * (columns + 1) for rows, columns in self.layers)

    def split(self, parameters: np.ndarray) -> list[Layer]:
        """(…, size) -> W and b of each layer, views. Raises `ValueError` where there are more or fewer."""
        if parameters.shape[-1] != self.size:
            raise ValueError(f"{parameters.shape[-1]} parameters: expected {self.size}, of {self}")
        layers, at = [], 0
        for rows, columns in self.layers:
            weights = parameters[..., at : at + rows * columns]
            at += rows * (columns + 1)
            layers.append((weights.reshape(*weights.shape[:-1], rows, columns), parameters[..., at - rows : at]))
        return layers


def joined(layers: Sequence[Layer]) -> np.ndarray:
    """The inverse of `Shape.split`."""
    flat = [part for weights, bias in layers for part in (weights.reshape(*bias.shape[:-1], -1), bias)]
    return np.concatenate(flat, axis=-1)


def outputs_of(layers: Sequence[Layer], x: np.ndarray) -> np.ndarray:
    """What controllers put out, which `ActionCodec.decide` turns into actions: x (…, D) -> (…, O). Each row is a
    product of its own, whoever is beside it.
    """
    for number, (weights, bias) in enumerate(layers):
        x = np.tanh(x) if number else x
        x = (weights @ x[..., None])[..., 0] + bias
    return x


def agent_parameters(weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """C's parameters in the agent that is scored: the mean that validated best, or the last one. Earlier artifacts have
    only the last one.
    """
    return weights.get("agent", weights["mean"])


class Controllers:
    """Controllers of one shape, one for each slot."""

    def __init__(self, slots: int, shape: Shape) -> None:
        self._shape = shape
        self._layers = [(np.zeros((slots, rows, columns)), np.zeros((slots, rows))) for rows, columns in shape.layers]

    def set(self, slot: int, parameters: np.ndarray) -> None:
        """parameters: (size,)"""
        for (weights, bias), (new_weights, new_bias) in zip(self._layers, self._shape.split(parameters), strict=True):
            weights[slot], bias[slot] = new_weights, new_bias

    def __call__(self, slots: Sequence[int], x: np.ndarray) -> np.ndarray:
        """x: (n, D), a row for each slot -> (n, O), as `outputs_of`."""
        rows = list(slots)
        return outputs_of([(weights[rows], bias[rows]) for weights, bias in self._layers], x)
