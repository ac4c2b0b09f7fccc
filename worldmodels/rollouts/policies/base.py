"""What a random policy is, and how the rollout engine plays with it."""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

import numpy as np

from worldmodels.envs import TaskSpec
from worldmodels.rollouts.config import POLICY, RolloutsConfig
from worldmodels.rollouts.engine import Players
from worldmodels.utils import parts
from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError


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
        return _array([self._policies[slot].act() for slot in slots])


class CheckedPlayers:
    """Players whose actions are finite numbers, ``size`` in each of their slots. ``named``: the setting and the class,
    for messages. Raises `ConfigError`.
    """

    def __init__(self, players: Players, size: int, named: str) -> None:
        missing = [name for name in ("begin", "act") if not hasattr(players, name)]
        require(not missing, f"{named} has no {', '.join(missing)}: expected both begin and act of a policy that sees")
        self._players, self._size, self._named = players, size, named
        self.sees, self.knows = players.sees, getattr(players, "knows", False)

    def begin(self, slot: int, player: Any) -> None:
        self._players.begin(slot, player)

    def act(self, slots: Sequence[int], frames: np.ndarray, *known: np.ndarray) -> np.ndarray:
        given = self._players.act(slots, frames, *known)
        actions = given if isinstance(given, np.ndarray) else _array(given)
        shape = (len(slots), self._size)
        if actions.shape != shape or actions.dtype.kind not in "fiub":
            sizes = (actions.shape, shape) if self.sees else (actions.shape[1:], shape[1:])
            got = f"{sizes[0]} of {actions.dtype}" if actions.dtype.kind != "O" else "no array of numbers"
            raise ConfigError(
                f"{self._named}: act() gave {got}: expected {sizes[1]} finite numbers, actions of the task"
            )
        numbers = actions.ravel().tolist()  # of so few, several times as fast as np.isfinite
        finite = all(map(math.isfinite, numbers))
        if not finite:
            raise ConfigError(f"{self._named}: act() gave {numbers}: expected finite numbers, actions of the task")
        return actions


def _array(given: Any) -> np.ndarray:
    """As an array; one of objects where that is impossible."""
    try:
        return np.asarray(given)
    except ValueError:
        return np.empty(1, dtype=object)


def make_players(
    config: RolloutsConfig,
    spec: TaskSpec,
    slots: int,
    stream: Callable[[Any], np.random.Generator],
    allow: Collection[str] = (),
) -> Players:
    """The policy that ``collect.policy`` names, in so many slots. ``stream``: the random numbers of an episode, from
    what its player is. A class that ``sees`` plays in all slots itself (`worldmodels.rollouts.engine.Players`), and is
    given ``spec``, ``slots``, ``stream`` and ``allow``, the modules whose classes a finished run may name. What any of
    them gives is checked.
    """
    key = f"{config.node}.policy"
    if sees(config):
        players = parts.make(POLICY, config.policy, key, spec=spec, slots=slots, stream=stream, allow=allow)
    else:
        players = RandomPlayers(slots, lambda player: random_policy(config, spec, stream(player)))
    return CheckedPlayers(players, spec.action_size, f"{key}={parts.target(POLICY, config.policy)}")


def sees(config: RolloutsConfig) -> bool:
    """Whether the policy looks at frames, so that many slots are faster than one."""
    return getattr(parts.find(POLICY, config.policy, f"{config.node}.policy"), "sees", False)


def random_policy(config: RolloutsConfig, spec: TaskSpec, rng: np.random.Generator) -> Policy:
    """The policy that ``collect.policy`` names. A class is given ``spec`` and ``rng``, and its own settings."""
    key = f"{config.node}.policy"
    policy = parts.make(POLICY, config.policy, key, spec=spec, rng=rng)
    require(hasattr(policy, "act"), f"{key}={parts.target(POLICY, config.policy)} has no act: expected a method act()")
    return policy
