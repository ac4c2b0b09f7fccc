"""Actions as vectors: what policies choose, rollouts keep, M reads and C decides, and what the task is given."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

from worldmodels.envs.config import EnvConfig
from worldmodels.utils.checks import require, require_one_of
from worldmodels.utils.errors import ConfigError

SQUASH: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "tanh01": lambda x: (np.tanh(x) + 1) / 2,
    "relu_tanh": lambda x: np.maximum(np.tanh(x), 0),
    "clip": lambda x: np.clip(x, -1, 1),
}


class ActionCodec(ABC):
    """A task's actions as vectors of A float32 within ``low`` and ``high``, (A,) each.

    A continuous action is its own vector, flattened; a choice among n is a one-hot vector of n, several choices are
    several such vectors end to end, and n switches are n zeros and ones. C decides with ``outputs`` unbounded numbers.
    """

    low: np.ndarray
    high: np.ndarray
    outputs: int

    @property
    def size(self) -> int:
        """A."""
        return len(self.low)

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """A uniformly random action: (A,) float32."""

    @abstractmethod
    def nearest(self, vectors: np.ndarray) -> np.ndarray:
        """The action that each vector comes nearest to: (..., A) -> (..., A) of the same type."""

    @abstractmethod
    def decide(self, outputs: np.ndarray) -> np.ndarray:
        """What C's outputs mean: (..., outputs) -> (..., A) float32."""

    @abstractmethod
    def encode(self, action: Any) -> np.ndarray:
        """The vector of one of the task's own actions: (A,) float32. Raises `ValueError` where it is none."""

    @abstractmethod
    def decode(self, vector: np.ndarray) -> Any:
        """The task's own action for a vector (A,) float32."""


class BoxCodec(ActionCodec):
    """Continuous actions. C's outputs are squashed as ``env.squash`` says, by default by tanh onto the bounds;
    CarRacing may add the source study's hand-made heuristic.

    Ha & Schmidhuber 2018 squash by tanh, and for CarRacing map gas to (tanh + 1) / 2 and clip the brake at 0.
    """

    def __init__(self, space: Box, config: EnvConfig) -> None:
        self.low, self.high = (bound.astype(np.float32).ravel() for bound in (space.low, space.high))
        with np.errstate(over="ignore", invalid="ignore"):
            bounded = bool(np.isfinite(self.high - self.low).all())
        require(
            bounded,
            f"env.id={config.id} has actions without bounds ({space}): expected finite ones, which random policies "
            "draw from; give its Box low and high, or wrap it in gymnasium.wrappers.RescaleAction",
        )
        self.outputs = self.size
        require(
            not config.squash or len(config.squash) == self.size,
            f"env.squash={list(config.squash)} has {len(config.squash)} entries: expected {self.size}, "
            f"one for each action of {config.name}, or none",
        )
        for name in config.squash:
            require_one_of("env.squash", name, SQUASH)
        self._squash = [SQUASH[name] for name in config.squash]
        self._config, self._shape, self._type = config, space.shape, np.dtype(space.dtype)  # type: ignore[arg-type]
        self._is_integer = self._type.kind in "iu"  # numbers
        self._is_vector = self._type == np.float32 and len(space.shape) == 1

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        if self._is_integer:
            return rng.integers(self.low.astype(np.int64), self.high.astype(np.int64), endpoint=True).astype(np.float32)
        return rng.uniform(self.low, self.high).astype(np.float32)

    def nearest(self, vectors: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(vectors) if self._is_integer else vectors, self.low, self.high)

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        if not self._squash:
            actions = (self.high + self.low) / 2 + (self.high - self.low) / 2 * np.tanh(outputs)
            return self.nearest(actions).astype(np.float32)
        actions = np.stack([squash(outputs[..., i]) for i, squash in enumerate(self._squash)], axis=-1)
        if self._config.heuristic:
            actions = self._car_racing_heuristic(actions)
        return self.nearest(actions).astype(np.float32)

    def encode(self, action: Any) -> np.ndarray:
        return np.asarray(action, dtype=np.float32).ravel()

    def decode(self, vector: np.ndarray) -> Any:
        if self._is_vector:
            return vector
        return self.nearest(vector).reshape(self._shape).astype(self._type)

    def _car_racing_heuristic(self, actions: np.ndarray) -> np.ndarray:
        """The study's two rules, which it gives in words only, made exact: a predicted full stop (brake at or above
        ``heuristic_full_stop``) becomes slowing down (brake = ``heuristic_slow_down``), and of gas and brake only what
        exceeds ``heuristic_threshold`` is used. Steering is left alone."""
        config = self._config
        steer, gas, brake = actions[..., 0], actions[..., 1], actions[..., 2]
        brake = np.where(brake >= config.heuristic_full_stop, config.heuristic_slow_down, brake)
        pedals = [np.where(pedal > config.heuristic_threshold, pedal, 0) for pedal in (gas, brake)]
        return np.stack([steer, *pedals], axis=-1)


