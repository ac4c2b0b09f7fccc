"""A small task of every kind, as users might register one: ``env.id=toys:Toy-v0`` with ``env.kwargs``."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text

from worldmodels.envs import Task

ACTIONS = {
    "box": Box(np.float32([-1, 0]), np.float32([1, 2])),
    "integers": Box(0, 3, (2, 2), np.int64),
    "half_open": Box(-np.inf, 1.0, (2,)),
    "discrete": Discrete(3, start=4),
    "multi_discrete": MultiDiscrete([2, 3]),
    "multi_binary": MultiBinary(3),
    "text": Text(4),
}
VECTOR = Box(-1, 1, (3,))
HEIGHT, WIDTH = 40, 30
PICTURES = {"grey": (HEIGHT, WIDTH), "one_channel": (HEIGHT, WIDTH, 1), "rgb": (HEIGHT, WIDTH, 3)}


class Toy(gymnasium.Env[Any, Any]):
    """A grey bar that falls by a row a step, for ``length`` steps; each step pays 1. ``observes``: vector, dict, small,
    or one of `PICTURES`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012

    def __init__(
        self,
        render_mode: str | None = None,
        actions: str = "discrete",
        observes: str = "vector",
        drawn: str = "rgb",
        length: int = 12,
    ) -> None:
        assert length > 0, f"length={length} is too short for a toy"
        self.render_mode, self.observes, self.drawn, self.length = render_mode, observes, drawn, length
        self.action_space = ACTIONS[actions]
        spaces = {name: Box(0, 255, shape, np.uint8) for name, shape in PICTURES.items()}
        spaces |= {"vector": VECTOR, "small": Box(0, 255, (5, 5), np.uint8)}
        spaces["dict"] = Dict({"camera": spaces["grey"], "speed": VECTOR})
        self.observation_space = spaces[observes]
        self.actions: list[Any] = []

    def picture(self, kind: str) -> np.ndarray:
        if kind == "floats":
            return np.zeros((HEIGHT, WIDTH, 3), np.float32)
        shown = np.zeros((HEIGHT, WIDTH), np.uint8)
        shown[self.steps % HEIGHT] = 200
        return shown if kind == "grey" else np.repeat(shown[..., None], 1 if kind == "one_channel" else 3, axis=2)

    def _observe(self) -> Any:
        vector = np.full(3, self.steps / 1000, np.float32)
        if self.observes in PICTURES:
            return self.picture(self.observes)
        if self.observes == "dict":
            return {"camera": self.picture("grey"), "speed": vector}
        return vector if self.observes == "vector" else np.zeros((5, 5), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), f"{action!r} is no action of {self.action_space}"
        self.actions.append(action)
        self.steps += 1
        return self._observe(), 1, np.bool_(self.steps >= self.length), False, {}  # type: ignore[return-value]

    def render(self) -> Any:
        return self.picture(self.drawn) if self.render_mode == "rgb_array" else None


class Network:
    """The settings of somebody's V or M, which is never made."""

    def __init__(self, latent_size: int = 32, hidden_size: int = 256, sharpness: float = 1.0) -> None: ...


class Undrawn(Toy):
    """It cannot be rendered, nor does it take a render mode."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, **kwargs: Any) -> None:
        assert "render_mode" not in kwargs
        super().__init__(**kwargs)


class ToyState(Task):
    name = "toy"
    state_names = ("first", "second", "third")
    visible_targets = ("first",)


class ToyNames(Task):
    """Just the names."""

    name = "toy"
    state_names = ("first", "second", "third")


class ToyUnknownTarget(Task):
    """A visible target that is none of its names."""

    name = "toy"
    state_names = ("first", "second", "third")
    visible_targets = ("fourth",)


gymnasium.register("Toy-v0", Toy)
gymnasium.register("Undrawn-v0", Undrawn)
gymnasium.register("Limited-v0", "toys:Toy", max_episode_steps=1)
