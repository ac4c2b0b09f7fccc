"""What a random policy is, and how the rollout engine plays with it."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from worldmodels.envs import TaskSpec
from worldmodels.rollouts.config import POLICY, RolloutsConfig
from worldmodels.utils import parts


class Policy(Protocol):
    """Chooses the actions of one episode, blindly."""

    def act(self) -> np.ndarray:
        """The next action, (A,) float32."""
        ...


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


def random_policy(config: RolloutsConfig, spec: TaskSpec, rng: np.random.Generator) -> Policy:
    """The policy that ``collect.policy`` names. A class is given ``spec`` and ``rng``, and its own settings."""
    return parts.make(POLICY, config.policy, f"{config.node}.policy", spec=spec, rng=rng)