class ChoiceCodec(ActionCodec):
    """One choice among n, or several of them, each as a one-hot vector.

    C takes the arg max of an output for each option; with ``threshold`` it has one output a choice, whose tanh lies in
    one of n equal intervals of [-1, 1], as that of Ha & Schmidhuber's (2018) agent in VizDoom.
    """

    def __init__(self, options: Sequence[int], threshold: bool) -> None:
        self._options = np.array(options)
        self._ends = np.cumsum(self._options)
        self._starts = self._ends - self._options
        self.low, self.high = np.zeros(self._ends[-1], np.float32), np.ones(self._ends[-1], np.float32)
        self._threshold = threshold
        self.outputs = len(self._options) if threshold else self.size

    def one_hot(self, chosen: np.ndarray) -> np.ndarray:
        """Options (..., G) of the G choices, each counted from 0 -> (..., A) float32."""
        vectors = np.zeros((*chosen.shape[:-1], self.size), np.float32)
        np.put_along_axis(vectors, chosen + self._starts, 1.0, axis=-1)
        return vectors

    def chosen(self, vectors: np.ndarray) -> np.ndarray:
        """The largest of each choice's values, the first of equal ones: (..., A) -> (..., G), counted from 0."""
        parts = np.split(vectors, self._ends[:-1], axis=-1)
        return np.stack([part.argmax(axis=-1) for part in parts], axis=-1)

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        return self.one_hot(rng.integers(self._options))

    def nearest(self, vectors: np.ndarray) -> np.ndarray:
        return self.one_hot(self.chosen(vectors)).astype(vectors.dtype)

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        if not self._threshold:
            return self.one_hot(self.chosen(outputs))
        interval = np.floor((np.tanh(outputs) + 1) / 2 * self._options).astype(int)
        return self.one_hot(np.clip(interval, 0, self._options - 1))

    def encode(self, action: Any) -> np.ndarray:
        chosen = np.asarray(action).reshape(-1)
        if chosen.shape != self._options.shape or not ((chosen >= 0) & (chosen < self._options)).all():
            raise ValueError(f"{chosen.tolist()} are no options of {self._options.tolist()}, counted from 0")
        return self.one_hot(chosen)

    def decode(self, vector: np.ndarray) -> Any:
        return self.chosen(vector)


class DiscreteCodec(ChoiceCodec):
    """One choice, whose number the task counts from ``start``."""

    def __init__(self, space: Discrete, threshold: bool) -> None:
        super().__init__([int(space.n)], threshold)
        self._start = int(space.start)

    def encode(self, action: Any) -> np.ndarray:
        return super().encode(action - self._start)

    def decode(self, vector: np.ndarray) -> int:
        return int(vector.argmax()) + self._start


class MultiDiscreteCodec(ChoiceCodec):
    """Several choices."""

    def __init__(self, space: MultiDiscrete, threshold: bool) -> None:
        super().__init__([int(options) for options in space.nvec.ravel()], threshold)
        self._start, self._type = space.start, space.dtype

    def encode(self, action: Any) -> np.ndarray:
        return super().encode(np.asarray(action) - self._start)

    def decode(self, vector: np.ndarray) -> np.ndarray:
        return (self.chosen(vector).reshape(self._start.shape) + self._start).astype(self._type)


class SwitchCodec(ActionCodec):
    """Switches. C turns on those whose output is above 0."""

    def __init__(self, space: MultiBinary) -> None:
        self._shape, self._type = space.shape, space.dtype
        self.outputs = int(np.prod(space.shape))
        self.low, self.high = np.zeros(self.outputs, np.float32), np.ones(self.outputs, np.float32)

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        return rng.integers(2, size=self.size).astype(np.float32)

    def nearest(self, vectors: np.ndarray) -> np.ndarray:
        return (vectors > 0.5).astype(vectors.dtype)

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        return (outputs > 0).astype(np.float32)

    def encode(self, action: Any) -> np.ndarray:
        return np.asarray(action, np.float32).ravel()

    def decode(self, vector: np.ndarray) -> np.ndarray:
        return (vector > 0.5).reshape(self._shape).astype(self._type)


def action_codec(space: Space[Any], config: EnvConfig) -> ActionCodec:
    """The codec of a task's action space. Raises `ConfigError` where there is none for it."""
    require(
        isinstance(space, Box) or not config.heuristic,
        f"env.heuristic=true is about continuous pedals, and env.kwargs={dict(config.kwargs)} has actions {space}: "
        "expected continuous ones; set env.heuristic=false",
    )
    threshold = config.discrete == "threshold"
    if isinstance(space, Box):
        return BoxCodec(space, config)
    if isinstance(space, Discrete):
        return DiscreteCodec(space, threshold)
    if isinstance(space, MultiDiscrete):
        return MultiDiscreteCodec(space, threshold)
    if isinstance(space, MultiBinary):
        return SwitchCodec(space)
    raise ConfigError(
        f"env.id={config.id} has actions {space}: expected Box, Discrete, MultiDiscrete or MultiBinary; wrap the task "
        "so that its actions are one of these (gymnasium.wrappers.TransformAction)"
    )
