"""The dream as Gymnasium environments: ``gymnasium.make("worldmodels/Dream-v0", run=DIR)`` and ``make_vec``."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from worldmodels.dreams.core import OBSERVATIONS, DreamModel, Dreams
from worldmodels.envs import FRAME_SHAPE
from worldmodels.utils.checks import require, require_at_least, require_one_of


def _model(run: str | Path | DreamModel, allow: Collection[str]) -> DreamModel:
    return run if isinstance(run, DreamModel) else DreamModel.of(run, allow)


def _facts(model: DreamModel, render_mode: str | None) -> dict[str, Any]:
    """Metadata: how fast the task runs, and whether a dream of it has a score and an end of its own."""
    require(render_mode in (None, "rgb_array"), f"render_mode={render_mode} is unknown: expected rgb_array or None")
    return {
        "render_fps": round(model.spec.fps),
        "rewards": model.reward_head is not None or model.step_reward is not None,
        "ends": model.end_head is not None,
    }


def _spaces(model: DreamModel, observation: str) -> tuple[Box, Box]:
    """Of what is observed and of actions. z and h have no bounds of their own: those given are float32's."""
    require_one_of("observation", observation, OBSERVATIONS)
    actions = Box(model.spec.action_low, model.spec.action_high, dtype=np.float32)
    if observation == "pixels":
        return Box(0, 255, FRAME_SHAPE, np.uint8), actions
    hidden = model.memory.hidden_size if observation == "latent_hidden" else 0
    limit = np.full(model.memory.latent_size + hidden, np.finfo(np.float32).max, np.float32)
    return Box(-limit, limit, dtype=np.float32), actions


class DreamEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One dream. ``run`` is the folder of a finished run, or a `DreamModel`, which several environments can share.

    ``observation``: ``latent`` (z), ``latent_hidden`` ([z, h], what C sees) or ``pixels`` (by V's decoder). Rewards and
    ends are M's (`Dreams`); ``metadata["rewards"]`` and ``["ends"]`` say whether it predicts any: without, rewards are
    0 and only ``max_steps`` (default: the task's) ends a dream. The info of a reset tells in ``start`` which of the
    real first frames the dream began from. ``allow``: modules outside of the package whose classes the run may name.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
        run: str | Path | DreamModel,
        temperature: float = 1.0,
        observation: str = "latent",
        max_steps: int | None = None,
        end_threshold: float | None = None,
        render_mode: str | None = None,
        allow: Collection[str] = (),
    ) -> None:
        self.model = _model(run, allow)
        self.metadata = {**self.metadata, **_facts(self.model, render_mode)}
        self.observation, self.render_mode = observation, render_mode
        self.observation_space, self.action_space = _spaces(self.model, observation)
        self._dreams = Dreams(self.model, 1, temperature, max_steps, end_threshold)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        [start] = self._dreams.begin([0], [self.np_random])
        return self._look(), {"start": int(start)}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward, terminated, truncated = (x[0].item() for x in self._dreams.step([0], np.asarray(action)[None]))
        return self._look(), reward, terminated, truncated, {}

    def _look(self) -> np.ndarray:
        return self._dreams.look([0], self.observation)[0]

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """V's picture of the latent of now, (64, 64, 3) uint8."""
        return None if self.render_mode is None else self._dreams.look([0], "pixels")[0]


class DreamVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """``num_envs`` dreams at once, by one step of M. Arguments as of `DreamEnv`.

    Environment i of ``reset(seed=s)`` is the `DreamEnv` of ``reset(seed=s + i)``, bit for bit, whatever ``num_envs``.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
        num_envs: int = 1,
        *,
        run: str | Path | DreamModel,
        temperature: float = 1.0,
        observation: str = "latent",
        max_steps: int | None = None,
        end_threshold: float | None = None,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        allow: Collection[str] = (),
    ) -> None:
        require_at_least("num_envs", num_envs, 1)
        self.num_envs, self.model = num_envs, _model(run, allow)
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, **_facts(self.model, render_mode), "autoreset_mode": self.autoreset_mode}
        self.observation, self.render_mode = observation, render_mode
        self.single_observation_space, self.single_action_space = _spaces(self.model, observation)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._dreams = Dreams(self.model, num_envs, temperature, max_steps, end_threshold)
        self._streams: list[np.random.Generator | None] = [None] * num_envs
        self._done = np.zeros(num_envs, bool)

    def reset(  # type: ignore[override]
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """``seed``: one for environment 0, with 1 more for each further one, or a list. ``options["reset_mask"]``, (n,)
        bool, resets some only.
        """
        count = self.num_envs
        mask = np.asarray((options or {}).get("reset_mask", np.ones(count, bool)))
        seeds = [None if seed is None else seed + i for i in range(count)] if not isinstance(seed, Sequence) else seed
        if len(seeds) != count or mask.shape != (count,) or mask.dtype != bool:
            raise ValueError(
                f"got {len(seeds)} seeds and a reset_mask {mask.shape} of {mask.dtype}: expected {count} seeds and "
                f"({count},) of bool, for num_envs={count}"
            )
        for i in np.flatnonzero(mask).tolist():
            if seeds[i] is not None or self._streams[i] is None:
                self._streams[i], _ = seeding.np_random(seeds[i])
        infos = self._begin(mask)
        return self._look(), infos

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        over = self._done
        if self.autoreset_mode is AutoresetMode.DISABLED and over.any():
            raise ResetNeeded(f"dreams {np.flatnonzero(over).tolist()} are over: expected a reset with a reset_mask")
        going = np.flatnonzero(~over)
        rewards, terminated, truncated = np.zeros(self.num_envs), np.zeros_like(over), np.zeros_like(over)
        rewards[going], terminated[going], truncated[going] = self._dreams.step(going, np.asarray(actions)[going])
        infos = self._begin(over) if over.any() else {}
        self._done = terminated | truncated
        observations = self._look()
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._done.any():
            ended = self._done
            final = np.full(self.num_envs, None, object)
            for i in np.flatnonzero(ended):
                final[i] = observations[i].copy()
            infos = {"final_obs": final, "_final_obs": ended, "final_info": {}, "_final_info": ended.copy()}
            infos |= self._begin(ended)
            observations[ended] = self._dreams.look(np.flatnonzero(ended), self.observation)
        return observations, rewards, terminated, truncated, infos

    def _begin(self, mask: np.ndarray) -> dict[str, Any]:
        """New dreams where ``mask`` says. Returns the infos of these resets."""
        slots = np.flatnonzero(mask)
        starts = np.zeros(self.num_envs, np.int64)
        starts[slots] = self._dreams.begin(slots, [self._streams[i] for i in slots])  # type: ignore[misc]
        self._done = self._done & ~mask
        return {"start": starts, "_start": mask.copy()}

    def _look(self) -> np.ndarray:
        return self._dreams.look(range(self.num_envs), self.observation)

    def render(self) -> tuple[np.ndarray, ...] | None:  # type: ignore[override]
        """V's pictures of the latents of now, (64, 64, 3) uint8 each."""
        return None if self.render_mode is None else tuple(self._dreams.look(range(self.num_envs), "pixels"))
