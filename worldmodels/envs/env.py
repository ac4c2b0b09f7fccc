"""`make_env`: a Gymnasium task whose observation is its picture, 64×64×3 uint8, and never its state vector."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from worldmodels.envs.actions import ActionCodec, action_codec
from worldmodels.envs.config import ANY_TASK, TASKS, EnvConfig, task_path
from worldmodels.envs.renderers import FRAME_SHAPE, FastRenderer, make_renderer
from worldmodels.envs.shapes import free_shapes
from worldmodels.envs.task import make_task
from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError, described

FPS = 50.0  # of a task that does not tell


@dataclass(frozen=True)
class TaskSpec:
    """What the models need to know of a task."""

    name: str
    actions: ActionCodec
    state_names: tuple[str, ...]
    fps: float  # of what an agent sees

    @property
    def action_size(self) -> int:
        """Numbers of an action as M reads it."""
        return self.actions.size

    @property
    def action_low(self) -> np.ndarray:
        return self.actions.low

    @property
    def action_high(self) -> np.ndarray:
        return self.actions.high

    @property
    def outputs(self) -> int:
        """Numbers that C gives."""
        return self.actions.outputs


class PixelEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A task seen from pixels.

    Observations are (64, 64, 3) uint8: the task's picture without its lowest ``crop_bottom`` share, scaled by area
    averaging, as ``env.renderer`` draws it. Rewards, ends and random streams are the wrapped task's own, whoever draws.
    Actions are vectors, whatever the task's own are: ``task_spec.actions`` says how (one-hot for a choice). An action
    is repeated for ``action_repeat`` steps of the task, or to the episode's end; the rewards are summed and the last
    picture is shown. ``max_steps`` truncates earlier than the task would; None leaves the task as it is.

    With ``scatter`` an episode begins anywhere, in a task that can do so.

    ``step`` is `advance` and `look`; without `look` no picture is drawn.
    """

    def __init__(
        self,
        config: EnvConfig,
        max_steps: int | None = None,
        pictures: bool = False,
        scatter: bool = False,
        drawn: bool = True,
    ) -> None:
        self._config = config
        with self._suited():
            self.task = make_task(config, pictures, drawn)
            self.env = self.task.env
            free_shapes()
            self._renderer = make_renderer(self.task, config) if drawn else None
        actions = action_codec(self.env.action_space, config)
        self._decode = actions.decode
        self.observation_space = gymnasium.spaces.Box(0, 255, FRAME_SHAPE, np.uint8)
        self.action_space = gymnasium.spaces.Box(actions.low, actions.high, dtype=np.float32)
        self.metadata = {**self.env.metadata, "render_modes": ["rgb_array"]}
        self.render_mode = "rgb_array" if pictures else None
        self.max_steps = max_steps
        self._scatter = scatter and self.task.scatters
        self._repeat = config.action_repeat
        self._looked = False
        fps = (self.env.metadata.get("render_fps") or FPS) / self._repeat
        self.task_spec = TaskSpec(config.name, actions, self.task.names, fps)

    def begin(self, seed: int | None = None, options: dict[str, Any] | None = None) -> dict[str, Any]:
        """`reset` without a picture. Returns the task's info."""
        super().reset(seed=seed)
        self._observation, info = self.env.reset(seed=seed, options=options)
        if self._scatter:
            self._observation = self.task.scatter()
        self.steps = 0  # of the task since the last reset
        self._looked = False
        with self._suited():
            self.task.begin()
            if self._renderer is not None:
                self._renderer.reset()
        return info

    @contextmanager
    def _suited(self) -> Iterator[None]:
        """An environment without what our task class reads is a mistake in the request."""
        try:
            yield
        except AttributeError as error:
            path = task_path(self._config)
            if path not in TASKS.values():
                raise
            raise ConfigError(
                f"env.name={self._config.name} is {path.rpartition('.')[2]} and cannot draw env.id={self._config.id} "
                f"({error}): expected an id of that task; give env.name another name, or set env.task={ANY_TASK}"
            ) from error

    def advance(self, action: np.ndarray) -> tuple[float, bool, bool, dict[str, Any]]:
        """`step` without a picture. Returns (reward, terminated, truncated, info). Raises `ConfigError` where the
        reward is not finite.
        """
        decoded = self._decode(np.asarray(action, dtype=np.float32))
        left = self._repeat if self.max_steps is None else max(1, min(self._repeat, self.max_steps - self.steps))
        self._observation, total, terminated, truncated, info, taken = self.task.advance(decoded, left)
        if not math.isfinite(total):
            raise ConfigError(
                f"env.id={self._config.id} gave a reward of {total} at step {self.steps + taken} of an episode: "
                "expected finite numbers; mend the reward that its step returns"
            )
        self.steps += taken
        truncated = truncated or (self.max_steps is not None and self.steps >= self.max_steps and not terminated)
        return total, terminated, truncated, info

    def look(self) -> np.ndarray:
        """The frame of now, (64, 64, 3) uint8. At most once after `begin` and after each `advance`."""
        if self._renderer is None:
            raise RuntimeError("there is nothing to look at: expected make_env(…) without drawn=False")
        self._looked = True
        return self._renderer.frame(self._observation)

    def state(self) -> np.ndarray:
        """The true state, (S,) float32, named by ``task_spec.state_names``. Agents never see it, unless
        ``controller.inputs=[state]``.
        """
        return self.task.state(self._observation).astype(np.float32)

    def known(self) -> np.ndarray:
        """What a controller reads that knows the true state, (K,) float32: `Task.known`."""
        return self.task.known(self.state()[None])[0]

    @property
    def draws_slowly(self) -> bool:
        """Whether the task itself draws, rather than its scene."""
        return self._renderer is not None and not isinstance(self._renderer, FastRenderer)

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
        if self.render_mode is None or not self._looked or self._renderer is None:
            raise RuntimeError("there is no picture: expected make_env(…, pictures=True), and a look after the reset")
        return self._renderer.picture()

    def close(self) -> None:
        world: Any = self.env.unwrapped
        if hasattr(world, "world") and hasattr(world, "_destroy"):  # a Box2D world keeps its bodies otherwise
            world._destroy()
        self.env.close()


