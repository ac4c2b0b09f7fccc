"""Random policies, for collecting and for comparison."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from worldmodels.config import CollectConfig
from worldmodels.envs import TaskSpec

BIAS_NOISE = 0.1


class Policy(Protocol):
    """Chooses the actions of one episode, blindly."""

    def act(self) -> np.ndarray:
        """The next action, (A,) float32."""
        ...


class Uniform:
    """Every action drawn anew, uniformly within the bounds: the source study's policy."""

    def __init__(self, spec: TaskSpec, rng: np.random.Generator) -> None:
        self.spec, self.rng = spec, rng

    def draw(self) -> np.ndarray:
        """A new action, (A,) float32."""
        return self.rng.uniform(self.spec.action_low, self.spec.action_high).astype(np.float32)

    def act(self) -> np.ndarray:
        return self.draw()


class Sticky(Uniform):
    """Keeps the last action with probability ``persistence``, else draws a new one."""

    def __init__(self, spec: TaskSpec, rng: np.random.Generator, persistence: float) -> None:
        super().__init__(spec, rng)
        self.persistence = persistence
        self._action: np.ndarray | None = None

    def act(self) -> np.ndarray:
        if self._action is None or self.rng.random() >= self.persistence:
            self._action = self.draw()
        return self._action


class Brownian(Uniform):
    """A random walk of Gaussian steps, clipped at the bounds; ``std`` is a step's share of half the action range."""

    def __init__(self, spec: TaskSpec, rng: np.random.Generator, std: float) -> None:
        super().__init__(spec, rng)
        self._step = std * (spec.action_high - spec.action_low) / 2
        self._action: np.ndarray | None = None

    def act(self) -> np.ndarray:
        if self._action is None:
            self._action = self.draw()
        else:
            walked = self._action + self.rng.normal(size=self.spec.action_size) * self._step
            self._action = np.clip(walked, self.spec.action_low, self.spec.action_high).astype(np.float32)
        return self._action


class Biased(Sticky):
    """Prefers one action, which it draws at its beginning, so that rollouts differ: cars that drive, landers that
    hover. A new action is, with probability ``bias``, the preferred one give or take `BIAS_NOISE` of half the action
    range, else uniform; it is kept as by `Sticky`. The preferred action is drawn from twice the range and clipped, so
    that each of its parts is at either bound in a quarter of the rollouts: no brake at all, full gas.
    """

    def __init__(self, spec: TaskSpec, rng: np.random.Generator, persistence: float, bias: float) -> None:
        super().__init__(spec, rng, persistence)
        self.bias = bias
        centre, half = (spec.action_high + spec.action_low) / 2, (spec.action_high - spec.action_low) / 2
        self._preferred = np.clip(rng.uniform(centre - 2 * half, centre + 2 * half), spec.action_low, spec.action_high)
        self._noise = BIAS_NOISE * half

    def draw(self) -> np.ndarray:
        if self.rng.random() >= self.bias:
            return super().draw()
        action = self._preferred + self.rng.normal(size=self.spec.action_size) * self._noise
        return np.clip(action, self.spec.action_low, self.spec.action_high).astype(np.float32)


class RandomPlayers:
    """Random policies as players; ``make`` turns the player of an episode into its policy. They see nothing."""

    sees = False

    def __init__(self, slots: int, make: Callable[[Any], Policy]) -> None:
        self._make = make
        self._policies: list[Any] = [None] * slots

    def begin(self, slot: int, player: Any) -> None:
        self._policies[slot] = self._make(player)

    def act(self, slots: Sequence[int], frames: np.ndarray) -> np.ndarray:
        return np.stack([self._policies[slot].act() for slot in slots])


def random_policy(config: CollectConfig, spec: TaskSpec, rng: np.random.Generator) -> Policy:
    """The policy that ``collect.policy`` names."""
    if config.policy == "sticky":
        return Sticky(spec, rng, config.persistence)
    if config.policy == "biased":
        return Biased(spec, rng, config.persistence, config.bias)
    if config.policy == "brownian":
        return Brownian(spec, rng, config.brownian_std)
    return Uniform(spec, rng)
