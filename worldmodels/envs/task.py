"""What a task contributes: its Gymnasium environment, its pictures, and the names and values of its true state."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Space

from worldmodels.envs import registry
from worldmodels.envs.config import TASK, EnvConfig, task_path
from worldmodels.envs.scenes import Scene
from worldmodels.envs.window import Window
from worldmodels.utils import parts
from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError

SMALLEST = 16  # pixels; an observation of fewer is taken for a map rather than for a picture


class Task:
    """Any Gymnasium environment, and the base class of tasks that declare more: a subclass declares what it knows,
    which may be ``state_names`` alone. ``env`` is the environment with its own wrappers (time limit, order enforcing).

    The constructor is given ``config``, ``pictures`` and ``drawn``; other arguments are settings of ``env.task``.
    ``keys`` (`worldmodels.envs.keys.Keys`) say how a person acts in it.
    """

    name: ClassVar[str] = ""
    libraries: ClassVar[tuple[str, ...]] = ()  # packages whose versions rollouts depend on, beside the usual ones
    state_names: ClassVar[tuple[str, ...]] = ()  # of `state`; without, a vector that is observed is the state
    scene: ClassVar[type[Scene] | None] = None  # what env.renderer=fast draws
    follows: ClassVar[bool] = False  # whether there is a `window` for env.view=follow
    scatters: ClassVar[bool] = False  # whether episodes can begin anywhere
    visible_targets: ClassVar[tuple[str, ...]] = ()  # targets that a picture shows
    motions: ClassVar[tuple[str, ...]] = ()  # targets that take more than one picture
    acted_on: ClassVar[tuple[str, ...]] = ()  # targets that suffice to act; without, all of the state
    # What may be missing from a reconstruction: how much of it each pixel shows, (N, 64, 64, 3) uint8 -> (N, 64, 64).
    objects: ClassVar[Mapping[str, Callable[[np.ndarray], np.ndarray]]] = {}

    def __init__(self, config: EnvConfig, pictures: bool, drawn: bool) -> None:
        require(
            config.view == "whole" or self.follows,
            f"env.view={config.view} has no window for env.name={config.name}: expected a task with one, such as "
            "bipedal_walker; use env.view=whole",
        )
        self.id = config.id
        # Gymnasium's picture, without the work that leaves nothing in it.
        self.draws_visible_only = config.renderer == "exact" and config.picture == "auto"
        self.env: gymnasium.Env[Any, Any] = registry.make(config, self.render_mode(config, pictures) if drawn else None)
        self.world: Any = self.env.unwrapped
        self.source = picture_source(config, self.env.observation_space, self.env.render_mode is not None)
        self.names = self.state_names or observed_names(self.env.observation_space)
        if not drawn:
            self.undrawn()

    def render_mode(self, config: EnvConfig, pictures: bool) -> str | None:
        """Gymnasium's render mode; ``pictures`` asks for the large picture as well as the agent's."""
        return registry.PICTURES if registry.gives_pictures(config) else None

    def undrawn(self) -> None:
        """Called where no frame is needed: leave out what the task draws in its steps."""

    def scatter(self) -> Any:
        """Called after a reset, before `begin`, if the task ``scatters`` and is asked to. Returns the observation."""
        raise NotImplementedError

    def begin(self) -> None:
        """Called after each reset of ``env``."""

    def advance(self, action: Any, steps: int) -> tuple[Any, float, bool, bool, dict[str, Any], int]:
        """So many ``steps`` of the same action, or to the episode's end. Returns what a step of Gymnasium does, the
        rewards summed, and the number of steps that were taken.
        """
        observation, total, terminated, truncated, info, taken = None, 0.0, False, False, {}, 0
        while taken < steps and not (terminated or truncated):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            taken += 1
        return observation, total, bool(terminated), bool(truncated), info, taken

    def picture(self, observation: Any) -> np.ndarray:
        """The task's picture of now, uint8: (H, W, 3), or in grey (H, W) or (H, W, 1)."""
        if self.source == "render":
            try:
                self.drawn = np.asarray(self.env.render())
            except NotImplementedError:
                self.drawn = np.empty((), dtype=object)  # nothing, which its renderer refuses
        else:
            self.drawn = np.asarray(observation if self.source == "observation" else observation[self.source])
        return self.drawn

    def large_picture(self) -> np.ndarray:
        """The picture for people. Not drawn twice, because drawing moves decoration such as particles."""
        drawn_separately = self.source != "render" and self.env.render_mode is not None
        return np.asarray(self.env.render()) if drawn_separately else self.drawn

    def window(self) -> Window:
        """What ``env.view=follow`` shows of the task's picture of now, if the task ``follows``. Its ``scene`` draws by
        `Canvas.draw` alone, and its picture is ``large_size``.
        """
        raise NotImplementedError

    def state(self, observation: Any) -> np.ndarray:
        """The true state, a value for each of ``names``."""
        return np.asarray(observation) if self.names else np.empty(0)

    @classmethod
    def column(cls, states: np.ndarray, name: str) -> np.ndarray:
        """A value of the state by its name: states (T, S) -> (T,)."""
        return states[:, cls.state_names.index(name)]

    @classmethod
    def target(cls, states: np.ndarray, name: str) -> np.ndarray:
        """What a probe is to find, one of ``visible_targets``, ``motions`` or ``acted_on``: states (T, S) -> (T,)."""
        return cls.column(states, name)

    @classmethod
    def known(cls, states: np.ndarray) -> np.ndarray:
        """What a controller reads that knows the true state: states (T, S) -> (T, K)."""
        if not cls.acted_on:
            return states
        return np.stack([cls.target(states, name) for name in cls.acted_on], axis=1)

    @classmethod
    def shown(cls, states: np.ndarray, fps: float) -> np.ndarray:
        """Frames of a rollout that show what probes ask for: states (T, S) from the reset on -> (T,) bool."""
        return np.ones(len(states), dtype=bool)

    @classmethod
    def coverage(cls, rollouts: Sequence[np.ndarray]) -> dict[str, float]:
        """How much of the task random rollouts reach, in a few figures: states (T, S) of each rollout."""
        return {}