def make_env(
    config: EnvConfig,
    *,
    max_steps: int | None = None,
    pictures: bool = False,
    scatter: bool = False,
    drawn: bool = True,
) -> PixelEnv:
    """Make a task. With ``drawn=False`` nothing is drawn, which is faster, and there are no frames. Raises
    `ConfigError` where Gymnasium lacks the task or a package that it needs.
    """
    return PixelEnv(config, max_steps, pictures, scatter, drawn)


def task_spec(config: EnvConfig) -> TaskSpec:
    """Facts of a task, from the task itself."""
    env = make_env(config, drawn=False)
    try:
        return env.task_spec
    finally:
        env.close()


def checked_spec(config: EnvConfig) -> TaskSpec:
    """Facts of a task, which is reset, drawn and stepped once. Raises `ConfigError` where that fails, or where the
    declarations of its class do not fit the environment.
    """
    env = make_env(config)
    try:
        spec = env.env.spec
        limit = spec.max_episode_steps if spec is not None else None
        require(
            limit is None or limit > config.action_repeat,
            f"env.id={config.id} ends its episodes after {limit} steps, which is one frame with "
            f"env.action_repeat={config.action_repeat}: expected two frames at least; set "
            f"env.kwargs.max_episode_steps to {config.action_repeat + 1} or more",
        )
        env.begin(seed=0)
        _check_state(env, config)
        if env.draws_slowly:
            env.look()
        _check_step(env, config)
        return env.task_spec
    finally:
        env.close()


def _check_step(env: PixelEnv, config: EnvConfig) -> None:
    try:
        env.advance(env.task_spec.actions.sample(np.random.default_rng(0)))
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"env.id={config.id} cannot be stepped ({described(error)}): expected of step a tuple of five: "
            "observation, reward, terminated, truncated, info; the reward a number"
        ) from error


def _check_state(env: PixelEnv, config: EnvConfig) -> None:
    task, names = env.task, env.task_spec.state_names
    name = f"the state of {task_path(config)}"
    state = env.state()
    require(
        state.shape == (len(names),),
        f"{name} has {state.size} values with env.id={config.id} and env.kwargs={dict(config.kwargs)}: expected "
        f"{len(names)}, one for each of its state_names; set env.name=… to a name of its own, or change env.kwargs",
    )
    for target in (*task.visible_targets, *task.motions, *task.acted_on):
        try:
            task.target(state[None], target)
        except (KeyError, ValueError) as error:
            raise ConfigError(
                f"{name} has no target {target} ({error}): expected one of {', '.join(names)}, or a value from its own "
                "target method"
            ) from error
