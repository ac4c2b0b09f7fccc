"""The agent: V sees, M remembers, C acts."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodels.config import Config, config_from_json
from worldmodels.controller.policy import LinearController
from worldmodels.envs import ActionMap, TaskSpec, make_env, task_spec
from worldmodels.parts import make_memory, make_vision
from worldmodels.rollouts.episode import score
from worldmodels.vision.pixels import to_unit


def make_controller(config: Config, action_size: int) -> LinearController:
    """C for the inputs that ``controller.inputs`` names, all zeros."""
    hidden = config.memory.network.hidden_size
    sizes = {"z": config.vae.network.latent_size, "h": hidden, "c": hidden}
    return LinearController(sum(sizes[name] for name in config.controller.inputs), action_size)


class Agent:
    """A policy that sees frames only. z is V's mean μ, not a sample: the same weights and seed give the same
    episode.
    """

    def __init__(self, config: Config, spec: TaskSpec, vision: Path, memory: Path) -> None:
        self.vision = make_vision(config, vision).eval()
        self.memory = make_memory(config, spec.action_size, memory).eval()
        self.inputs = list(config.controller.inputs)
        self.controller = make_controller(config, spec.action_size)
        self.action_map = ActionMap(config.env, spec)
        self.begin()

    def begin(self) -> None:
        """Forget: h and c are zero before the first frame."""
        self.state = self.memory.initial_state(1)

    @torch.no_grad()
    def act(self, frame: np.ndarray) -> np.ndarray:
        """frame: (64, 64, 3) uint8 -> action (A,) float32. C sees h of the frames before this one; then M takes the
        step.
        """
        self.z = self.vision.encode(to_unit(torch.from_numpy(frame)[None])).mu
        known = {"z": self.z, "h": self.state.h, "c": self.state.c}
        x = torch.cat([known[name] for name in self.inputs], dim=1)[0]
        action = self.action_map(self.controller(x.numpy().astype(np.float64)))
        if self.inputs != ["z"]:
            self.state = self.memory.step(self.z, torch.from_numpy(action)[None], self.state)
        return action


@dataclass(frozen=True)
class AgentEpisode:
    """Scores a controller in one episode; made to be sent to workers, which keep the agent and the task between
    calls.
    """

    config: str  # JSON, so that this can be a key
    vision: Path
    memory: Path
    max_steps: int | None

    def __call__(self, item: tuple[Any, np.ndarray, int]) -> float:
        """item: a label of the caller's, C's parameters, and the episode's seed -> return."""
        _, parameters, seed = item
        config, agent = _equipment(self)
        agent.controller.parameters = parameters
        env = make_env(config.env, max_steps=self.max_steps)  # anew: BipedalWalker's world remembers past a reset
        try:
            return score(env, agent, seed)
        finally:
            env.close()


@functools.lru_cache(maxsize=1)
def _equipment(episode: AgentEpisode) -> tuple[Config, Agent]:
    config = config_from_json(episode.config)
    return config, Agent(config, task_spec(config.env), episode.vision, episode.memory)
