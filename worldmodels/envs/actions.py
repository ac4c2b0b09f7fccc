"""From the controller's unbounded outputs to a task's actions."""

from collections.abc import Callable

import numpy as np

from worldmodels.envs.config import EnvConfig
from worldmodels.envs.env import TaskSpec
from worldmodels.utils.checks import require, require_one_of

SQUASH: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "tanh01": lambda x: (np.tanh(x) + 1) / 2,
    "relu_tanh": lambda x: np.maximum(np.tanh(x), 0),
    "clip": lambda x: np.clip(x, -1, 1),
}


class ActionMap:
    """Squashes each output of C as the task's config says; CarRacing may add the source study's hand-made heuristic.

    Ha & Schmidhuber 2018 squash by tanh, and for CarRacing map gas to (tanh + 1) / 2 and clip the brake at 0.
    """

    def __init__(self, config: EnvConfig, spec: TaskSpec) -> None:
        require(
            len(config.squash) == spec.action_size,
            f"env.squash={list(config.squash)} has {len(config.squash)} entries: expected {spec.action_size}, "
            f"one for each action of {config.name}",
        )
        for name in config.squash:
            require_one_of("env.squash", name, SQUASH)
        self._squash = [SQUASH[name] for name in config.squash]
        self._config = config
        self._low, self._high = spec.action_low, spec.action_high

    def __call__(self, outputs: np.ndarray) -> np.ndarray:
        """outputs: (..., A) -> actions (..., A) float32 within the task's bounds."""
        actions = np.stack([squash(outputs[..., i]) for i, squash in enumerate(self._squash)], axis=-1)
        if self._config.heuristic:
            actions = self._car_racing_heuristic(actions)
        return np.clip(actions, self._low, self._high).astype(np.float32)

    def _car_racing_heuristic(self, actions: np.ndarray) -> np.ndarray:
        """The study's two rules, which it gives in words only, made exact: a predicted full stop (brake at or above
        ``heuristic_full_stop``) becomes slowing down (brake = ``heuristic_slow_down``), and of gas and brake only what
        exceeds ``heuristic_threshold`` is used. Steering is left alone."""
        config = self._config
        steer, gas, brake = actions[..., 0], actions[..., 1], actions[..., 2]
        brake = np.where(brake >= config.heuristic_full_stop, config.heuristic_slow_down, brake)
        pedals = [np.where(pedal > config.heuristic_threshold, pedal, 0) for pedal in (gas, brake)]
        return np.stack([steer, *pedals], axis=-1)
