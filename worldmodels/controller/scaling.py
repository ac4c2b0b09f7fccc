"""C's parameters on one scale: the search's coordinates, not another set of controllers.

With mean m and deviation s of each input over rollouts, a controller that reads (x - m) / s with weights V
and bias d is the one that reads x with W = V / s and b = d - W m. It is so in the first layer; what a hidden layer
puts out is between -1 and 1 anyway. `layer_steps` brings the layers to one scale.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from worldmodels.controller.policy import Shape, joined

ROLLOUTS = 64  # at most, evenly spaced


@dataclass(frozen=True)
class Scaling:
    """Means and deviations of C's inputs, (D,) each, the sizes of C, and how many of its inputs are open (all, where
    None).
    """

    mean: np.ndarray
    std: np.ndarray
    shape: Shape
    opened: int | None = None

    @classmethod
    def none(cls, shape: Shape) -> "Scaling":
        """C's inputs are searched as they come."""
        return cls(np.zeros(shape.inputs), np.ones(shape.inputs), shape)

    def to_controller(self, searched: np.ndarray) -> np.ndarray:
        """C's parameters from those that the search sees: (size,) -> the same."""
        (weights, bias), *rest = self.shape.split(searched * self.steps)
        weights = weights / self.std
        return joined([(weights, bias - weights @ self.mean), *rest])

    def to_search(self, controller: np.ndarray) -> np.ndarray:
        """The inverse of `to_controller`."""
        (weights, bias), *rest = self.shape.split(controller)
        return joined([(weights * self.std, bias + weights @ self.mean), *rest]) / self.steps

    @property
    def steps(self) -> np.ndarray:
        """`layer_steps`, (size,)."""
        return layer_steps(self.shape, self.opened)


def layer_steps(shape: Shape, opened: int | None = None) -> np.ndarray:
    """What a step of the search along each parameter is in C: (size,). 1 for a linear C. With a hidden layer a step of
    the whole search moves the sums of each layer as much as it moves those of a linear C: searches take a first step of
    1.5 / √(number of parameters), of which a layer that reads many numbers needs less and one that reads few more.
    ``opened``: how many inputs the search goes through, where not all.
    """
    searched = shape if opened is None else replace(shape, inputs=opened)
    steps = [np.sqrt(searched.size / (searched.outputs * (columns + 1))) for _, columns in searched.layers]
    return np.repeat(steps, [rows * (columns + 1) for rows, columns in shape.layers])


def changed(covariance: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The covariance of parameters after a linear ``change`` of them, (N,) -> (N,): (N, N) -> (N, N)."""
    return np.apply_along_axis(change, 0, np.apply_along_axis(change, 1, covariance))


def moments(values: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of an input's numbers, (N, D) -> (D,) twice. A deviation is at least ``least`` of the largest:
    what hardly moves is not blown up.
    """
    std = values.std(axis=0, dtype=np.float64)
    return values.mean(axis=0, dtype=np.float64), np.maximum(std, max(least * std.max(), 1e-6))


def state_moments(states: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of a true state over rollouts, (T, K) of each -> (K,) twice. Its numbers have units of their
    own, so that none has a least deviation; that of a constant is 1.
    """
    values = np.concatenate(states).astype(np.float64)
    std = values.std(axis=0)
    return values.mean(axis=0), np.where(std > 1e-6, std, 1)


def spread(count: int, most: int) -> list[int]:
    """So many of ``count`` numbers at most, evenly spaced."""
    return np.linspace(0, count - 1, min(most, count)).astype(int).tolist()


@torch.inference_mode()
def seen(inputs: Sequence[str], memory: nn.Module | None, mu: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """What C reads in an encoded rollout, side by side: μ (T, Z) and actions (T, A) -> (T, D)."""
    by_name = {"z": mu}
    if memory is not None:
        by_name |= _states(memory, torch.from_numpy(mu), torch.from_numpy(actions))
    return np.concatenate([by_name[name] for name in inputs], axis=1)


@torch.inference_mode()
def input_moments(
    inputs: Sequence[str],
    memory: nn.Module | None,
    mu: Sequence[np.ndarray],
    actions: Sequence[np.ndarray],
    least: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of what C reads on encoded rollouts: μ (T, Z) and actions (T, A) of each -> (D,) twice.
    ``least`` as of `moments`.
    """
    inputs_by_name: dict[str, list[np.ndarray]] = {name: [] for name in inputs}
    for z, rollout_actions in zip(mu, actions, strict=True):
        inputs_by_name["z"].append(z)
        if memory is not None:
            for name, values in _states(memory, torch.from_numpy(z), torch.from_numpy(rollout_actions)).items():
                if name in inputs_by_name:
                    inputs_by_name[name].append(values)
    by_input = [moments(np.concatenate(inputs_by_name[name]), least) for name in inputs]
    mean, std = (np.concatenate(column) for column in zip(*by_input, strict=True))
    return mean, std


def _states(memory: nn.Module, z: Tensor, actions: Tensor) -> dict[str, np.ndarray]:
    """h and c before each frame, as an agent has them: z (T, Z) -> (T, H) each."""
    state = memory.initial_state(1)  # type: ignore[operator]
    rows: dict[str, list[Tensor]] = {"h": [], "c": []}
    for t in range(len(z)):
        for name, values in rows.items():
            if hasattr(state, name):
                values.append(getattr(state, name)[0])
        state = memory.step(z[t : t + 1], actions[t : t + 1], state)  # type: ignore[operator]
    return {name: torch.stack(values).numpy() for name, values in rows.items() if values}
