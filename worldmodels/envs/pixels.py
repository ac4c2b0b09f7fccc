"""`make_env`: a Gymnasium task whose observation is its picture, 64×64×3 uint8, and never its state vector."""

from dataclasses import dataclass
from typing import Any

import cv2
import gymnasium
import numpy as np

from worldmodels.config import EnvConfig
from worldmodels.envs.bipedal_walker import BipedalWalker
from worldmodels.envs.car_racing import CarRacing
from worldmodels.envs.lunar_lander import LunarLander
from worldmodels.envs.task import Task
from worldmodels.errors import ConfigError

FRAME_SHAPE = (64, 64, 3)
TASKS: dict[str, type[Task]] = {task.name: task for task in (CarRacing, LunarLander, BipedalWalker)}


@dataclass(frozen=True)
class TaskSpec:
    """What the models need to know of a task."""

    name: str
    action_low: np.ndarray
    action_high: np.ndarray
    state_names: tuple[str, ...]
    fps: int

    @property
    def action_size(self) -> int:
        return len(self.action_low)


class PixelEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A task seen from pixels.

    Observations are (64, 64, 3) uint8: the task's picture without its lowest ``crop_bottom`` share, scaled by area
    averaging. ``info["state"]`` is the true state, float32, named by ``spec.state_names``; agents never see it.
    Rewards, ends and random streams are the wrapped task's own. ``max_steps`` truncates earlier than the task would;
    None leaves the task as it is.
    """

    def __init__(self, config: EnvConfig, max_steps: int | None = None, pictures: bool = False) -> None:
        self.task = _task(config)(config, pictures)
        self.env = self.task.env
        self.observation_space = gymnasium.spaces.Box(0, 255, FRAME_SHAPE, np.uint8)
        self.action_space = self.env.action_space
        self.metadata = {**self.env.metadata, "render_modes": ["rgb_array"]}
        self.render_mode = "rgb_array" if pictures else None
        self.max_steps = max_steps
        self._crop_bottom = config.crop_bottom
        self._steps = 0
        box = self.action_space
        if not isinstance(box, gymnasium.spaces.Box):
            raise ConfigError(
                f"env.id={config.id} with env.kwargs={dict(config.kwargs)} has actions {box}: expected a continuous "
                "(Box) action space; for LunarLander set env.kwargs.continuous=true"
            )
        fps = int(self.env.metadata.get("render_fps", 50))
        self.task_spec = TaskSpec(config.name, box.low, box.high, self.task.state_names, fps)

    def _frame(self, observation: np.ndarray) -> np.ndarray:
        picture = self.task.picture(observation)
        picture = picture[: round(len(picture) * (1 - self._crop_bottom))]
        return cv2.resize(picture, FRAME_SHAPE[:2], interpolation=cv2.INTER_AREA)

    def _info(self, observation: np.ndarray, info: dict[str, Any]) -> dict[str, Any]:
        return {**info, "state": self.task.state(observation).astype(np.float32)}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        observation, info = self.env.reset(seed=seed, options=options)
        self._steps = 0
        return self._frame(observation), self._info(observation, info)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(np.asarray(action, dtype=np.float32))
        self._steps += 1
        truncated = truncated or (self.max_steps is not None and self._steps >= self.max_steps and not terminated)
        return self._frame(observation), float(reward), terminated, truncated, self._info(observation, info)

    def render(self) -> np.ndarray:
        """The picture people look at, (H, W, 3) uint8; needs ``pictures=True``."""
        return self.task.large_picture()

    def close(self) -> None:
        self.env.close()


def _task(config: EnvConfig) -> type[Task]:
    try:
        return TASKS[config.name]
    except KeyError:
        raise ConfigError(
            f"env.name={config.name} has no code: expected one of {', '.join(TASKS)}; add a Task to worldmodels/envs"
        ) from None


def make_env(config: EnvConfig, *, max_steps: int | None = None, pictures: bool = False) -> PixelEnv:
    """Make a task. Raises `ConfigError` where Gymnasium lacks it or what it needs."""
    try:
        return PixelEnv(config, max_steps=max_steps, pictures=pictures)
    except gymnasium.error.DependencyNotInstalled as error:
        raise ConfigError(
            f"env={config.name} needs a package that is missing ({' '.join(str(error).split())}): "
            "expected Box2D; run pip install 'gymnasium[box2d]'"
        ) from error
    except TypeError as error:  # Gymnasium's own answer to an argument that the task does not take
        raise ConfigError(
            f"env.kwargs={dict(config.kwargs)} does not suit env.id={config.id} ({' '.join(str(error).split())}): "
            "expected arguments of that task; remove the one it does not take"
        ) from error
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        raise ConfigError(
            f"env.id={config.id} is no task of Gymnasium {gymnasium.__version__} ({' '.join(str(error).split())}): "
            "expected a registered id; see gymnasium.pprint_registry()"
        ) from error


def task_spec(config: EnvConfig) -> TaskSpec:
    """Facts of a task, from the task itself."""
    env = make_env(config)
    try:
        return env.task_spec
    finally:
        env.close()
