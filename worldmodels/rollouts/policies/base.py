"""What a random policy is, and how the rollout engine plays with it."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

import numpy as np

from worldmodels.envs import TaskSpec
from worldmodels.rollouts.config import POLICY, RolloutsConfig
from worldmodels.rollouts.engine import Players
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


def make_players(
    config: RolloutsConfig,
    spec: TaskSpec,
    slots: int,
    stream: Callable[[Any], np.random.Generator],
    allow: Collection[str] = (),
) -> Players:
    """The policy that ``collect.policy`` names, in so many slots. ``stream``: the random numbers of an episode, from
    what its player is. A class that ``sees`` plays in all slots itself (`worldmodels.rollouts.engine.Players`), and is
    given ``spec``, ``slots``, ``stream`` and ``allow``, the modules whose classes a finished run may name.
    """
    key = f"{config.node}.policy"
    if sees(config):
        return parts.make(POLICY, config.policy, key, spec=spec, slots=slots, stream=stream, allow=allow)
    return RandomPlayers(slots, lambda player: random_policy(config, spec, stream(player)))


def sees(config: RolloutsConfig) -> bool:
    """Whether the policy looks at frames, so that many slots are faster than one."""
    return getattr(parts.find(POLICY, config.policy, f"{config.node}.policy"), "sees", False)


def random_policy(config: RolloutsConfig, spec: TaskSpec, rng: np.random.Generator) -> Policy:
    """The policy that ``collect.policy`` names. A class is given ``spec`` and ``rng``, and its own settings."""
    return parts.make(POLICY, config.policy, f"{config.node}.policy", spec=spec, rng=rng)