def task_class(config: EnvConfig) -> type[Task]:
    """The class of a task: that of ``env.task``, else the one of ours called ``env.name``, else `Task`. Raises
    `ConfigError`.
    """
    path = task_path(config)
    try:
        chosen = parts.find(TASK, path, "env.task")
    except gymnasium.error.DependencyNotInstalled as error:
        raise ConfigError(
            f"env.name={config.name} needs a package that is missing ({' '.join(str(error).split())}): "
            "expected Box2D; run pip install 'gymnasium[box2d]'"
        ) from error
    require(
        isinstance(chosen, type) and issubclass(chosen, Task),
        f"env.task={path} is no task: expected a subclass of worldmodels.envs.Task",
    )
    require(
        not hasattr(chosen, "places"),
        f"env.task={path} declares places, which are called visible_targets now: expected the new name; rename them",
    )
    return chosen


def make_task(config: EnvConfig, pictures: bool, drawn: bool) -> Task:
    """The task with the settings that ``env.task`` gives it. Raises `ConfigError`."""
    task_class(config)
    chosen = task_path(config) if config.task is None else config.task
    return parts.make(TASK, chosen, "env.task", config=config, pictures=pictures, drawn=drawn)


def is_picture(space: Space[Any]) -> bool:
    """Whether observations may be taken for pictures: (H, W, 3), (H, W, 1) or (H, W) uint8."""
    shape = space.shape or ()
    channels = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    return isinstance(space, Box) and space.dtype == np.uint8 and channels


def picture_source(config: EnvConfig, space: Space[Any], renders: bool) -> str:
    """Where the pictures of a task come from: ``render``, ``observation``, or a key of its observations. Raises
    `ConfigError`.
    """
    picture = config.picture
    if picture == "auto":
        large = min((space.shape or (0,))[:2], default=0) >= SMALLEST
        return "observation" if is_picture(space) and (large or not renders) else "render"
    if picture in ("render", "observation"):
        return picture
    keys = list(space.spaces) if isinstance(space, Dict) else []
    require(
        picture in keys,
        f"env.picture={picture} is no part of what env.id={config.id} observes ({space}): expected render, observation"
        f"{''.join(f', {key}' for key in keys)}",
    )
    return picture


def observed_names(space: Space[Any]) -> tuple[str, ...]:
    """Names of an observation that is a vector; nothing for other observations."""
    size = space.shape[0] if isinstance(space, Box) and len(space.shape) == 1 else 0
    return tuple(f"observation{index}" for index in range(size))
