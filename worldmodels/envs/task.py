"""What a task contributes: its Gymnasium environment, its pictures, and the names and values of its true state."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np

from worldmodels.envs.config import EnvConfig
from worldmodels.envs.scenes import Scene


class Task:
    """Base of the tasks. ``env`` is the Gymnasium environment with its own wrappers (time limit, order enforcing)."""

    name: ClassVar[str]
    state_names: ClassVar[tuple[str, ...]]
    scene: ClassVar[type[Scene] | None] = None  # what env.renderer=fast draws
    scatters: ClassVar[bool] = False  # whether episodes can begin anywhere
    places: ClassVar[tuple[str, ...]] = ()  # targets that a picture shows
    motions: ClassVar[tuple[str, ...]] = ()  # targets that take more than one picture
    # What may be missing from a reconstruction: how much of it each pixel shows, (N, 64, 64, 3) uint8 -> (N, 64, 64).
    objects: ClassVar[Mapping[str, Callable[[np.ndarray], np.ndarray]]] = {}

    def __init__(self, config: EnvConfig, pictures: bool) -> None:
        # Gymnasium's picture, without the work that leaves nothing in it.
        self.draws_only_what_shows = config.renderer == "exact"
        self.env: gymnasium.Env[Any, Any] = gymnasium.make(
            config.id, render_mode=self.render_mode(pictures), disable_env_checker=True, **config.kwargs
        )
        self.world: Any = self.env.unwrapped

    @staticmethod
    def render_mode(pictures: bool) -> str | None:
        """Gymnasium's render mode; ``pictures`` asks for the large picture as well as the agent's."""
        return "rgb_array"

    def scatter(self) -> Any:
        """Called after a reset, before `begin`, if the task ``scatters`` and is asked to. Returns the observation."""
        raise NotImplementedError

    def begin(self) -> None:
        """Called after each reset of ``env``."""

    def picture(self, observation: np.ndarray) -> np.ndarray:
        """Gymnasium's picture of now, (H, W, 3) uint8: the rendered one, unless the task observes pixels."""
        self.drawn = np.asarray(self.env.render())
        return self.drawn

    def large_picture(self) -> np.ndarray:
        """The picture people look at. Not drawn twice: drawing moves what is only for show, such as particles."""
        return self.drawn

    def state(self, observation: np.ndarray) -> np.ndarray:
        """The true state, (len(state_names),)."""
        return np.asarray(observation)

    @classmethod
    def column(cls, states: np.ndarray, name: str) -> np.ndarray:
        """A value of the state by its name: states (T, S) -> (T,)."""
        return states[:, cls.state_names.index(name)]

    @classmethod
    def target(cls, states: np.ndarray, name: str) -> np.ndarray:
        """What a probe is to find, one of ``places`` or ``motions``: states (T, S) -> (T,)."""
        return cls.column(states, name)

    @classmethod
    def shown(cls, states: np.ndarray, fps: float) -> np.ndarray:
        """Frames of a rollout that show what probes ask for: states (T, S) from the reset on -> (T,) bool."""
        return np.ones(len(states), dtype=bool)

    @classmethod
    def coverage(cls, rollouts: Sequence[np.ndarray]) -> dict[str, float]:
        """How much of the task random rollouts reach, in a few figures: states (T, S) of each rollout."""
        return {}
