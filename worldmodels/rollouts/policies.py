"""Random policies for collecting. A policy is called with a frame and returns an action."""

from typing import Protocol

import numpy as np

from worldmodels.config import CollectConfig
from worldmodels.envs import TaskSpec


class Policy(Protocol):
    """Chooses actions through one episode. ``begin`` starts a new one."""

    def begin(self) -> None: ...

    def act(self, frame: np.ndarray) -> np.ndarray:
        """frame: (64, 64, 3) uint8 -> action: (A,) float32."""
        ...


class Uniform:
    """Every action drawn anew, uniformly within the bounds: the source study's policy."""

    def __init__(self, spec: TaskSpec, rng: np.random.Generator) -> None:
        self.spec, self.rng = spec, rng

    def begin(self) -> None: ...

    def act(self, frame: np.ndarray) -> np.ndarray:
        return self.rng.uniform(self.spec.action_low, self.spec.action_high).astype(np.float32)


class Sticky(Uniform):
    """Keeps the last action with probability ``persistence``, else draws a new one."""

    def __init__(self, spec: TaskSpec, rng: np.random.Generator, persistence: float) -> None:
        super().__init__(spec, rng)
        self.persistence = persistence
        self.begin()

    def begin(self) -> None:
        self._action: np.ndarray | None = None

    def act(self, frame: np.ndarray) -> np.ndarray:
        if self._action is None or self.rng.random() >= self.persistence:
            self._action = super().act(frame)
        return self._action


class Brownian(Uniform):
    """A random walk of Gaussian steps, clipped at the bounds; ``std`` is a step's share of half the action range."""

    def __init__(self, spec: TaskSpec, rng: np.random.Generator, std: float) -> None:
        super().__init__(spec, rng)
        self._step = std * (spec.action_high - spec.action_low) / 2
        self.begin()

    def begin(self) -> None:
        self._action: np.ndarray | None = None

    def act(self, frame: np.ndarray) -> np.ndarray:
        if self._action is None:
            self._action = super().act(frame)
        else:
            walked = self._action + self.rng.normal(size=self.spec.action_size) * self._step
            self._action = np.clip(walked, self.spec.action_low, self.spec.action_high).astype(np.float32)
        return self._action


def random_policy(config: CollectConfig, spec: TaskSpec, rng: np.random.Generator) -> Policy:
    """The policy that ``collect.policy`` names."""
    if config.policy == "sticky":
        return Sticky(spec, rng, config.persistence)
    if config.policy == "brownian":
        return Brownian(spec, rng, config.brownian_std)
    return Uniform(spec, rng)
