"""`make_env`: a Gymnasium task whose observation is its picture, 64×64×3 uint8, and never its state vector."""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from worldmodels.envs.bipedal_walker import BipedalWalker
from worldmodels.envs.car_racing import CarRacing
from worldmodels.envs.config import EnvConfig
from worldmodels.envs.lunar_lander import LunarLander
from worldmodels.envs.renderers import FRAME_SHAPE, RENDERERS
from worldmodels.envs.task import Task
from worldmodels.utils.errors import ConfigError

TASKS: dict[str, type[Task]] = {task.name: task for task in (CarRacing, LunarLander, BipedalWalker)}


@dataclass(frozen=True)
class TaskSpec:
    """What the models need to know of a task."""

    name: str
    action_low: np.ndarray
    action_high: np.ndarray
    state_names: tuple[str, ...]
    fps: float  # of what an agent sees

    @property
    def action_size(self) -> int:
        return len(self.action_low)


class PixelEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A task seen from pixels.

    Observations are (64, 64, 3) uint8: the task's picture without its lowest ``crop_bottom`` share, scaled by area
    averaging, as ``env.renderer`` draws it. Rewards, ends and random streams are the wrapped task's own, whoever draws.
    An action is repeated for ``action_repeat`` steps of the task, or to the episode's end; the rewards are summed and
    the last picture is shown. ``max_steps`` truncates earlier than the task would; None leaves the task as it is.

    With ``scatter`` an episode begins anywhere, in a task that can do so.

    ``step`` is `advance` and `look`; who does not need a picture leaves out `look`.
    """

    def __init__(
        self, config: EnvConfig, max_steps: int | None = None, pictures: bool = False, scatter: bool = False
    ) -> None:
        self.task = _task(config)(config, pictures)
        self.env = self.task.env
        self.observation_space = gymnasium.spaces.Box(0, 255, FRAME_SHAPE, np.uint8)
        self.action_space = self.env.action_space
        self.metadata = {**self.env.metadata, "render_modes": ["rgb_array"]}
        self.render_mode = "rgb_array" if pictures else None
        self.max_steps = max_steps
        self._scatter = scatter and self.task.scatters
        self._repeat, self._id = config.action_repeat, config.id
        self._looked = False
        self._renderer = RENDERERS[config.renderer](self.task, config)
        box = self.action_space
        if not isinstance(box, gymnasium.spaces.Box):
            raise ConfigError(
                f"env.id={config.id} with env.kwargs={dict(config.kwargs)} has actions {box}: expected a continuous "
                "(Box) action space; CarRacing and LunarLander have one with env.kwargs.continuous=true"
            )
        fps = int(self.env.metadata.get("render_fps", 50)) / self._repeat
        self.task_spec = TaskSpec(config.name, box.low, box.high, self.task.state_names, fps)

    def begin(self, seed: int | None = None, options: dict[str, Any] | None = None) -> dict[str, Any]:
        """`reset` without a picture. Returns the task's info."""
        super().reset(seed=seed)
        self._observation, info = self.env.reset(seed=seed, options=options)
        if self._scatter:
            self._observation = self.task.scatter()
        self.steps = 0  # of the task since the last reset
        self._looked = False
        try:
            self.task.begin()
            self._renderer.reset()
        except AttributeError as error:
            raise ConfigError(
                f"env.name={self.task.name} cannot draw env.id={self._id} ({error}): expected an id of that task; "
                "use env.renderer=gymnasium, or an env.name that suits the id"
            ) from error
        return info

    def advance(self, action: np.ndarray) -> tuple[float, bool, bool, dict[str, Any]]:
        """`step` without a picture. Returns (reward, terminated, truncated, info)."""
        action = np.asarray(action, dtype=np.float32)
        total, terminated, truncated, info = 0.0, False, False, {}
        for _ in range(self._repeat):
            self._observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            self.steps += 1
            truncated = truncated or (self.max_steps is not None and self.steps >= self.max_steps and not terminated)
            if terminated or truncated:
                break
        return total, terminated, truncated, info

    def look(self) -> np.ndarray:
        """The frame of now, (64, 64, 3) uint8. At most once after `begin` and after each `advance`."""
        self._looked = True
        return self._renderer.frame(self._observation)

    def state(self) -> np.ndarray:
        """The true state, (S,) float32, named by ``task_spec.state_names``. Agents never see it."""
        return self.task.state(self._observation).astype(np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        info = self.begin(seed, options)
        return self.look(), info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward, terminated, truncated, info = self.advance(action)
        return self.look(), reward, terminated, truncated, info

    def render(self) -> np.ndarray:
        """The last frame looked at as people see it, (H, W, 3) uint8; needs ``pictures=True``."""
        if self.render_mode is None or not self._looked:
            raise RuntimeError("there is no picture: expected make_env(…, pictures=True), and a look after the reset")
        return self._renderer.picture()

    def close(self) -> None:
        world: Any = self.env.unwrapped
        if hasattr(world, "world") and hasattr(world, "_destroy"):  # a Box2D world keeps its bodies otherwise
            world._destroy()
        self.env.close()


def _task(config: EnvConfig) -> type[Task]:
    try:
        return TASKS[config.name]
    except KeyError:
        raise ConfigError(
            f"env.name={config.name} has no code: expected one of {', '.join(TASKS)}; add a Task to worldmodels/envs"
        ) from None


def make_env(
    config: EnvConfig, *, max_steps: int | None = None, pictures: bool = False, scatter: bool = False
) -> PixelEnv:
    """Make a task. Raises `ConfigError` where Gymnasium lacks it or what it needs."""
    try:
        return PixelEnv(config, max_steps, pictures, scatter)
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
