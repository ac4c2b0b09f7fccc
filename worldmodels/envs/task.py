"""What a task contributes: its Gymnasium environment, its pictures, and the names and values of its true state."""

from typing import Any, ClassVar

import gymnasium
import numpy as np

from worldmodels.config import EnvConfig
from worldmodels.envs.scenes import Scene


class Task:
    """Base of the tasks. ``env`` is the Gymnasium environment with its own wrappers (time limit, order enforcing)."""

    name: ClassVar[str]
    state_names: ClassVar[tuple[str, ...]]
    scene: ClassVar[type[Scene] | None] = None  # what env.renderer=fast draws

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
